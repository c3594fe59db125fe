"""Rung 2 for a GGUF: llama.cpp's tokenizer gives the checkpoint's ids and texts, and stops where the checkpoint stops."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from ...convert.checkpoint import Checkpoint
from ...convert.gguf.read import GgufFile
from ...core.errors import EdgeconvError
from ...core.progress import Progress
from ..report.model import Rung
from ..runtimes.llama_cpp_tokenizer import LlamaCppTokenizer
from . import bpe_tables, tokenizer_pair
from .token_texts import Findings, compare, named, stops_of

_MODEL = "tokenizer.ggml.model"
_ENDS = ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")
"""Roles of tokens at which llama.cpp stops."""


def check(
    open_file: Callable[[], GgufFile],
    open_tokenizer: Callable[[], LlamaCppTokenizer],
    checkpoint: Checkpoint,
    progress: Progress,
) -> Rung:
    """Compare the tokenizers.

    Args:
        open_file: the GGUF.
        open_tokenizer: its tokenizer in llama.cpp.
        checkpoint: the reference.
        progress: hears of the texts compared.
    """
    started = time.perf_counter()
    found = Findings("llama.cpp")
    try:
        reference = tokenizer_pair.of_transformers(checkpoint.folder)
        file = open_file()
        found.failures += _tables(file, reference)
        with contextlib.closing(open_tokenizer()) as artefact:
            _special_ids(file, checkpoint, reference, artefact, found)
            frame = _frame(file, reference, found)
            compare(reference, _Framed(artefact, *frame) if frame else artefact, found, progress)
    except EdgeconvError as error:
        found.failures.append(error.message)
    return found.rung(time.perf_counter() - started)


def _tables(file: GgufFile, reference: Any) -> list[str]:
    """Compare vocabulary and merges; sentencepiece's scores are seen in the texts alone."""
    kind = file.keys.get(_MODEL)
    wanted = bpe_tables.of_transformers(reference)
    if wanted is not None:
        if kind != "gpt2":
            return [f"{_MODEL} is {kind!r}; the checkpoint's tokenizer is a byte-level BPE, which is 'gpt2'."]
        got = bpe_tables.of_gguf(file.keys)
        return bpe_tables.compare(wanted, got.merges, got.vocabulary, "The GGUF")
    tokens = {token: number for number, token in enumerate(file.keys.get("tokenizer.ggml.tokens", []))}
    wrong = [(number, token) for token, number in reference.get_vocab().items() if tokens.get(token) != number]
    if not wrong:
        return []
    number, token = min(wrong)
    there = tokens.get(token, "no token")
    return [f"{len(wrong)} tokens of the vocabulary differ; the first is {number} {token!r}, in the GGUF {there}."]


def _special_ids(
    file: GgufFile, checkpoint: Checkpoint, reference: Any, artefact: LlamaCppTokenizer, found: Findings
) -> None:
    """Compare eos, bos and pad, the flags that frame a text, and the stop tokens."""
    wanted = stops_of(checkpoint.generation_config) or stops_of(checkpoint.config)
    missing = wanted - artefact.stops
    if missing:
        found.failures.append(f"llama.cpp does not stop at {named(reference, missing)}, where the checkpoint ends.")
    stated = {file.keys.get(f"tokenizer.ggml.{role}_token_id") for role in _ENDS}
    extra = artefact.stops - wanted
    if extra & stated:
        found.failures.append(f"llama.cpp stops at {named(reference, extra & stated)}, where the checkpoint goes on.")
    if extra - stated:  # it knows some markers, and no file can change that
        found.warnings.append(f"llama.cpp stops at {named(reference, extra - stated)} too, by the text alone.")
    for role, key in (("bos", "bos"), ("pad", "padding")):
        expected, got = getattr(reference, f"{role}_token_id"), file.keys.get(f"tokenizer.ggml.{key}_token_id")
        if expected != got and (expected, role) != (None, "bos"):
            sentence = (
                f"tokenizer.ggml.{key}_token_id is {got}, {role}_token_id of the checkpoint's tokenizer {expected}."
            )
            # nothing reads what stands where a text was padded
            (found.warnings if role == "pad" else found.failures).append(sentence)
    eos = file.keys.get("tokenizer.ggml.eos_token_id")
    if eos not in wanted | {reference.eos_token_id}:
        found.failures.append(f"tokenizer.ggml.eos_token_id is {eos}, which ends nothing for the checkpoint.")


def _frame(file: GgufFile, reference: Any, found: Findings) -> tuple[list[int], list[int]] | None:
    """Compare what stands around each text; return it if a GGUF, which knows one id before and one behind, cannot say it."""
    bare, framed = (reference("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    at = next((i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), 0)
    around = {"bos": framed[:at], "eos": framed[at + len(bare) :]}
    known = {role: ids in ([], [getattr(reference, f"{role}_token_id")]) for role, ids in around.items()}
    for role, ids in around.items():
        wanted = bool(ids) and known[role]
        key = f"tokenizer.ggml.add_{role}_token"
        got = file.keys.get(key)
        if got is not None and got != wanted:
            found.failures.append(
                f"{key} is {got}; the checkpoint's tokenizer {'adds' if wanted else 'adds no'} {role}."
            )
    if all(known.values()):
        return None
    found.warnings.append(
        f"The checkpoint's tokenizer puts {named(reference, {*around['bos'], *around['eos']})} around each text, which no GGUF "
        "can say: in llama.cpp the chat template has to."
    )
    return around["bos"], around["eos"]


class _Framed:
    """llama.cpp's tokenizer with the frame that it lacks, so that what lies between is compared."""

    def __init__(self, tokenizer: LlamaCppTokenizer, before: list[int], after: list[int]) -> None:
        self._tokenizer = tokenizer
        self._before = before
        self._after = after

    def encode(self, text: str, *, special: bool) -> list[int]:
        ids = self._tokenizer.encode(text, special=special)
        return [*self._before, *ids, *self._after] if special else ids

    def decode(self, ids: Sequence[int], *, skip: bool) -> str:
        return self._tokenizer.decode(ids, skip=skip)
