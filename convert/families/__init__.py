"""The model families: one file for each `model_type`, in which everything about it is declared (`program.spec.Family`).

Everybody else asks here. No other file names a family (tests/convert/test_family_names.py).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...core.errors import CheckpointError
from ..program.decoder import Decoder
from ..program.mmproj_spec import Mmproj
from ..program.reading import DAMAGED, Config, UnsupportedArchitecture
from ..program.spec import Family, Scheme, VisionPart
from . import registry
from .registry import find

if TYPE_CHECKING:
    from ..program.vision import Vision

__all__ = [
    "Family",
    "VisionPart",
    "decoder",
    "fields",
    "find",
    "int4_default",
    "is_native",
    "of_language",
    "projector",
    "projectors",
    "some_of",
    "streamed",
    "unused_tensors",
    "vision",
    "vision_language_types",
    "vision_part",
]  # fmt: skip


def streamed() -> tuple[str, ...]:
    """Return the model types whose block the stream engines build, as checkpoints state them."""
    return tuple(one.model_type for one in registry.every() if one.streamed and one.vision_part is None)


def vision_language_types() -> tuple[str, ...]:
    """Return the model types of vision-language models whose vision part is described here."""
    return tuple(
        one.model_type for one in registry.every() if one.vision_part and one.vision_part.model_type == one.model_type
    )


def some_of(names: Sequence[str], kind: str) -> str:
    """Name those of several model types that are spelled most like `kind`, and say how many more there are."""
    near = sorted(difflib.get_close_matches(kind, names, 6, 0))
    return f"{', '.join(near)} and {len(names) - len(near)} more types (the README lists them)"


def decoder(config: Config) -> Decoder:
    """Describe the checkpoint's decoder, or that of a vision-language model.

    Raises:
        CheckpointError: config.json is damaged or contradicts itself.
        UnsupportedArchitecture: the stream engines cannot build it, with the reason.
    """
    family, read = of_language(config)
    if family is None or not family.streamed:
        raise UnsupportedArchitecture(f"no block is known of model_type {read['model_type']}")
    whole = find(config["model_type"])
    described = family.decoder(read)
    return whole.language.adapted(config, described) if whole and whole.language else described


def of_language(config: Config) -> tuple[Family | None, Config]:
    """Return the family of the language model, and the config that it reads: of a text model its own.

    `config` is in the form of `multimodal`: the fields of text_config stand beside its own.
    """
    family = find(config["model_type"])
    if family is None or family.language is None:
        return family, config
    text = config.get("text_config")
    kind = family.language.family or (text.get("model_type") if isinstance(text, dict) else None)
    read = family.language.config({**config, "model_type": kind})
    return (find(kind) if isinstance(kind, str) else None), read


def fields(model_type: str, language: str | None = None) -> frozenset[str]:
    """Return the fields of config.json that the family's reader reads, those of the vision part included.

    Args:
        model_type: as config.json states it; one that has no file has none.
        language: that of the language model, if it is another.
    """
    family, part = find(language or model_type), vision_part(model_type)
    return (family.fields if family else frozenset()) | (part.fields if part else frozenset())


def vision_part(model_type: str, names: Iterable[str] | None = None) -> VisionPart | None:
    """Return the vision part that checkpoints of a type may have; with the names of its tensors, the one that it has."""
    family = find(model_type)
    owner = find(family.vision) if family and family.vision else None
    part = owner.vision_part if owner else None
    return part if part and (names is None or any(name.startswith(part.prefix) for name in names)) else None


def projectors() -> tuple[str, ...]:
    """Return llama.cpp's names of the projectors that are written, sorted."""
    parts = [one.vision_part for one in registry.every() if one.vision_part]
    return tuple(sorted({part.mmproj.kind for part in parts if part.mmproj}))


def projector(kind: str) -> Mmproj | None:
    """Return what is declared of a projector, by llama.cpp's name; None: no family has it."""
    parts = [one.vision_part for one in registry.every() if one.vision_part]
    return next((part.mmproj for part in parts if part.mmproj and part.mmproj.kind == kind), None)


def unused_tensors(model_type: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of tensors that a checkpoint with these names may hold and its model never reads."""
    part = vision_part(model_type, names)
    return part.unused_tensors if part else ()


def vision(config: Config, names: Collection[str], decoder: Decoder) -> Vision | None:
    """Describe the vision part, which a checkpoint has if its tensors say so; None for a text model.

    Raises:
        CheckpointError: config and tensors contradict each other.
    """
    part, described = vision_part(config["model_type"]), config.get("vision_config")
    if part is None:
        return None
    if not any(name.startswith(part.prefix) for name in names):
        if described is not None or config["model_type"] == part.model_type:
            raise CheckpointError(
                f"config.json describes a {part.title}, but no tensor's name begins with {_either(part.prefix)}",
                "A shard is missing."
                if config["model_type"] == part.model_type
                else "A shard is missing. To convert the language model alone, take vision_config out of config.json.",
            )
        return None
    if not isinstance(described, dict):
        raise CheckpointError(
            f"The checkpoint has tensors {_either(part.prefix)}*, but its config.json has no vision_config.",
            "It is the text model's, or of another revision than the weights; download all files again.",
        )
    try:
        found: Vision = part.describe(config, described, decoder)
    except UnsupportedArchitecture as reason:
        raise CheckpointError(f"The vision tower cannot be converted: {reason}.", DAMAGED) from reason
    return found


def _either(prefix: str | tuple[str, ...]) -> str:
    return prefix if isinstance(prefix, str) else " or ".join(prefix)


def int4_default(config: Config, vision: Vision | None = None) -> Scheme | None:
    """Return the vendor's own int4 choice (sym, group_size, ratio) for the language model, if the family has one."""
    if vision is not None:
        part = vision_part(vision.family)
        return part.int4_default if part else None
    family = find(config["model_type"])
    return family.int4_default(config) if family else None


def is_native(config: dict[str, Any]) -> bool:
    """True if the architecture is known without code from the checkpoint."""
    family = find(config["model_type"])
    return family is not None and family.streamed


def language_part(config: Config) -> Family | None:
    """Return the family of a language model that may lie within a larger model, by either's config; None: of no other."""
    text = config.get("text_config")
    inner = text.get("model_type") if isinstance(text, dict) else config["model_type"]
    family = find(inner) if isinstance(inner, str) else None
    return family if family and config["model_type"] in family.within | ({inner} if family.within else set()) else None
