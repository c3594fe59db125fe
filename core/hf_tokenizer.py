"""The one door to a folder's tokenizer: what tokenizer.json says, else what tokenizer.model says, in transformers' interface.

`AutoTokenizer` of transformers 5 takes the vocabulary out of tokenizer.json and builds the pipeline of the class that
tokenizer_config.json names around it: with LlamaTokenizerFast over a byte-level BPE every space is lost, with GPT2Tokenizer
digits are no longer taken one by one. Converters and judge would agree on the wrong tokenizer, so neither asks it
(`tokenizer_rebuilt` says where it differs). It is left what it alone can open: other files of vocabularies, and a folder's own
code if the user consents.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from . import limits, sentencepiece_tokenizer, tokenizer_files, tokenizer_trial
from .chat_template import TemplateFault, limited, require_bounded
from .errors import CheckpointError
from .sentencepiece_file import SentencePiece
from .tokenizer_files import Added, Files

CONFIG = "tokenizer_config.json"
_TAKEN = ("model_max_length", "padding_side", "truncation_side", "model_input_names", "split_special_tokens")
"""Fields of tokenizer_config.json that the interface obeys; special tokens and templates are read apart."""


def open_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """Return a folder's tokenizer (`transformers.PreTrainedTokenizerFast`); the Hub is not asked.

    It decodes without `clean_up_tokenization_spaces`, which eats spaces that a text has; no runtime does that. It has no token
    beyond the rows of the embedding that config.json states (`tokenizer_files.Files.left_out`).

    Consent is never left open: transformers would ask for it on the terminal.

    Raises:
        CheckpointError: the folder names files that are not its own, there is no tokenizer, or it cannot be opened.
    """
    require_own_files(folder)
    files = tokenizer_files.read(folder)
    pieces = None if files.tokenizer else files.pieces
    tokenizer_trial.require_bounded(files.tokenizer)
    try:
        with tokenizer_trial.panics_as_errors():
            tokenizer = (
                _opened(files, pieces) if files.tokenizer or pieces else _by_transformers(folder, trust_remote_code)
            )
    except CheckpointError:
        raise
    except Exception as error:  # each kind of tokenizer has errors of its own; all mean that it is unusable
        raise _unopened(folder, error, own=bool(files.tokenizer or pieces)) from error
    tokenizer.clean_up_tokenization_spaces = False
    templates = files.templates()
    if templates:
        tokenizer.chat_template = templates["default"] if templates.keys() == {"default"} else templates
    _limit_templates(tokenizer, folder)
    return tokenizer


def _unopened(folder: Path, error: Exception, *, own: bool) -> CheckpointError:
    """Say why a tokenizer cannot be opened.

    Args:
        folder: the checkpoint.
        error: what transformers raised.
        own: it was opened from tokenizer.json or tokenizer.model, not by transformers' own choice.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    add = "Add a tokenizer.json; transformers' save_pretrained writes it."
    if not own and "trust_remote_code=True" in str(error):  # it would have asked for consent
        return CheckpointError(
            f"The tokenizer of {folder.name} is known to the checkpoint's own code alone, which is not run.",
            f"{add} Or read that code: `edgeconv openvino --trust-remote-code` runs it.",
        )
    return CheckpointError(
        f"transformers cannot open the tokenizer of {folder.name}: {lines[-1].strip().rstrip('.')}.",
        "Download tokenizer.json and tokenizer_config.json again." if own else add,
    )


def _by_transformers(folder: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)


def without_left_out(files: Files) -> dict[str, Any]:
    """Return tokenizer.json without the added tokens that the model has no row for."""
    beyond = {token.id for token in files.left_out}
    kept = [entry for entry in files.tokenizer.get("added_tokens") or [] if entry["id"] not in beyond]
    return files.tokenizer | {"added_tokens": kept}


def _opened(files: Files, pieces: SentencePiece | None) -> Any:
    """Put transformers' interface around the backend that the files describe."""
    from transformers import PreTrainedTokenizerFast

    taken = {key: files.config[key] for key in _TAKEN if files.config.get(key) is not None}
    taken.setdefault("model_input_names", ["input_ids", "attention_mask"])
    stated = {f"add_{role}_token": flag for role, flag in (files.frame_flags() or {}).items()}
    frame = stated if any(stated.values()) else {}  # stated, they replace the post-processor
    known = _texts(files, pieces)
    added = {token.id: _added_token(token) for token in files.beyond_tokenizer_json()}
    tokenizer: Any = PreTrainedTokenizerFast(
        **_backend(files, pieces), **taken, **frame, **_special_tokens(files, known), added_tokens_decoder=added
    )
    tokenizer.name_or_path = str(files.folder)  # given before, transformers would ask the Hub about it
    return tokenizer


def _backend(files: Files, pieces: SentencePiece | None) -> dict[str, Any]:
    """Return the argument that gives transformers the backend."""
    path = files.folder / "tokenizer.json"
    if pieces:
        return {"tokenizer_object": backend_of_pieces(files, pieces)}
    if not files.left_out:
        return {"tokenizer_file": str(path)}
    from tokenizers import Tokenizer

    return {"tokenizer_object": Tokenizer.from_str(json.dumps(without_left_out(files)))}


