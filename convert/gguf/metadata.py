"""general.*: what a GGUF says about itself, where it comes from, and the checkpoint's own sampling defaults.

Keys are those of llama.cpp's converter (`gguf-py/gguf/metadata.py`), filled from the same places. Deviations:

- general.source.repo_url and general.source.url name the checkpoint that was converted, the second at its commit.
- general.base_model is what the model card says; for a card that says nothing it is the checkpoint itself.
- general.quantized_by is this program and its version.
- general.sampling.* is left out where generation_config.json says do_sample: false; the values then have no meaning.
- general.name keeps the hyphens of a Phi-3, by which llama.cpp knows its tokenizer.
- Nothing depends on the name of the local folder for a checkpoint from the Hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..card import read_card
from .header import Kind, Value, array, f32, i32, string, u32

_LONGEST_NAME = 200
_PHI = re.compile("phi-?3", re.IGNORECASE)
_HUB = "https://huggingface.co"
SAMPLING = {
    "top_k": ("top_k", int),
    "top_p": ("top_p", float),
    "min_p": ("min_p", float),
    "temperature": ("temp", float),
    "repetition_penalty": ("penalty_repeat", float),
}
"""Fields of generation_config.json, the key behind general.sampling., and its kind of number."""


@dataclass(frozen=True)
class Origin:
    """Where the checkpoint comes from: its id and commit on the Hub, or only a name for a local folder."""

    name: str
    repo_id: str | None = None
    commit: str | None = None


def general(
    origin: Origin,
    folder: Path,
    generation_config: Mapping[str, Any],
    *,
    strips: bool = False,
    file_type: int,
    parameters: int,
    version: str,
) -> dict[str, Value]:
    """Return the general.* keys, general.architecture excepted.

    Args:
        origin: of the checkpoint.
        folder: with README.md, if there is a model card.
        generation_config: generation_config.json.
        strips: the tokenizer swallows white space behind markers, and has the tokens that llama.cpp expects of a Phi-3 then.
        file_type: `enum llama_ftype`.
        parameters: elements of all tensors.
        version: of this program.
    """
    card = read_card(folder)
    keys = {"type": string("model"), **_names(card, origin, parameters, strips)}
    keys |= {
        "quantized_by": string(f"edgeconv {version}"),
        **_license(card),
        **_source(origin),
        **_base_models(card, origin),
    }
    tags = [*_list(card.get("tags")), *_list(card.get("pipeline_tag"))]
    for name, items in (("tags", tags), ("languages", _list(card.get("languages", card.get("language"))))):
        if items:
            keys[name] = array(Kind.STRING, list(dict.fromkeys(items)))
    keys |= _sampling(generation_config)
    keys |= {"file_type": u32(file_type), "quantization_version": u32(2)}
    return {f"general.{name}": value for name, value in keys.items()}


def _names(card: Mapping[str, Any], origin: Origin, parameters: int, strips: bool) -> dict[str, Value]:
    from gguf import Metadata, size_label

    name, organization, basename, finetune, version, label = Metadata.get_model_id_components(
        origin.repo_id or origin.name, parameters
    )
    texts = {
        "name": _stated_name(card, strips) or _name(name or origin.name, strips),
        "version": version,
        "organization": Metadata.id_to_title(organization) if organization else None,
        "finetune": finetune,
        "basename": basename,
        "size_label": label or size_label(parameters, parameters, 0, 0),
    }
    return {key: string(text) for key, text in texts.items() if text}


def _stated_name(card: Mapping[str, Any], strips: bool) -> str | None:
    """Return the card's own name of the model, by the keys that llama.cpp's converter takes; None: it has none."""
    stated = next((card[key] for key in ("name", "model_name") if isinstance(card.get(key), str) and card[key]), None)
    if stated is None or len(stated) > _LONGEST_NAME:
        return None
    return _PHI.sub("Phi 3", stated) if not strips else _name(stated, strips)


def _name(name: str, strips: bool) -> str:
    """Return general.name: the title that llama.cpp's converter makes, but for one case.

    llama.cpp swallows white space behind markers in files whose name has "phi-3" or "phi3" in it, and does not load such a
    file if its vocabulary is not Phi-3's (`src/llama-vocab.cpp`, "set attributes by model/tokenizer/architecture name").
    """
    from gguf import Metadata

    if strips:
        return name if _PHI.search(name) else f"{name} (phi-3 tokenizer)"
    return str(_PHI.sub("Phi 3", str(Metadata.id_to_title(name))))


def _license(card: Mapping[str, Any]) -> dict[str, Value]:
    stated = {
        "license": card.get("license"),
        "license.name": card.get("license_name"),
        "license.link": card.get("license_link"),
    }
    return {key: string(",".join(_list(value))) for key, value in stated.items() if _list(value)}


def _source(origin: Origin) -> dict[str, Value]:
    if origin.repo_id is None:
        return {}
    url = f"{_HUB}/{origin.repo_id}"
    keys = {"source.repo_url": string(url)}
    if origin.commit:
        keys["source.url"] = string(f"{url}/tree/{origin.commit}")
    return keys


def _base_models(card: Mapping[str, Any], origin: Origin) -> dict[str, Value]:
    from gguf import Metadata

    ids = _list(card.get("base_model")) or ([origin.repo_id] if origin.repo_id else [])
    keys: dict[str, Value] = {"base_model.count": u32(len(ids))} if ids else {}
    for number, model_id in enumerate(ids):
        name, organization, *_ = Metadata.get_model_id_components(model_id)
        texts = {
            "name": Metadata.id_to_title(name or model_id),
            "organization": Metadata.id_to_title(organization) if organization else None,
            "repo_url": f"{_HUB}/{model_id}" if organization else None,
        }
        keys |= {f"base_model.{number}.{key}": string(text) for key, text in texts.items() if text}
    return keys


def _sampling(generation_config: Mapping[str, Any]) -> dict[str, Value]:
    if generation_config.get("do_sample") is False:
        return {}
    keys = {}
    for field, (name, kind) in SAMPLING.items():
        value = generation_config.get(field)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**31:
            keys[f"sampling.{name}"] = i32(int(value)) if kind is int else f32(float(value))
    return keys


def _list(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str) and item]
