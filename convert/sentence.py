"""The files of sentence-transformers beside a checkpoint: how the states of its tokens become one vector.

modules.json lists modules: Transformer, Pooling, Dense and Normalize are known, each with a folder. Sources:
sentence-transformers' `models/{Pooling,Dense,Normalize,Transformer}.py` (5.1).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core import limits
from ..core.errors import CheckpointError
from ..core.json_file import read_json
from .program.reading import whole
from .program.task import Dense, Pooling, Task

MODULES = "modules.json"
SENTENCE = "sentence_bert_config.json"
SETTINGS = "config_sentence_transformers.json"
_FOLDERS = ("1_*", "2_*", "3_*", "4_*")
_MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_IDENTITY = "Identity"
_WEIGHTS = "model.safetensors"
_BELOW = ("config.json", _WEIGHTS)
_OTHER = "It is refused, for what would be written makes other vectors."


def read(folder: Path) -> Task | None:
    """Return what a folder's modules.json says; None if there is none.

    Raises:
        CheckpointError: a file is damaged, or names a module or a pooling that is not known here.
    """
    path = folder / MODULES
    if not path.is_file():
        return None
    pooling: Pooling | None = None
    dense: list[Dense] = []
    normalize = False
    for kind, place in _modules(path):
        if normalize:
            raise CheckpointError(f"{MODULES} has the module {kind} behind Normalize, which is not known here.", _OTHER)
        if kind == "Pooling":
            pooling = _pooling(folder / place / "config.json")
        elif kind == "Dense":
            dense.append(_dense(folder, place))
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise CheckpointError(f"{MODULES} has a module {kind}, which is not known here.", _OTHER)
    if pooling is None:
        raise CheckpointError(f"{MODULES} lists no Pooling.", "It is not a model that makes one vector of a text.")
    return Task("embed", pooling, normalize, tuple(dense), _max_length(folder), prompts=_prompts(folder))


def files(folder: Path) -> list[Path]:
    """Return these files, in a fixed order."""
    named = [folder / name for name in (MODULES, SENTENCE, SETTINGS)]
    if not named[0].is_file():
        return []
    below = [place / name for pattern in _FOLDERS for place in sorted(folder.glob(pattern)) for name in _BELOW]
    return [path for path in (*named, *below) if path.is_file()]


def _modules(path: Path) -> list[tuple[str, str]]:
    """Return kind and folder of each module."""
    try:
        content = json.loads(limits.read_text(path, limits.JSON, encoding="utf-8-sig", hint="Download it again."))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{MODULES} is not valid JSON: {error}.", "Download the file again.") from error
    if not isinstance(content, list):
        raise CheckpointError(f"{MODULES} does not hold a list.", "Download the file again.")
    found = []
    for module in content:
        kind, place = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(place, str) or "/" in place or place.startswith("."):
            raise CheckpointError(f"{MODULES} has an entry without a type or a folder.", "Download the file again.")
        found.append((kind.rsplit(".", 1)[-1], place))
    return found


def _pooling(path: Path) -> Pooling:
    if not path.is_file():
        raise CheckpointError(f"{path.parent.name}/{path.name} is missing.", f"{MODULES} names it; download it again.")
    config = read_json(path)
    on = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    modes = [_MODES[name] for name in on if name in _MODES]
    if len(on) != 1 or len(modes) != 1:
        raise CheckpointError(
            f"{path.parent.name}/{path.name} asks for the pooling {' and '.join(on) or 'of no kind'}; known here is one of mean, "
            "first token and last token.",
            _OTHER,
        )
    if config.get("include_prompt") is False:
        raise CheckpointError(
            f"{path.parent.name}/{path.name} leaves the tokens of prompts out of the pooling.", _OTHER
        )
    return modes[0]


def _dense(folder: Path, place: str) -> Dense:
    path = folder / place / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{place}/config.json is missing.", f"{MODULES} names it; download it again.")
    config = read_json(path)
    act = str(config.get("activation_function", "")).rsplit(".", 1)[-1]
    if act != _IDENTITY:
        raise CheckpointError(
            f"{place}/config.json has the activation {act or 'Tanh'}, which is not known here.", _OTHER
        )
    sizes = [whole(config.get(name), f"{place}/{name}") for name in ("in_features", "out_features")]
    return Dense(place, sizes[0], sizes[1], bool(config.get("bias", True)))


def _max_length(folder: Path) -> int | None:
    path = folder / SENTENCE
    stated = read_json(path).get("max_seq_length") if path.is_file() else None
    return None if stated is None else whole(stated, f"{SENTENCE}: max_seq_length")


def _prompts(folder: Path) -> tuple[tuple[str, str], ...]:
    path = folder / SETTINGS
    stated: Any = read_json(path).get("prompts") if path.is_file() else None
    pairs = stated.items() if isinstance(stated, dict) else ()
    return tuple((name, text) for name, text in pairs if isinstance(text, str) and text)
