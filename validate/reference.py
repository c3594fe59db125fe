"""The torch reference, layer by layer: every document through one layer before the next is loaded.

Peak memory is one layer in float32 plus the hidden states of all documents, so that a 6B reference fits a small machine. The
layers are transformers' own; their weights come from the checkpoint, or de-quantised from an artefact.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ConversionError
from ..core.progress import Progress

Array = npt.NDArray[Any]
Tensors = Callable[[str], Any]
"""Gives a weight by its name in the checkpoint, as a torch tensor of any float type."""

HEAD_ROWS = 16384
"""Rows of the head that are widened at a time."""
WIDE = 256 << 20
"""Bytes up to which a widened head is kept."""


@dataclass(frozen=True)
class Head:
    """The last projection, kept in its own type and widened block by block. `weight` is [vocab, hidden]."""

    weight: Any
    bias: Any | None
    dtype: str
    softcap: float | None = None

    @functools.cached_property
    def _widened(self) -> Any:
        """The weight in the type of the computation, where that is small; widening it anew costs a fifth of the product."""
        import torch

        kind = getattr(torch, self.dtype)
        return self.weight.to(kind) if self.weight.numel() * kind.itemsize <= WIDE else self.weight

    def logits(self, hidden: Array) -> Array:
        """Project float32 hidden states [n, hidden] to float32 logits [n, vocab], computed in `dtype`."""
        import torch

        kind = getattr(torch, self.dtype)
        states = torch.from_numpy(np.ascontiguousarray(hidden)).to(kind)
        with torch.no_grad():
            made = torch.empty(len(states), self.weight.shape[0], dtype=kind)
            if self._widened.dtype == kind:
                torch.mm(states, self._widened.T, out=made)
            else:
                for start in range(0, self.weight.shape[0], HEAD_ROWS):
                    part = slice(start, start + HEAD_ROWS)
                    made[:, part] = states @ self.weight[part].to(kind).T
            if self.bias is not None:
                made += self.bias.to(kind)
            if self.softcap:
                made = torch.tanh(made / self.softcap) * self.softcap
        logits: Array = made.float().numpy()
        return logits


class _Recorder:
    """Stands in a layer's place and remembers how the model calls it."""

    def __init__(self, calls: list[dict[str, Any]]) -> None:
        import torch

        class Stand(torch.nn.Module):  # type: ignore[misc]
            def forward(self, hidden: Any, *arguments: Any, **options: Any) -> Any:
                calls.append({"arguments": arguments, "options": options})
                return hidden

        self.module = Stand()


