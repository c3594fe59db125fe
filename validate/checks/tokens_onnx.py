"""Check 2 for an ONNX model: its tokenizer files, opened with transformers as optimum opens them, beside the checkpoint's.

onnxruntime-genai reads the same tokenizer.json.
"""

from __future__ import annotations

import time
from pathlib import Path

from ...convert.checkpoint import Checkpoint, read_json
from ...convert.onnx.names import GENAI
from ...core.errors import EdgeconvError
from ...core.progress import Progress
from ..report.model import Check
from . import added_tokens, bpe_tables, tokenizer_pair, transformers_tokenizer
from .reference_tokenizer import ReferenceTokenizer
from .special_ids import SpecialIds
from .token_texts import Findings, compare, named, stops_of


def check(folder: Path, checkpoint: Checkpoint, progress: Progress) -> Check:
    """Compare the tokenizers.

    Args:
        folder: the artifact.
        checkpoint: the reference.
        progress: reports the texts compared.
    """
    started = time.perf_counter()
    found = Findings("transformers")
    try:
        reference, artifact = (tokenizer_pair.reference(place) for place in (checkpoint.folder, folder))
        _special_ids(folder, checkpoint, reference, artifact, found)
        wanted, got = bpe_tables.of_reference(reference), bpe_tables.of_reference(artifact)
        kinds = {None if tables is None else tables.byte_level for tables in (wanted, got)}
        if len(kinds) == 2:
            found.failures.append("The two tokenizers are of different kinds: only one is a BPE, or a byte-level one.")
        elif wanted and got:
            found.failures += bpe_tables.compare(wanted, got.merges, got.vocabulary, "The artifact's tokenizer.json")
        rows = int(checkpoint.config.get("vocab_size") or 0)
        found.failures += added_tokens.differences(reference.added, artifact.added, "the artifact's tokenizer", rows)
        compare(reference, artifact, found, progress)
        transformers_tokenizer.differences(checkpoint.folder, reference, found.defects)
    except EdgeconvError as error:
        found.failures.append(error.message)
    return found.as_check(time.perf_counter() - started)


def _special_ids(
    folder: Path,
    checkpoint: Checkpoint,
    reference: ReferenceTokenizer,
    artifact: ReferenceTokenizer,
    found: Findings,
) -> None:
    """Compare eos, bos, pad and the stop tokens, those of onnxruntime-genai too."""
    wanted_stops = stops_of(checkpoint.generation_config) or stops_of(checkpoint.config)
    ids = SpecialIds(reference, tokenizer_pair.of_transformers(checkpoint.folder).chat_template, wanted_stops)
    for kind in ("eos", "bos", "pad"):
        ids.judge(kind, artifact.special_id(kind), "the artifact's files", found)
    for where, stops in stops_in(folder).items():
        if stops != wanted_stops:
            found.failures.append(
                f"{where} stops at {named(reference, stops)}, the checkpoint at {named(reference, wanted_stops)}."
            )


def stops_in(folder: Path) -> dict[str, set[int]]:
    """Return the stop tokens by who reads them: the configs as transformers reads them, and onnxruntime-genai."""
    names = ("generation_config.json", "config.json", GENAI)
    own, config, genai = (read_json(folder / name) if (folder / name).is_file() else {} for name in names)
    found = {"The artifact's configuration": stops_of(own) or stops_of(config)}
    if isinstance(genai.get("model"), dict):
        found["onnxruntime-genai"] = stops_of(genai["model"])
    return found
