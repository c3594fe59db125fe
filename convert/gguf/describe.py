"""A checkpoint in llama.cpp's terms, by what its family's file declares (`program.spec.Gguf`)."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ...core.errors import CheckpointError
from .. import claims, encoders, families
from ..alternatives import InexpressibleError
from ..checkpoint import Checkpoint
from ..families import registry
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.reading import Config, UnsupportedArchitecture
from ..program.rope import parameters as require_one_rope
from ..program.spec import Family
from ..program.task import Task
from . import dense, positions
from . import encoders as as_encoder
from .model import Model, model, refuse

UNBOUNDED = 2**20
"""The context of a model that counts no positions, as llama.cpp's own converter states it."""
__all__ = ["describe", "describe_as_claimed", "fields", "of_checkpoint", "supported"]


def supported() -> tuple[str, ...]:
    """Return the model types that can be written, sorted."""
    return tuple(one.model_type for one in registry.every() if _is_known(one))


def fields(model_type: str, language: str | None = None) -> frozenset[str]:
    """Return the fields of config.json that are read; a type that cannot be written has none.

    Args:
        model_type: as config.json states it.
        language: that of its language model, if it is another.
    """
    family = families.find(model_type)
    return families.fields(model_type, language) if language or (family and family.gguf) else frozenset()


def _is_known(family: Family) -> bool:
    """Tell whether llama.cpp has a family, or its language model; of some the config states which that is."""
    if family.gguf or family.language is None:
        return family.gguf is not None
    language = families.find(family.language.family) if family.language.family else None
    return language.gguf is not None if language else family.language.family is None


def describe_as_claimed(
    config: dict[str, Any], names: Collection[str], sentence: Task | None = None
) -> tuple[Model, tuple[str, ...]]:
    """Describe a checkpoint of which every field is read, harmless or named in a note.

    Args:
        config: config.json.
        names: of its tensors.
        sentence: what the files of sentence-transformers say, if there are any.

    Returns:
        The description, and sentences for the plan.

    Raises:
        CheckpointError: as `describe`, or config.json states what nobody reads.
    """
    encoder = as_encoder.find(config, names, sentence)
    if encoder is not None:
        return as_encoder.describe(encoder), encoders.claim(encoder, config, names)
    notes = claims.require(config, names)
    described, kind = describe(config), config["model_type"]
    assert isinstance(described.decoder, Decoder)
    language = described.decoder.family
    read = fields(kind, None if language == kind else language)
    return described, notes + claims.unread(config, f"the reader of {kind}", read)


def of_checkpoint(checkpoint: Checkpoint) -> Model:
    """Describe an opened checkpoint, a decoder or an encoder. Raises CheckpointError as `describe` does."""
    encoder = as_encoder.find(checkpoint.config, checkpoint.names, checkpoint.sentence)
    return describe(checkpoint.config) if encoder is None else dense.added(as_encoder.describe(encoder), checkpoint)


def describe(config: dict[str, Any]) -> Model:
    """Describe a checkpoint in llama.cpp's terms.

    Raises:
        CheckpointError: the architecture is not known, or llama.cpp cannot run what the config says.
    """
    kind, whole = config["model_type"], families.find(config["model_type"])
    family, read = families.of_language(config)
    own = whole.gguf if whole else None
    gguf = own or (family.gguf if family else None)
    if family is None or gguf is None:
        raise InexpressibleError(
            f"GGUF files cannot be written for model_type {kind}.", f"Supported: {families.some_of(supported(), kind)}."
        )
    try:
        described = _describe(family, gguf, read, config if own else read)
        described = replace(described, skipped_tensors=(*described.skipped_tensors, *_of_pictures(whole)))
        for value in described.keys.values():
            value.pack()
    except UnsupportedArchitecture as reason:
        raise refuse(str(reason), reason.hint) from reason
    except (KeyError, TypeError, ValueError, ArithmeticError, struct.error) as error:
        raise CheckpointError(
            f"config.json holds a value out of range: {type(error).__name__}: {error}.",
            "Repair the file, or download it again.",
        ) from error
    return described


def _describe(family: Family, gguf: Gguf, config: Config, stated: Config) -> Model:
    """Describe a language model by its config; `stated` is that of the model which it is a part of."""
    flat = gguf.flatten(config)
    require_one_rope(flat)
    decoder = family.plain(config)
    _require(gguf, decoder)
    context = positions.context(config, family.defaults.get("max_position_embeddings", UNBOUNDED))
    keys = gguf.keys(stated, decoder)
    stretch = gguf.stretch(config, decoder, context)
    if stretch is None:
        stretch = positions.stretch(flat, decoder, context, rope_factors=gguf.rope_factors)
    notes = gguf.notes(keys)
    if not gguf.windows:
        context, said = positions.within_window(family, config, context)
        notes += said
    return model(
        gguf.arch_of(decoder) if gguf.arch_of else gguf.arch, decoder, context,
        keys={**keys, **stretch.keys}, constants=stretch.factors, names=gguf.names, held=gguf.held(decoder),
        split=gguf.split(decoder),
        joined=family.joined, keys_of_all=gguf.keys_of_all,
        permute_qk=gguf.permute_qk, norm_offset=gguf.norm_offset, skipped_tensors=gguf.skipped_tensors, notes=notes,
    )  # fmt: skip


def _of_pictures(whole: Family | None) -> tuple[str, ...]:
    """Return patterns of the tensors of a vision part."""
    part = whole.vision_part if whole and whole.language else None
    prefixes = (part.prefix,) if part and isinstance(part.prefix, str) else part.prefix if part else ()
    return tuple(f"{prefix}*" for prefix in prefixes)


def _require(gguf: Gguf, decoder: Decoder) -> None:
    """Raise UnsupportedArchitecture for what llama.cpp's loader or graph of the architecture takes for granted."""
    if gguf.square_heads and decoder.q_size != decoder.hidden_size:
        raise UnsupportedArchitecture(
            f"its {decoder.num_heads} heads of {decoder.head_dim} are {decoder.q_size} wide, the model {decoder.hidden_size}, "
            f"and llama.cpp's loader of {gguf.arch!r} takes the two for equal"
        )
    if decoder.activation != gguf.activation:
        raise UnsupportedArchitecture(
            f"its MLP uses {decoder.activation}, and llama.cpp's {gguf.arch!r} always {gguf.activation}"
        )
    if decoder.output_bias and not gguf.output_bias:
        raise UnsupportedArchitecture(
            f"its output projections have biases, which llama.cpp's {gguf.arch} does not load"
        )
