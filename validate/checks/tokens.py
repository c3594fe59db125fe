"""Check 2: the artifact's tokenizer gives the checkpoint's ids and texts, and ends where the checkpoint ends.

The texts are a corpus of awkward cases, every token of the vocabulary on a line of its own, and the special tokens. The tables of
a byte-level BPE are compared too. The stop tokens are those that openvino_genai will really stop at.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint, read_json
from ...core.errors import EdgeconvError
from ...core.graph_file import read_graph
from ...core.progress import Progress
from ..report.model import Check
from . import added_tokens, bpe_tables, tokenizer_pair, transformers_tokenizer
from .known_defects import OPENVINO, OPENVINO_DEFECTS
from .reference_tokenizer import ReferenceTokenizer
from .special_ids import SpecialIds
from .token_texts import Findings, compare, named, stops_of


class _Genai:
    """An `openvino_genai.Tokenizer`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, *, special: bool) -> list[int]:
        return [int(i) for i in self._tokenizer.encode(text, add_special_tokens=special).input_ids.data.reshape(-1)]

    def decode(self, ids: Sequence[int], *, skip: bool) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip))


def check(folder: Path, checkpoint: Checkpoint, progress: Progress) -> Check:
    """Compare the tokenizers.

    Args:
        folder: the artifact.
        checkpoint: the reference.
        progress: reports the texts compared.
    """
    started = time.perf_counter()
    found = Findings(OPENVINO)
    try:
        reference = tokenizer_pair.reference(checkpoint.folder)
        artifact = tokenizer_pair.of_genai(folder)
        _special_ids(folder, checkpoint, reference, artifact, found)
        rows = int(checkpoint.config.get("vocab_size") or 0)
        found.failures += bpe_tables.differences(folder, reference, artifact, rows)
        if (folder / "tokenizer.json").is_file():  # what optimum-intel and transformers read of the folder
            own = tokenizer_pair.reference(folder)
            found.failures += added_tokens.differences(
                reference.added, own.added, "the artifact's tokenizer.json", rows
            )
        compare(reference, _Genai(artifact), found, progress, OPENVINO_DEFECTS)
        transformers_tokenizer.differences(checkpoint.folder, reference, found.defects)
    except EdgeconvError as error:
        found.failures.append(error.message)
    return found.as_check(time.perf_counter() - started)


def _special_ids(
    folder: Path, checkpoint: Checkpoint, reference: ReferenceTokenizer, artifact: Any, found: Findings
) -> None:
    """Compare eos, bos, pad and the stop tokens."""
    info = _rt_info(folder)
    wanted_stops = stops_of(checkpoint.generation_config) or stops_of(checkpoint.config)
    ids = SpecialIds(reference, tokenizer_pair.of_transformers(checkpoint.folder).chat_template, wanted_stops)
    for kind in ("eos", "bos", "pad"):
        given = int(getattr(artifact, f"get_{kind}_token_id")())
        ids.judge(kind, None if given == -1 else given, "openvino_genai", found)
        if kind in info or kind == "eos":
            ids.judge(kind, info.get(kind), "the tokenizer IR", found)
    for where, stops in _artifact_stops(folder).items():
        if stops != wanted_stops:
            found.failures.append(
                f"{where} stops at {named(reference, stops)}, the checkpoint at {named(reference, wanted_stops)}."
            )


def _artifact_stops(folder: Path) -> dict[str, set[int]]:
    """Return the stop tokens by who reads them: the configs as transformers reads them, and openvino_genai."""
    import openvino_genai

    path = folder / "generation_config.json"
    own = read_json(path) if path.is_file() else {}
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    found = {"The artifact's configuration": stops_of(own) or stops_of(config)}
    if own:
        runtime = openvino_genai.GenerationConfig(str(path))
        stops = {int(i) for i in runtime.stop_token_ids} | {int(runtime.eos_token_id)}
        found["openvino_genai"] = stops - {-1}
    return found


def _rt_info(folder: Path) -> dict[str, int]:
    import openvino_tokenizers  # noqa: F401 - registers its operations with openvino

    model = read_graph(folder / "openvino_tokenizer.xml")
    kinds = ("eos", "bos", "pad")
    return {
        kind: int(model.get_rt_info(f"{kind}_token_id").astype(str))
        for kind in kinds
        if model.has_rt_info(f"{kind}_token_id")
    }
