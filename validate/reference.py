"""The torch reference, layer by layer: every document through one layer before the next is loaded.

Peak memory is one layer in float32 plus the hidden states of all documents, so that a 6B reference fits a small machine. The
layers are transformers' own; their weights come from the checkpoint, or de-quantized from an artifact.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..convert.native_config import read_config
from ..core.errors import ConversionError
from ..core.progress import Progress
from . import peaks, rows
from .head import Head
from .lookups import lookup
from .module_weights import Tensors, assign, held, loaded
from .reference_shell import norm_of, require_layers, shell

Array = npt.NDArray[Any]
_UNWATCHED: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
Calls = list[list[dict[str, Any]]]
"""For each document and layer the arguments and options with which the model calls the layer."""


@dataclass(frozen=True)
class Layer:
    """A layer that has its weights: `run(document's number, states [1, n, hidden])` gives the states after it."""

    module: Any
    prefix: str
    run: Callable[[int, Any], Any]


class _Recorder:
    """Stands in a layer's place and remembers how the model calls it; gives a tuple where the model takes the first of one."""

    def __init__(self, calls: list[dict[str, Any]], *, in_tuple: bool = False) -> None:
        import torch

        class Stand(torch.nn.Module):  # type: ignore[misc]
            def forward(self, hidden: Any, *arguments: Any, **options: Any) -> Any:
                calls.append({"arguments": arguments, "options": options})
                return (hidden,) if in_tuple else hidden

        self.module = Stand()


