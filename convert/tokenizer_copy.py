"""The tokenizer's files as an artifact gets them: as they are, but for what a runtime or transformers would take otherwise.

A file is written anew only where it must be; all others are copied to the byte.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ..core import tokenizer_files
from ..core.hf_tokenizer import backend_of_pieces, without_left_out
from ..core.json_file import read_json
from ..core.sentencepiece_file import SentencePiece
from ..core.tokenizer_files import Files

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
_PLAIN = "PreTrainedTokenizerFast"
"""The class of transformers that takes tokenizer.json as it is."""
_TOKEN_LISTS = ("additional_special_tokens", "extra_special_tokens")


def written(folder: Path) -> dict[str, str]:
    """Return name → text of the files that an artifact gets in other words than the checkpoint has them.

    Raises:
        CheckpointError: a file is damaged, or a token without a row is needed.
    """
    files = tokenizer_files.read(folder)
    made = {TOKENIZER: _tokenizer(files), CONFIG: _config(files)}
    if files.left_out:
        gone = {token.content for token in files.left_out}
        if files.special_map:
            made["special_tokens_map.json"] = _without(files.special_map, gone)
        if files.added_file:
            made["added_tokens.json"] = {text: n for text, n in files.added_file.items() if text not in gone}
    return {name: dump(content) for name, content in made.items() if content is not None}


def notes(folder: Path) -> list[str]:
    """Return sentences for the plan on what is not taken over as it is."""
    return tokenizer_files.read(folder).notes()


def keep_pipeline(artifact: Path) -> list[str]:
    """Name the class in an artifact's tokenizer_config.json that takes tokenizer.json as it is; say so in a sentence."""
    path = artifact / CONFIG
    config = read_json(path) if path.is_file() else {}
    stated = config.get("tokenizer_class")
    path.write_text(dump(config | {"tokenizer_class": _PLAIN}), "utf-8")
    return [
        f"transformers 5 builds another tokenizer for {stated or 'this model type'} than {TOKENIZER} describes; {CONFIG} of the "
        f"artifact names {_PLAIN}, which does not"
    ]


def copy(path: Path, folder: Path, out: Path, made: dict[str, str]) -> None:
    """Copy a file of the checkpoint's folder into the artifact's, in a folder of its own too, unless it is among those `made`."""
    name = path.relative_to(folder)
    target = out / name
    if name.as_posix() not in made:
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)


def dump(content: dict[str, Any]) -> str:
    """Write JSON as the other small files have it."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _tokenizer(files: Files) -> dict[str, Any] | None:
    """Return tokenizer.json if the checkpoint has none that can be copied."""
    if not files.tokenizer:
        pieces = files.pieces
        return _of_pieces(files, pieces) if pieces else None
    frame = files.frame_flags() or {}
    ids = {role: files.id_of(role) for role, put in frame.items() if put}
    around = {role: number for role, number in ids.items() if number is not None}
    if not files.left_out and not around:
        return None
    content = without_left_out(files)
    return content | {"post_processor": _post_processor(files, around)} if around else content


def _of_pieces(files: Files, pieces: SentencePiece) -> dict[str, Any]:
    """Describe a sentencepiece model as runtimes read it that know no other file."""
    frame = {role: files.id_of(role) for role, put in (files.frame_flags() or {}).items() if put}
    around = {role: number for role, number in frame.items() if number is not None}
    content: dict[str, Any] = json.loads(backend_of_pieces(files, pieces).to_str())
    return content | {"post_processor": _post_processor(files, around)}


def _post_processor(files: Files, around: dict[str, int]) -> dict[str, Any]:
    """Return the step that puts these tokens around a text, as transformers makes it of the flags."""
    texts = {role: files.special(role) or "" for role in around}

    def part(which: str, number: int) -> list[dict[str, Any]]:
        put = {role: {"SpecialToken": {"id": text, "type_id": number}} for role, text in texts.items()}
        sequence = {"Sequence": {"id": which, "type_id": number}}
        return [step for step in (put.get("bos"), sequence, put.get("eos")) if step]

    special = {text: {"id": text, "ids": [around[role]], "tokens": [text]} for role, text in texts.items()}
    single, pair = part("A", 0), [*part("A", 0), *part("B", 1)]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


def _config(files: Files) -> dict[str, Any] | None:
    """Return tokenizer_config.json with its special tokens as texts: openvino_genai cannot read them as objects."""
    gone = {token.content for token in files.left_out}
    config = _without(files.config, gone) if gone else files.config
    objects = {name: value for name, value in config.items() if name.endswith("_token") and isinstance(value, dict)}
    plain = config | {name: value.get("content") for name, value in objects.items()}
    for name in _TOKEN_LISTS:
        if isinstance(plain.get(name), list):
            plain[name] = [entry.get("content") if isinstance(entry, dict) else entry for entry in plain[name]]
    if not files.tokenizer and files.pieces:
        plain["tokenizer_class"] = _PLAIN  # the classes of sentencepiece build another pipeline
    return plain if plain != files.config else None


def _without(table: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    """Return a table of special tokens without some."""

    def is_gone(entry: Any) -> bool:
        return (entry.get("content") if isinstance(entry, dict) else entry) in gone

    kept = {name: value for name, value in table.items() if not (name.endswith("_token") and is_gone(value))}
    for name in _TOKEN_LISTS:
        value = kept.get(name)
        if isinstance(value, list):
            kept[name] = [entry for entry in value if not is_gone(entry)]
        elif isinstance(value, dict):
            kept[name] = {key: entry for key, entry in value.items() if not is_gone(entry)}
    decoder = kept.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        kept["added_tokens_decoder"] = {number: entry for number, entry in decoder.items() if not is_gone(entry)}
    return kept
