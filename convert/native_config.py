"""config.json as transformers' own class, from the fields that describe a model and no others.

transformers' base classes read fields of their own from the same file: which implementation computes attention or experts (a
name with a slash is a repository of the Hub, whose code then runs), classes in files beside it, quantizers, adapters, plans for
several devices. Those are decisions of whoever runs the model, not of whoever wrote the file. So the fields are taken by a list:
what transformers' class of the family declares, the harmless ones of every family, and besides these only numbers; a name that
speaks of such a decision is taken with numbers only, whoever declares it, at any depth.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from ..core.foreign_code import block_foreign_code
from ..core.json_file import read_json
from ..core.lean_transformers import import_models
from ..core.scratch import scratch
from .claims import PARTS, native

OURS = (None, "eager", "sdpa")
"""Implementations of attention that are transformers' and torch's own code."""
_COMMON = {
    "architectures", "bos_token_id", "chunk_size_feed_forward", "decoder_start_token_id", "dtype", "eos_token_id", "id2label",
    "is_decoder", "is_encoder_decoder", "label2id", "model_type", "pad_token_id", "problem_type", "sep_token_id",
    "tie_word_embeddings", "tokenizer_class", "torch_dtype", "transformers_version",
}  # fmt: skip
"""Fields of every family that decide on no code."""
_POWERS = re.compile(
    r"kernel|implementation|auto_map|trust|quanti[sz]|adapter|peft|name_or_path|(tp|pp|ep)_plan|device|revision"
)
"""In names of fields that decide on code; numbers are taken if the class declares them (kernels of a convolution are counted)."""


def admitted(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a config.json, parts included, that transformers is shown."""
    return _admitted(config, str(config.get("model_type", "")))


def read_config(folder: Path) -> Any:
    """Return a folder's config.json as transformers' config.

    Raises:
        CheckpointError: the file is not JSON object.
        Exception: of any kind, by the class of the family: the file cannot be right.
    """
    block_foreign_code()
    import_models()
    from transformers import AutoConfig

    with scratch(Path(tempfile.gettempdir()), "edgeconv-config-") as place:
        # AutoConfig knows more than the class: old names
        (place / "config.json").write_text(json.dumps(admitted(read_json(folder / "config.json"))), "utf-8")
        config = AutoConfig.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    config._name_or_path = str(folder)
    return config


def meant(stated: dict[str, Any]) -> Any:
    """Return what a config means to transformers' class of its type, defaults filled in; None if it has none that takes it."""
    from transformers import CONFIG_MAPPING

    kind = stated.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        return None
    try:
        config = CONFIG_MAPPING[kind].from_dict(admitted(stated))
        config.to_dict()  # some fail only here
    except Exception:  # noqa: BLE001 - checks of their own, by class and version; callers then look at the fields themselves
        return None
    return config


def require_own_code(model: Any) -> None:
    """Refuse a model of which a part computes attention by other than transformers' own code; no such model should be built."""
    for module in model.modules():
        chosen = getattr(getattr(module, "config", None), "_attn_implementation", None)
        if chosen not in OURS:
            raise RuntimeError(f"{type(module).__name__} would compute attention by {chosen!r}")


def _admitted(table: dict[str, Any], kind: str) -> dict[str, Any]:
    declared = native.fields(kind) or frozenset()
    found = {}
    for name, value in table.items():
        if name in PARTS and isinstance(value, dict):
            found[name] = _admitted(value, str(value.get("model_type", kind)))
        elif name in declared:
            found |= _harmless({name: value})
        elif name in _COMMON or (_is_number(value) and not name.startswith("_") and not _POWERS.search(name)):
            found[name] = value
    return found


def _harmless(value: Any) -> Any:
    """Return a value without what speaks of code, at any depth."""
    if isinstance(value, dict):
        return {k: _harmless(v) for k, v in value.items() if _is_number(v) or not _POWERS.search(str(k))}
    return [_harmless(one) for one in value] if isinstance(value, list) else value


def _is_number(value: Any) -> bool:
    """True for what names nothing: numbers, truth values, and lists and tables of them."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return all(map(_is_number, inner)) if inner is not None else value is None or isinstance(value, int | float)
