"""Check 2 for a GGUF: llama.cpp's tokenizer gives the checkpoint's ids and texts, and stops where the checkpoint stops."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from ...convert.checkpoint import Checkpoint
from ...convert.gguf import tokenizer_wordpiece
from ...convert.gguf.read import GgufFile
from ...convert.gguf.tokenizer_models import BYTE_LEVEL_BPE, UNIGRAM, WORDPIECE
from ...convert.gguf.vocabulary import TokenType
from ...core.errors import EdgeconvError
from ...core.progress import Progress
from ...runtimes.llama_cpp_tokenizer import LlamaCppTokenizer
from ..report.model import Check
from . import added_tokens, bpe_tables, known_defects_gguf, tokenizer_pair, transformers_tokenizer
from .reference_tokenizer import ReferenceTokenizer
from .special_ids import SpecialIds
from .token_texts import Findings, compare, named, stops_of

_VISIBLE_SPACE = "\u2581"
_MODEL = "tokenizer.ggml.model"
_ENDS = ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")
"""Roles of tokens at which llama.cpp stops."""


def check(
    open_file: Callable[[], GgufFile],
    open_tokenizer: Callable[[], LlamaCppTokenizer],
    checkpoint: Checkpoint,
    progress: Progress,
) -> Check:
    """Compare the tokenizers.

    Args:
        open_file: the GGUF.
        open_tokenizer: its tokenizer in llama.cpp.
        checkpoint: the reference.
        progress: reports the texts compared.
    """
    started = time.perf_counter()
    found = Findings(known_defects_gguf.LLAMA_CPP)
    try:
        reference = tokenizer_pair.reference(checkpoint.folder)
        file = open_file()
        found.failures += _tables(file, reference)
        found.failures += added_tokens.types_differ(reference, file.keys.get("tokenizer.ggml.token_type", []))
        with contextlib.closing(open_tokenizer()) as artifact:
            _special_ids(file, checkpoint, reference, artifact, found)
            framed = file.keys.get(_MODEL) == WORDPIECE  # llama.cpp puts begin and separator around each text, unasked
            frame = None if framed else _frame(file, reference, found)
            listed = known_defects_gguf.of_llama_cpp(
                str(file.keys.get("tokenizer.ggml.pre")), *_markers(reference, artifact)
            )
            side = _Framed(artifact, *frame) if frame else artifact
            compare(reference, side, found, progress, listed, decodes=file.keys.get(_MODEL) not in (WORDPIECE, UNIGRAM))
        transformers_tokenizer.differences(checkpoint.folder, reference, found.defects)
    except EdgeconvError as error:
        found.failures.append(error.message)
    return found.as_check(time.perf_counter() - started)


def _markers(reference: ReferenceTokenizer, artifact: LlamaCppTokenizer) -> list[known_defects_gguf.Markers]:
    """Return the tokens that llama.cpp takes for markers, or for none, by their texts; and those taken so by their looks."""
    special = {number for number, token in reference.added.items() if token.special}
    names = {number: text for text, number in reference.vocabulary.items() if text in known_defects_gguf.KNOWN_TEXTS}
    made, unmade = artifact.controls - special, special - artifact.controls
    looks = {
        n: t.content
        for n, t in reference.added.items()
        if n in made and n not in names and added_tokens.looks_special(t)
    }
    known = known_defects_gguf.Markers(*({n: names[n] for n in sorted(ids & names.keys())} for ids in (made, unmade)))
    return [known, known_defects_gguf.Markers(looks)]


def _tables(file: GgufFile, reference: ReferenceTokenizer) -> list[str]:
    """Compare vocabulary and merges; sentencepiece's scores are seen in the texts alone."""
    kind = file.keys.get(_MODEL)
    wanted = bpe_tables.of_reference(reference)
    if wanted is not None and wanted.byte_level:
        if kind != BYTE_LEVEL_BPE:
            return [
                f"{_MODEL} is {kind!r}; the checkpoint's tokenizer is a byte-level BPE, which is {BYTE_LEVEL_BPE!r}."
            ]
        got = bpe_tables.of_gguf(file.keys)
        return bpe_tables.compare(wanted, got.merges, got.vocabulary, "The GGUF")
    tokens, types = (file.keys.get(f"tokenizer.ggml.{name}", []) for name in ("tokens", "token_type"))
    # llama.cpp compares the tokens that it cuts out first with plain text, where a space is a space
    plain = {number for number, kind in enumerate(types) if kind == int(TokenType.USER_DEFINED)}
    wrong = []
    for token, number in reference.vocabulary.items():
        text = token.replace(_VISIBLE_SPACE, " ") if number in plain else token
        if kind == WORDPIECE and number < len(types):
            text = tokenizer_wordpiece.written(token, TokenType(types[number]))
        if number >= len(tokens) or tokens[number] != text:
            wrong.append((number, token))
    if not wrong:
        return []
    number, token = min(wrong)
    places = {text: place for place, text in enumerate(tokens)}
    there = places.get(token, "no token")
    return [f"{len(wrong)} tokens of the vocabulary differ; the first is {number} {token!r}, in the GGUF {there}."]


