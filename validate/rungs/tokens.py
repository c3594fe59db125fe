"""Rung 2: the artefact's tokenizer gives the checkpoint's ids and texts, and ends where the checkpoint ends.

The texts are a corpus of awkward cases, every token of the vocabulary on a line of its own, and the special tokens. The tables of
a byte-level BPE are compared too. The stop tokens are those that openvino_genai will really stop at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint, read_json
from ...core.errors import EdgeconvError
from ...core.progress import Progress
from ..report.model import Rung
from . import bpe_tables, tokenizer_pair
from .corpus import TEXTS, UPSTREAM_DEFECTS

_LINES = 256
"""Tokens of the vocabulary that make one text."""
_SHOWN = 5


def check(folder: Path, checkpoint: Checkpoint, progress: Progress) -> Rung:
    """Compare the tokenizers.

    Args:
        folder: the artefact.
        checkpoint: the reference.
        progress: hears of the texts compared.
    """
    started = time.perf_counter()
    found = _Findings()
    try:
        reference = tokenizer_pair.of_transformers(checkpoint.folder)
        artefact = tokenizer_pair.of_genai(folder)
        _special_ids(folder, checkpoint, reference, artefact, found)
        found.failures += bpe_tables.differences(folder, reference, artefact)
        _texts(reference, artefact, found, progress)
    except EdgeconvError as error:
        found.failures.append(error.message)
    hidden = len(found.failures) - _SHOWN
    shown = found.failures[:_SHOWN] + ([f"{hidden} more differences."] if hidden > 0 else [])
    return Rung(
        name="tokens",
        status="failed" if shown else "passed",
        summary=_summary(found),
        failures=shown,
        warnings=found.warnings,
        figures={
            "texts": found.texts,
            "tokens": found.tokens,
            "different": len(found.failures),
            "known_defects": found.known,
        },
        seconds=time.perf_counter() - started,
    )


def _summary(found: _Findings) -> str:
    total = f"{found.tokens:,} tokens of {found.texts} texts"
    if found.failures:
        return f"{len(found.failures)} differences in {total} and in the special tokens."
    if found.known:
        return f"{total} compared: {found.known} texts differ, each by a known defect of openvino_tokenizers."
    return f"{total}, and all special and stop tokens, are equal."


class _Findings:
    def __init__(self) -> None:
        self.failures: list[str] = []
        self.warnings: list[str] = []
        self.texts = self.tokens = self.known = 0


def _special_ids(folder: Path, checkpoint: Checkpoint, reference: Any, artefact: Any, found: _Findings) -> None:
    """Compare eos, bos, pad and the stop tokens."""
    info = _rt_info(folder)
    for kind in ("eos", "bos", "pad"):
        wanted = getattr(reference, f"{kind}_token_id")
        got = {"openvino_genai": getattr(artefact, f"get_{kind}_token_id")(), "the tokenizer IR": info.get(kind)}
        for where, given in got.items():
            value = None if given == -1 else given
            if value == wanted or (value is None and where == "the tokenizer IR" and kind != "eos"):
                continue
            sentence = f"{kind}_token_id is {value} for {where}, {wanted} for the checkpoint's tokenizer."
            # a runtime that pads needs some token for it, and nothing reads what it wrote there
            (found.warnings if kind == "pad" and wanted is None else found.failures).append(sentence)
    wanted_stops = _stops(checkpoint.generation_config) or _stops(checkpoint.config)
    for where, stops in _artefact_stops(folder).items():
        if stops != wanted_stops:
            found.failures.append(
                f"{where} stops at {_tokens(reference, stops)}, the checkpoint at {_tokens(reference, wanted_stops)}."
            )


def _artefact_stops(folder: Path) -> dict[str, set[int]]:
    """Return the stop tokens by who reads them: the configs as transformers reads them, and openvino_genai."""
    import openvino_genai

    path = folder / "generation_config.json"
    own = read_json(path) if path.is_file() else {}
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    found = {"The artefact's configuration": _stops(own) or _stops(config)}
    if own:
        runtime = openvino_genai.GenerationConfig(str(path))
        stops = {int(i) for i in runtime.stop_token_ids} | {int(runtime.eos_token_id)}
        found["openvino_genai"] = stops - {-1}
    return found


def _stops(config: dict[str, Any]) -> set[int]:
    value = config.get("eos_token_id")
    return set() if value is None else {value} if isinstance(value, int) else set(value)


def _tokens(tokenizer: Any, ids: set[int]) -> str:
    names = [f"{i} {tokenizer.convert_ids_to_tokens(i)!r}" for i in sorted(ids)]
    return ", ".join(names) or "no token"


def _rt_info(folder: Path) -> dict[str, int]:
    import openvino
    import openvino_tokenizers  # noqa: F401 - registers its operations with openvino

    model = openvino.Core().read_model(folder / "openvino_tokenizer.xml")
    kinds = ("eos", "bos", "pad")
    return {
        kind: int(model.get_rt_info(f"{kind}_token_id").astype(str))
        for kind in kinds
        if model.has_rt_info(f"{kind}_token_id")
    }


def _texts(reference: Any, artefact: Any, found: _Findings, progress: Progress) -> None:
    texts = [*TEXTS.items(), *_special_texts(reference), *_vocabulary(reference)]
    task = progress.task("Comparing tokens", len(texts))
    for name, text in texts:
        _text(name, text, reference, artefact, found)
        task.advance(1)
    task.finish()
    found.texts = len(texts)


def _special_texts(tokenizer: Any) -> Iterator[tuple[str, str]]:
    """Special tokens alone, in text, doubled, and cut short."""
    special = [str(token) for token in tokenizer.get_added_vocab()]
    yield "special tokens in a row", "".join(special)
    yield "special tokens in text", "".join(f"word {token} 字{token}\n {token}. " for token in special)
    yield "special tokens cut short", " ".join(token[:-1] + " " + token[1:] for token in special)


def _vocabulary(tokenizer: Any) -> Iterator[tuple[str, str]]:
    """Every token that is a text by itself, one a line; one that is a part of a character (U+FFFD) is left out."""
    decoded = (tokenizer.decode([i]) for i in range(len(tokenizer)))
    whole = [text for text in decoded if text and "\ufffd" not in text]
    for start in range(0, len(whole), _LINES):
        yield f"vocabulary from {start}", "\n".join(whole[start : start + _LINES])


def _text(name: str, text: str, reference: Any, artefact: Any, found: _Findings) -> None:
    """Compare one text. A difference is a failure, unless it is a listed defect of openvino_tokenizers: then a warning."""
    found.tokens += len(reference(text, verbose=False)["input_ids"])
    sentence = _difference(name, text, reference, artefact)
    if sentence is None:
        return
    for defect in UPSTREAM_DEFECTS:
        mended = defect.without(text)
        if defect.concerns(reference) and mended != text and _difference(name, mended, reference, artefact) is None:
            found.warnings.append(f"{sentence} Known: {defect.reason}.")
            found.known += 1
            return
    found.failures.append(sentence)


def _difference(name: str, text: str, reference: Any, artefact: Any) -> str | None:
    """Return what differs first: ids with and without the special tokens that frame a text, then the decoded text."""
    wanted: list[int] = []
    for special in (False, True):
        wanted = [int(i) for i in reference(text, add_special_tokens=special, verbose=False)["input_ids"]]
        got = [int(i) for i in artefact.encode(text, add_special_tokens=special).input_ids.data.reshape(-1)]
        if wanted != got:
            return _ids_differ(name, wanted, got, reference, special)
    for skip in (True, False):
        expected = reference.decode(wanted, skip_special_tokens=skip)
        decoded = artefact.decode(wanted, skip_special_tokens=skip)
        if expected != decoded:
            at = tokenizer_pair.first_difference(expected, decoded)
            return (
                f"Text '{name}' decodes{' without special tokens' if skip else ''} differently from character {at}: expected "
                f"{tokenizer_pair.excerpt(expected, at)}, decoded {tokenizer_pair.excerpt(decoded, at)}."
            )
    return None


def _ids_differ(name: str, wanted: list[int], got: list[int], tokenizer: Any, special: bool) -> str:
    at = tokenizer_pair.first_difference(wanted, got)
    before = tokenizer.decode(wanted[:at])[-30:]
    mode = "" if special else ", without special tokens,"
    return (
        f"Text '{name}'{mode} differs from token {at} of {len(wanted)}, after {json.dumps(before, ensure_ascii=False)}: "
        f"expected {_pieces(tokenizer, wanted[at : at + 4])}, got {_pieces(tokenizer, got[at : at + 4])}."
    )


def _pieces(tokenizer: Any, ids: list[int]) -> str:
    return "[" + ", ".join(f"{i} {tokenizer.decode([i])!r}" for i in ids) + "]"