def backend_of_pieces(files: Files, pieces: SentencePiece) -> Any:
    """Return the `tokenizers.Tokenizer` of a tokenizer.model, without what stands around a text."""
    legacy = files.config.get("legacy") is not False
    return sentencepiece_tokenizer.make(pieces, files.folder / "tokenizer.model", legacy=legacy)


def _texts(files: Files, pieces: SentencePiece | None) -> set[str]:
    """Return the texts of all tokens."""
    vocab = files.model.get("vocab") or {}
    proper = [entry[0] for entry in vocab] if isinstance(vocab, list) else vocab
    return {
        *proper,
        *(piece.text for piece in (pieces.pieces if pieces else ())),
        *(t.content for t in files.added.values()),
    }


def _special_tokens(files: Files, known: set[str]) -> dict[str, Any]:
    """Return "bos_token" and its like, and the list of the others, as transformers wants them.

    A text that is not a token is left out: transformers would make a token of it, with an id that the model has no row for.
    """
    tables = (files.special_map, files.config)
    named: dict[str, Any] = {}
    others: list[Any] = []
    for table in tables:
        entries = {name: entry for name, entry in table.items() if name.endswith("_token")}
        for key in ("additional_special_tokens", "extra_special_tokens"):
            more = table.get(key)
            entries |= more if isinstance(more, dict) else {}
            others += more if isinstance(more, list) else []
        named |= {name: entry for name, entry in entries.items() if _content(entry) is not None}
    listed = {token.content for token in files.added.values()}
    found: dict[str, Any] = {n: _special(e, listed) for n, e in named.items() if _content(e) in known}
    extra = {_content(entry): _special(entry, listed) for entry in others if _content(entry) in known}
    return {**found, **({"extra_special_tokens": list(extra.values())} if extra else {})}


def _special(entry: Any, listed: set[str]) -> Any:
    from tokenizers import AddedToken

    if isinstance(entry, str) or entry["content"] in listed:
        return _content(entry)
    flags = {name: bool(entry.get(name)) for name in ("lstrip", "rstrip", "normalized", "single_word")}
    return AddedToken(entry["content"], special=True, **flags)


def _content(entry: Any) -> str | None:
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None


def _added_token(token: Added) -> Any:
    from tokenizers import AddedToken

    flags = {"lstrip": token.lstrip, "rstrip": token.rstrip, "single_word": token.single_word}
    return AddedToken(token.content, special=token.special, normalized=token.normalized, **flags)


def _limit_templates(tokenizer: Any, folder: Path) -> None:
    """Refuse templates without an end, and let the others run for a limited time."""
    templates = tokenizer.chat_template
    for text in templates.values() if isinstance(templates, dict) else [templates]:
        try:
            if isinstance(text, str):
                require_bounded(text)
        except TemplateFault as fault:
            raise CheckpointError(
                f"The chat template of {folder.name} cannot be used: {fault}.",
                "It is damaged or hostile; do not use it.",
            ) from fault
    apply = tokenizer.apply_chat_template

    def apply_limited(*arguments: Any, **options: Any) -> Any:
        try:
            with limited():
                return apply(*arguments, **options)
        except Exception as error:  # it is a program: it may raise anything, and that is its fault
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise CheckpointError(
                f"The chat template of {folder.name} cannot be rendered: {reason}.", "Take another revision of it."
            ) from error

    tokenizer.apply_chat_template = apply_limited


def require_own_files(folder: Path) -> None:
    """Raise CheckpointError if tokenizer_config.json names a file outside of the folder, which transformers would read.

    Paths of the machine where a tokenizer was made are often left in it; they do no harm where there is no such file.
    """
    for key, value in _config(folder).items():
        if key == "fast_tokenizer_files":
            names = value if isinstance(value, list) else [value]
            foreign = next((name for name in names if not isinstance(name, str) or Path(name).name != name), None)
        else:
            named = key.endswith("_file") and isinstance(value, str) and _exists(value)
            foreign = value if named and not _inside(value, folder) else None
        if foreign is not None:
            raise CheckpointError(
                f"{CONFIG} names a file that is not the checkpoint's own: {key} = {str(foreign)[:200]!r}.",
                "Nothing of it was read. Take the field out; the tokenizer's files lie beside it.",
            )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        content = json.loads(limits.read_text(path, limits.JSON, encoding="utf-8-sig")) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{CONFIG} is not valid JSON: {error}.", "Download the file again.") from error
    return content if isinstance(content, dict) else {}


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long, or a NUL in it
        return False


def _inside(name: str, folder: Path) -> bool:
    """A snapshot of the Hub's cache is links: a file is the folder's own if it lies there by its name, followed or not."""
    home = folder.resolve()
    return home in Path(os.path.abspath(name)).parents or home in Path(name).resolve().parents  # noqa: PTH100 - unfollowed
