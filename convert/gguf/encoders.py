"""An encoder as llama.cpp knows it, by what its family's file declares (`program.encoder_gguf`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from .. import encoders, families
from ..alternatives import InexpressibleError
from ..gguf_held import AS_IT_IS
from ..program.encoder import Encoder
from ..program.encoder_gguf import EncoderGguf, Written
from ..program.experts import Experts
from ..program.reading import UnsupportedArchitecture
from ..program.states import States
from ..program.task import Task
from .model import Model, Tensor, model, refuse

_WHOLE = "tokenizer."
"""How keys begin that are no architecture's."""


@dataclass(frozen=True)
class EncoderBody:
    """Implements `model.Body` for an encoder: it has neither experts nor a head."""

    encoder: Encoder
    num_heads: int
    experts: tuple[Experts | None, ...] = ()
    tied: bool = False
    delicate: frozenset[str] = frozenset()

    @property
    def family(self) -> str:
        """Its model_type."""
        return self.encoder.family

    @property
    def vocab_size(self) -> int:
        """Rows of the table of tokens."""
        return self.encoder.vocab_size

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return self.encoder.num_layers

    @property
    def num_kv_heads(self) -> int:
        """As many as there are of queries."""
        return self.num_heads

    @property
    def assumed(self) -> tuple[str, ...]:
        """Values absent from config.json, as sentences."""
        return self.encoder.assumed

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor."""
        return self.encoder.tensors()


def gguf_of(model_type: str) -> EncoderGguf | None:
    """Return how llama.cpp knows the encoders of a model_type; None: not as encoders."""
    family = encoders.find(model_type)
    return family.gguf if family else None


def architectures() -> frozenset[str]:
    """Return the architectures of llama.cpp that are encoders and are written here."""
    return frozenset(one.gguf.arch for one in encoders.every() if one.gguf)


def find(config: dict[str, Any], names: Collection[str], sentence: Task | None) -> Encoder | None:
    """Describe a checkpoint that a GGUF takes as an encoder; None: it is none, or llama.cpp knows it as a decoder.

    Args:
        config: config.json.
        names: of its tensors.
        sentence: what the files of sentence-transformers say, if there are any.

    Raises:
        CheckpointError: it is an encoder of which no GGUF can be written.
    """
    family = encoders.find(str(config.get("model_type")))
    if family is None:
        return None
    encoder = encoders.describe(config, names, sentence) if family.gguf else None
    if encoder is None and family.always:
        raise InexpressibleError(
            f"GGUF files of this {family.model_type} cannot be written: it is no encoder that llama.cpp has.",
            InexpressibleError.usual_hint,
        )
    if encoder is not None and encoder.task.kind == "score":
        raise InexpressibleError(
            "GGUF files of models that give scores are not written: the packaged llama.cpp (cyllama) hands out no pooled "
            "numbers, by which one could be checked.",
            InexpressibleError.usual_hint,
        )
    return encoder


def describe(encoder: Encoder) -> Model:
    """Describe an encoder in llama.cpp's terms.

    Raises:
        CheckpointError: llama.cpp cannot run what the config says.
    """
    gguf = gguf_of(encoder.family)
    assert gguf is not None
    try:
        written = gguf.written(encoder)
    except UnsupportedArchitecture as reason:
        raise refuse(str(reason), reason.hint) from reason
    if isinstance(encoder, States):
        return _of_block(encoder, gguf, written)
    tensors = []
    for source, shape in encoder.tensors().items():
        held = written.held.get(source, AS_IT_IS)
        tensors.append(Tensor(written.names[source], held.shape(shape), source, held=held))
    keys = {name if name.startswith(_WHOLE) else f"{gguf.arch}.{name}": v for name, v in written.keys.items()}
    body = EncoderBody(encoder, written.heads)
    return Model(gguf.arch, body, encoder.positions, tuple(tensors), keys, encoder.unused, written.notes)


def _of_block(states: States, gguf: EncoderGguf, written: Written) -> Model:
    """Describe a decoder's block that llama.cpp knows as an encoder of its own: the decoder's names, without a head."""
    family = families.find(states.family)
    assert family is not None
    assert family.gguf is not None
    return model(
        gguf.arch, replace(states.decoder, tied=True), states.positions, keys=written.keys, names=family.gguf.names,
        norm_offset=family.gguf.norm_offset, skipped_tensors=states.unused, notes=written.notes,
    )  # fmt: skip
