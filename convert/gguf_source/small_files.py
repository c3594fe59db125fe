"""What transformers keeps beside the weights, from a GGUF's keys: configs, tokenizer, chat templates, model card."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..gguf.metadata import SAMPLING
from ..gguf.read import GgufFile
from ..native_files import write_json
from . import tokenizer, vocabulary
from .keys import shortest
from .vocabulary import Source

_TEMPLATE = "tokenizer.chat_template"
_ROLES = ("bos", "eos", "unk", "sep", "pad", "mask")
_CARD = {"license": "license", "license.name": "license_name", "license.link": "license_link", "tags": "tags",
         "languages": "language"}  # fmt: skip
"""Keys behind general. → fields of a model card."""
_NAME = re.compile(r"[\w-]+")
_HUB = "https://huggingface.co/"


def write(folder: Path, file: GgufFile, config: dict[str, Any]) -> None:
    """Write the files into an empty folder.

    Args:
        folder: to write to.
        file: the GGUF.
        config: config.json, to which the ids of special tokens are added.

    Raises:
        CheckpointError: a vocabulary that cannot be read.
    """
    source = vocabulary.read(file)
    ids = _ids(source)
    write_json(folder / "config.json", config | ids)
    write_json(folder / "generation_config.json", {k: v for k, v in ids.items() if v is not None} | _sampling(file))
    tokenizer.make(source).save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", _tokenizer_config(source, config["max_position_embeddings"]))
    _write_templates(folder, file)
    _write_card(folder, file)


def _ids(source: Source) -> dict[str, Any]:
    ends = source.ends()
    return {
        "bos_token_id": source.special.get("bos"),
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
        "pad_token_id": source.special.get("pad"),
    }


def _sampling(file: GgufFile) -> dict[str, Any]:
    stated: dict[str, Any] = {}
    for field, (name, kind) in SAMPLING.items():
        value = file.keys.get(f"general.sampling.{name}")
        if isinstance(value, (int, float)):
            stated[field] = int(value) if kind is int else shortest(value)
    return {"do_sample": True, **stated} if stated else {}


def _tokenizer_config(source: Source, context: int) -> dict[str, Any]:
    stated = {f"{role}_token": source.tokens[source.special[role]] for role in _ROLES if role in source.special}
    return {
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        "tokenizer_class": "PreTrainedTokenizerFast",
        **stated,
    }


def _write_templates(folder: Path, file: GgufFile) -> None:
    default = file.keys.get(_TEMPLATE)
    if isinstance(default, str):
        (folder / "chat_template.jinja").write_text(default, "utf-8")
    for key, text in file.keys.items():
        name = key.removeprefix(f"{_TEMPLATE}.")
        if name != key and isinstance(text, str) and _NAME.fullmatch(name):
            others = folder / "additional_chat_templates"
            others.mkdir(exist_ok=True)
            (others / f"{name}.jinja").write_text(text, "utf-8")


def _write_card(folder: Path, file: GgufFile) -> None:
    """Keep license, tags and base models where a model card has them; a GGUF made of this one then says them too."""
    import yaml

    card = {field: file.keys.get(f"general.{key}") for key, field in _CARD.items()}
    bases = [
        value.removeprefix(_HUB)
        for key, value in file.keys.items()
        if re.fullmatch(r"general\.base_model\.\d+\.repo_url", key)
        and isinstance(value, str)
        and value.startswith(_HUB)
    ]
    kept = {field: value for field, value in (card | {"base_model": bases}).items() if value}
    if kept:
        text = yaml.safe_dump(kept, allow_unicode=True, sort_keys=False)
        (folder / "README.md").write_text(f"---\n{text}---\n", "utf-8")