def _special_ids(
    file: GgufFile, checkpoint: Checkpoint, reference: ReferenceTokenizer, artifact: LlamaCppTokenizer, found: Findings
) -> None:
    """Compare eos, bos and pad, the flags that frame a text, and the stop tokens."""
    wanted = stops_of(checkpoint.generation_config) or stops_of(checkpoint.config)
    missing = wanted - artifact.stops
    if missing:
        found.failures.append(f"llama.cpp does not stop at {named(reference, missing)}, where the checkpoint ends.")
    stated = {file.keys.get(f"tokenizer.ggml.{role}_token_id") for role in _ENDS}
    extra = artifact.stops - wanted
    if extra & stated:
        found.failures.append(f"llama.cpp stops at {named(reference, extra & stated)}, where the checkpoint goes on.")
    if extra - stated:  # it knows some markers, and no file can change that
        names = named(reference, extra - stated)
        found.defects.add(known_defects_gguf.ENDS_BY_TEXT, names, len(extra - stated))
    ids = SpecialIds(reference, tokenizer_pair.of_transformers(checkpoint.folder).chat_template, wanted)
    bos = file.keys.get("tokenizer.ggml.bos_token_id")
    if (
        reference.special_id("bos") is not None or bos not in reference.around()[0]
    ):  # an encoder's begins texts by another name
        ids.judge("bos", bos, "tokenizer.ggml.bos_token_id", found)
    pad, stated_pad = reference.special_id("pad"), file.keys.get("tokenizer.ggml.padding_token_id")
    if pad != stated_pad:  # nothing reads what stands where a text was padded
        found.warnings.append(
            f"tokenizer.ggml.padding_token_id is {stated_pad}, pad_token_id of the checkpoint's tokenizer {pad}."
        )
    eos = file.keys.get("tokenizer.ggml.eos_token_id")
    if eos not in wanted | {reference.special_id("eos")}:
        found.failures.append(f"tokenizer.ggml.eos_token_id is {eos}, which ends nothing for the checkpoint.")


def _frame(file: GgufFile, reference: ReferenceTokenizer, found: Findings) -> tuple[list[int], list[int]] | None:
    """Compare what stands around each text; return it if a GGUF, which knows one id before and one behind, cannot say it."""
    before, after = reference.around()
    around = {"bos": before, "eos": after}
    known = {role: ids in ([], [_id_of(role, file, reference)]) for role, ids in around.items()}
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


def _id_of(role: str, file: GgufFile, reference: ReferenceTokenizer) -> int | None:
    """Return the checkpoint's id of a role; an encoder's tokenizer, which knows others, has the file's."""
    own = reference.special_id(role)
    return file.keys.get(f"tokenizer.ggml.{role}_token_id") if own is None else own


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