class LayeredReference:
    """A model of transformers whose weights are never all in memory."""

    def __init__(self, folder: Path, tensors: Tensors, dtype: str = "float32") -> None:
        """Build the shell.

        Args:
            folder: of the checkpoint: config.json.
            tensors: the source of the weights.
            dtype: torch's name of the type in which everything is computed.

        Raises:
            ConversionError: transformers has no decoder of that kind with `model.layers` and `lm_head`.
        """
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        self._tensors = tensors
        self._dtype = dtype
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            self._shell = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
        self._softcap = getattr(config, "final_logit_softcapping", None)
        self._body: Any = getattr(self._shell, "model", None)
        if self._body is None or not hasattr(self._body, "layers") or not hasattr(self._shell, "lm_head"):
            raise ConversionError(f"The reference of model_type {config.model_type} cannot be run layer by layer.")

    def hidden_states(
        self,
        documents: Sequence[Sequence[int]],
        progress: Progress,
        label: str,
        embeddings: Sequence[Array] | None = None,
        watch: Callable[[Any, str], contextlib.AbstractContextManager[None]] | None = None,
    ) -> list[Array]:
        """Return the final (normed) hidden states of each document, float32 [n, hidden].

        Args:
            documents: token ids.
            progress: hears of tokens times layers.
            label: what the step is called.
            embeddings: for each document float32 [n, hidden] to take instead of its tokens' own.
            watch: entered with each layer and its prefix ("model.layers.0.") while all documents pass through it.
        """
        import torch

        layers = list(self._body.layers)
        task = progress.task(label, (len(layers) + 1) * sum(map(len, documents)))
        with torch.no_grad():
            states, calls = self._enter(documents, layers, embeddings)
            for i, layer in enumerate(layers):
                prefix = f"model.layers.{i}."
                with self._loaded(layer, prefix), watch(layer, prefix) if watch else contextlib.nullcontext():
                    for d, made in enumerate(states):
                        call = calls[d][i]
                        output = layer(made, *call["arguments"], **call["options"])
                        states[d] = output[0] if isinstance(output, tuple) else output
                        task.advance(len(documents[d]))
            with self._loaded(self._body.norm, "model.norm."):
                finals = [self._body.norm(made)[0].float().numpy() for made in states]
        task.finish()
        return finals

    def head(self) -> Head:
        """Return the projection to logits."""
        tied = self._shell.config.get_text_config().tie_word_embeddings
        name = "model.embed_tokens.weight" if tied else "lm_head.weight"
        bias = self._tensors("lm_head.bias") if self._shell.lm_head.bias is not None else None
        return Head(self._tensors(name), bias, self._dtype, self._softcap)

    def embed(self, documents: Sequence[Sequence[int]]) -> list[Array]:
        """Look each document's tokens up: float32 [n, hidden], as the table holds them."""
        table = self._tensors("model.embed_tokens.weight")
        return [table[list(ids)].float().numpy() for ids in documents]

    def _enter(
        self, documents: Sequence[Sequence[int]], layers: list[Any], embeddings: Sequence[Array] | None
    ) -> tuple[list[Any], list[list[dict[str, Any]]]]:
        """Embed each document, and learn from the model itself what it passes to each layer."""
        import torch

        states, calls = [], []
        body = self._body
        rotary = {name: module for name, module in body.named_children() if "rotary" in name}
        with self._loaded(body.embed_tokens, "model.embed_tokens."):
            for name, module in rotary.items():
                setattr(body, name, type(module)(config=self._shell.config))  # its buffers follow from the config
            norm, body.norm = body.norm, torch.nn.Identity()
            try:
                for d, ids in enumerate(documents):
                    made: list[dict[str, Any]] = []
                    body.layers = torch.nn.ModuleList([_like(_Recorder(made).module, layer) for layer in layers])
                    entered = (
                        {"input_ids": torch.tensor([list(ids)])}
                        if embeddings is None
                        else {"inputs_embeds": torch.from_numpy(embeddings[d])[None].to(getattr(torch, self._dtype))}
                    )
                    result = body(**entered, use_cache=False)
                    states.append(result.last_hidden_state)
                    calls.append(made)
            finally:
                body.layers = torch.nn.ModuleList(layers)
                body.norm = norm
        return states, calls

    @contextlib.contextmanager
    def _loaded(self, module: Any, prefix: str) -> Iterator[None]:
        """Give a module its weights, and the one buffer that follows from the config (Gemma's scale), for a while."""
        import torch

        kind = getattr(torch, self._dtype)
        buffers = [name for name, buffer in module.named_buffers() if buffer.is_meta]
        if set(buffers) - {"embed_scale"}:
            raise ConversionError(f"{prefix} has buffers that no checkpoint holds: {', '.join(buffers)}.")
        for name in buffers:
            scale = torch.tensor(self._shell.config.get_text_config().hidden_size ** 0.5, dtype=kind)
            assign(module, name, scale)
        with loaded(module, prefix, self._tensors, kind):
            yield


@contextlib.contextmanager
def loaded(module: Any, prefix: str, tensors: Tensors, kind: Any) -> Iterator[None]:
    """Give a module on torch's "meta" device its weights, in a type of torch, and take them away again."""
    import torch

    names = [name for name, _ in module.named_parameters()]
    for name in names:
        assign(module, name, torch.nn.Parameter(tensors(prefix + name).to(kind), requires_grad=False))
    try:
        yield
    finally:
        for name in names:
            parameter = module.get_parameter(name)
            assign(module, name, torch.nn.Parameter(parameter.to("meta"), requires_grad=False))


def _like(recorder: Any, layer: Any) -> Any:
    """Give the recorder what a model reads from its layers before it calls them."""
    for name in ("attention_type", "layer_type", "is_sliding"):
        if hasattr(layer, name):
            setattr(recorder, name, getattr(layer, name))
    return recorder


def assign(module: Any, name: str, value: Any) -> None:
    """Set a parameter or buffer by its dotted name."""
    *path, last = name.split(".")
    for part in path:
        module = getattr(module, part)
    setattr(module, last, value)


def checkpoint_tensors(checkpoint: Any) -> Tensors:
    """Return the checkpoint's weights as torch tensors over the mapped files."""
    import torch

    kinds = {
        np.dtype(np.uint16): torch.bfloat16,
        np.dtype(np.float16): torch.float16,
        np.dtype(np.float32): torch.float32,
    }

    def get(name: str) -> Any:
        array = checkpoint.tensor(name)
        kind = kinds[array.dtype]
        if not array.flags.writeable:  # a view of the mapped file: nothing here writes to it
            array = np.lib.stride_tricks.as_strided(array, array.shape, array.strides, writeable=False)
        with _quiet():
            return (
                torch.from_numpy(array.view(np.int16)).view(kind) if kind is torch.bfloat16 else torch.from_numpy(array)
            )

    return get


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warning that a read-only array could be written to."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        yield