class LayeredReference:
    """A model of transformers whose weights are never all in memory."""

    def __init__(
        self, source: Path | Any, tensors: Tensors, dtype: str = "float32", attention: str | None = None
    ) -> None:
        """Build the shell.

        Args:
            source: the checkpoint's folder, with config.json; or transformers' config itself.
            tensors: the source of the weights, by the names of transformers' modules (`loaded_names.as_loaded`).
            dtype: torch's name of the type in which everything is computed.
            attention: transformers' name of its implementation; None: the fastest that computes all that the model's does.

        Raises:
            ConversionError: transformers has no decoder of that kind with `model.layers` and `lm_head`.
        """
        self._tensors = tensors
        self._dtype = dtype
        config = read_config(source) if isinstance(source, Path) else source
        self._shell = shell(config, attention)
        self._body: Any = require_layers(self._shell)
        self.attention = str(self._shell.config.get_text_config()._attn_implementation)
        self.peaks: list[float] = []
        """The largest activation of each layer in the last `hidden_states`."""
        self.frequencies: Array | None = None
        """Rotary frequencies to take for those of the config, float32 [n], where a module has so many."""
        self._softcap = getattr(config, "final_logit_softcapping", None)
        scales = (getattr(config, name, None) for name in ("logit_scale", "lm_head_multiplier"))
        self._scale = math.prod(float(one or 1) for one in scales) / float(getattr(config, "logits_scaling", None) or 1)

    def hidden_states(
        self,
        documents: Sequence[Sequence[int]],
        progress: Progress,
        label: str,
        embeddings: Sequence[Array] | None = None,
        watch: Callable[[Any, str], contextlib.AbstractContextManager[None]] | None = None,
        *,
        firsts: Sequence[int] | None = None,
        row: int = 0,
    ) -> list[Array]:
        """Return the final (normed) hidden states of each document, float32 [n, hidden].

        Args:
            documents: token ids.
            progress: reports tokens times layers.
            label: what the step is called.
            embeddings: for each document float32 [n, hidden] to take instead of its tokens' own.
            watch: entered with each layer and its prefix ("model.layers.0.") while all documents pass through it.
            firsts: the position of each document's first token; None: 0.
            row: tokens that documents may have together which run side by side (`rows`); 0: each runs alone.
        """
        import torch

        task = progress.task(label, (self.depth + 1) * sum(map(len, documents)))
        self.peaks = []
        laid = rows.shared(documents, firsts, row) if embeddings is None else rows.alone(documents, firsts)
        with torch.no_grad():
            states, calls = self._enter(laid, embeddings)
            for i in range(self.depth):
                with (
                    self.layer(i, calls) as layer,
                    peaks.watched(layer.module) as peak,
                    watch(layer.module, layer.prefix) if watch else _UNWATCHED,
                ):
                    for d, made in enumerate(states):
                        states[d] = layer.run(d, made)
                        task.advance(len(laid[d].ids))
                self.peaks.append(peak.value)
            finals = self.leave(states)
        task.finish()
        return [part for one, final in zip(laid, finals, strict=True) for part in one.cut(final)]

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self._body.layers)

    @property
    def embedding_scale(self) -> float:
        """What the model multiplies a token's embedding with: 1, but for Gemma and Granite."""
        config = self._shell.config.get_text_config()
        if hasattr(self._body.embed_tokens, "embed_scale"):
            return float(config.hidden_size**0.5)
        return float(getattr(config, "embedding_multiplier", None) or 1)

    @contextlib.contextmanager
    def layer(self, index: int, calls: Calls, tensors: Tensors | None = None) -> Iterator[Layer]:
        """Load a layer for a while, with the checkpoint's weights or with others; `calls` as `enter` gives them."""
        module, prefix = self._body.layers[index], f"model.layers.{index}."

        def run(document: int, states: Any) -> Any:
            call = calls[document][index]
            output = module(states, *call["arguments"], **call["options"])
            return output[0] if isinstance(output, tuple) else output

        with self._loaded(module, prefix, tensors):
            yield Layer(module, prefix, run)

    @contextlib.contextmanager
    def norm(self, tensors: Tensors | None = None) -> Iterator[Any]:
        """Load the last norm for a while, with the checkpoint's weights or with others."""
        name = norm_of(self._body)
        with self._loaded(getattr(self._body, name), f"model.{name}.", tensors):
            yield getattr(self._body, name)

    def leave(self, states: Sequence[Any], tensors: Tensors | None = None) -> list[Array]:
        """Pass what the last layer made, torch [1, n, hidden] of each document, through the last norm: float32 [n, hidden]."""
        with self.norm(tensors) as norm:
            return [norm(made)[0].float().numpy() for made in states]

    @property
    def head_name(self) -> str:
        """The tensor that the last projection uses: the embeddings' if they are tied."""
        tied = self._shell.config.get_text_config().tie_word_embeddings
        return "model.embed_tokens.weight" if tied else "lm_head.weight"

    def head(self, tensors: Tensors | None = None) -> Head:
        """Return the projection to logits, of the checkpoint's weights or of others."""
        tensors = tensors or self._tensors
        bias = tensors("lm_head.bias") if self._shell.lm_head.bias is not None else None
        return Head(tensors(self.head_name), bias, self._dtype, self._softcap, self._scale)

    def embed(self, documents: Sequence[Sequence[int]]) -> list[Array]:
        """Look each document's tokens up: float32 [n, hidden], as the table holds them."""
        table = self._tensors("model.embed_tokens.weight")
        return [table[list(ids)].float().numpy() for ids in documents]

    def enter(
        self,
        documents: Sequence[Sequence[int]],
        embeddings: Sequence[Array] | None = None,
        tensors: Tensors | None = None,
        firsts: Sequence[int] | None = None,
    ) -> tuple[list[Any], Calls]:
        """Embed each document, and learn from the model itself what it passes to each layer.

        Args:
            documents: token ids.
            embeddings: as for `hidden_states`.
            tensors: the source of the embeddings; None: the checkpoint.
            firsts: as for `hidden_states`.

        Returns:
            What enters the first layer, torch [1, n, hidden] of each document, and what `layer` needs to be called.
        """
        return self._enter(rows.alone(documents, firsts), embeddings, tensors)

    def _enter(
        self, laid: Sequence[rows.Row], embeddings: Sequence[Array] | None, tensors: Tensors | None = None
    ) -> tuple[list[Any], Calls]:
        """Do as `enter` does, for rows."""
        import torch

        states, calls = [], []
        body = self._body
        layers = list(body.layers)
        rotary = {name: module for name, module in body.named_children() if _turns(name, module)}
        last = norm_of(body)
        with self._entrance(last, tensors):
            for name, module in rotary.items():
                setattr(body, name, self._turning(module))
            norm = getattr(body, last)
            setattr(body, last, torch.nn.Identity())
            try:
                in_tuple = _takes_first(body, layers[0])
                for d, row in enumerate(laid):
                    made: list[dict[str, Any]] = []
                    stands = [_Recorder(made, in_tuple=in_tuple).module for _ in layers]
                    body.layers = torch.nn.ModuleList(map(_like, stands, layers))
                    entered = (
                        {"input_ids": torch.tensor([row.ids])}
                        if embeddings is None
                        else {"inputs_embeds": torch.from_numpy(embeddings[d])[None].to(getattr(torch, self._dtype))}
                    )
                    if row.positions is not None:
                        entered["position_ids"] = torch.tensor([row.positions])
                    result = body(**entered, use_cache=False)
                    states.append(result.last_hidden_state)
                    calls.append(made)
            finally:
                body.layers = torch.nn.ModuleList(layers)
                setattr(body, last, norm)
        return states, calls

    @contextlib.contextmanager
    def _entrance(self, last: str, tensors: Tensors | None) -> Iterator[None]:
        """Load for a while what stands before the layers: the embeddings, and what makes further inputs of layers."""
        import torch

        body, tables = self._body, {}
        kind, source = getattr(torch, self._dtype), tensors or self._tensors
        with contextlib.ExitStack() as stack:
            for name, module in list(body.named_children()):
                if name in ("layers", last) or _turns(name, module):
                    continue
                if isinstance(module, torch.nn.Embedding) and name != "embed_tokens":
                    tables[name] = module
                    setattr(body, name, lookup(source, f"model.{name}.weight", _scale_of(module), kind))
                else:
                    stack.enter_context(self._loaded(module, f"model.{name}.", tensors))
            try:
                yield
            finally:
                for name, module in tables.items():
                    setattr(body, name, module)

    def _turning(self, module: Any) -> Any:
        """Make a rotary embedding anew: its buffers follow from the config, or are those that were given."""
        import torch

        made = type(module)(config=self._shell.config)
        given, own = self.frequencies, getattr(made, "inv_freq", None)
        if given is not None and own is not None and own.numel() == given.size:
            made.inv_freq = torch.from_numpy(given.copy()).reshape(own.shape)
        return made

    @contextlib.contextmanager
    def _loaded(self, module: Any, prefix: str, tensors: Tensors | None = None) -> Iterator[None]:
        """Give a module its weights, and its buffers: those that a checkpoint holds, and Gemma's scale, for a while."""
        import torch

        kind = getattr(torch, self._dtype)
        for name, part in list(module.named_modules()):
            if name and "inv_freq" in part._non_persistent_buffers_set:  # its buffers follow from the config
                assign(module, name, self._turning(part))
        buffers = {name for name, buffer in module.named_buffers() if buffer.is_meta}
        derived = buffers - set(module.state_dict())
        if {name.rpartition(".")[2] for name in derived} - set(DERIVED):
            raise ConversionError(f"{prefix} has buffers that no checkpoint holds: {', '.join(sorted(derived))}.")
        for name in derived:
            owner = held(module, name.rpartition(".")[0]) if "." in name else module
            made = DERIVED[name.rpartition(".")[2]](self._shell.config, owner)
            assign(module, name, torch.as_tensor(made, dtype=kind))
        with loaded(module, prefix, tensors or self._tensors, kind):
            yield


