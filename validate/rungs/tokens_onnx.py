"""Rung 2 for an ONNX model: its tokenizer files, opened with transformers as optimum opens them, beside the checkpoint's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint, read_json
from ...convert.onnx.names import GENAI
from ...core.errors import EdgeconvError
from ...core.progress import Progress
from ..report.model import Rung
from . import bpe_tables, tokenizer_pair
from .token_texts import Findings, compare, named, stops_of


class FilesTokenizer:
    """A tokenizer of transformers, as `token_texts.Tokenizer` wants one."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Return the ids; `special`: with what frames a text."""
        return list(self._tokenizer(text, add_special_tokens=special)["input_ids"])

    def decode(self, ids: Sequence[int], *, skip: bool) -> str:
        """Return the text; `skip`: without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip))


def check(folder: Path, checkpoint: Checkpoint, progress: Progress) -> Rung:
    """Compare the tokenizers.

    Args:
        folder: the artefact.
        checkpoint: the reference.
        progress: hears of the texts compared.
    """
    started = time.perf_counter()
    found = Findings("transformers")
    try:
        reference = tokenizer_pair.of_transformers(checkpoint.folder)
        artefact = tokenizer_pair.of_transformers(folder)
        _special_ids(folder, checkpoint, reference, artefact, found)
        wanted, got = bpe_tables.of_transformers(reference), bpe_tables.of_transformers(artefact)
        if (wanted is None) != (got is None):
            found.failures.append("Only one of the two tokenizers is a byte-level BPE.")
        elif wanted and got:
            found.failures += bpe_tables.compare(wanted, got.merges, got.vocabulary, "The artefact's tokenizer.json")
        compare(reference, FilesTokenizer(artefact), found, progress)
    except EdgeconvError as error:
        found.failures.append(error.message)
    return found.rung(time.perf_counter() - started)


def _special_ids(folder: Path, checkpoint: Checkpoint, reference: Any, artefact: Any, found: Findings) -> None:
    """Compare eos, bos, pad and the stop tokens, those of onnxruntime-genai too."""
    for kind in ("eos", "bos", "pad"):
        wanted, got = (getattr(side, f"{kind}_token_id") for side in (reference, artefact))
        if wanted != got:
            found.failures.append(f"{kind}_token_id is {got}, {wanted} for the checkpoint's tokenizer.")
    wanted_stops = stops_of(checkpoint.generation_config) or stops_of(checkpoint.config)
    for where, stops in stops_in(folder).items():
        if stops != wanted_stops:
            found.failures.append(
                f"{where} stops at {named(reference, stops)}, the checkpoint at {named(reference, wanted_stops)}."
            )


def stops_in(folder: Path) -> dict[str, set[int]]:
    """Return the stop tokens by who reads them: the configs as transformers reads them, and onnxruntime-genai."""
    names = ("generation_config.json", "config.json", GENAI)
    own, config, genai = (read_json(folder / name) if (folder / name).is_file() else {} for name in names)
    found = {"The artefact's configuration": stops_of(own) or stops_of(config)}
    if isinstance(genai.get("model"), dict):
        found["onnxruntime-genai"] = stops_of(genai["model"])
    return found