def _takes_first(body: Any, layer: Any) -> bool:
    """Tell whether a model takes its layers' outputs for tuples, which takes an axis from what is none."""
    import torch

    body.layers = torch.nn.ModuleList([_like(_Recorder([]).module, layer)])
    made = body(input_ids=torch.tensor([[0]]), use_cache=False).last_hidden_state
    return bool(made.ndim < 3)


def _turns(name: str, module: Any) -> bool:
    """Tell a rotary embedding, whose buffers follow from the config."""
    return "rotary" in name or hasattr(module, "inv_freq")


def _scale_of(module: Any) -> float:
    """Return what a table's rows are multiplied by, which transformers' class keeps beside the buffer of it."""
    return float(getattr(module, "scalar_embed_scale", 1.0))


def _mup_vector(config: Any, owner: Any) -> Any:
    """Return the factors of what a scan's first matrix gives, as the module's own file computes them of the config."""
    return sys.modules[type(owner).__module__].compute_mup_vector(config)


DERIVED: dict[str, Callable[[Any, Any], Any]] = {
    "embed_scale": lambda config, owner: _scale_of(owner),
    "mup_vector": _mup_vector,
}
"""Buffers that no checkpoint holds: (config, the module that has them) → what is in them."""


def _like(recorder: Any, layer: Any) -> Any:
    """Give the recorder what a model reads from its layers before it calls them."""
    for name in ("attention_type", "layer_type", "is_sliding", "is_attention_layer"):
        if hasattr(layer, name):
            setattr(recorder, name, getattr(layer, name))
    return recorder
