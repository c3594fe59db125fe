"""KL of every matrix under every codec, to second order, from one pass forwards and a few backwards.

A change ΔW of a weight moves the logits by δz, and to second order KL = ½ δzᵀ F δz with the softmax's Fisher matrix
F = diag(p) - p pᵀ. A random u = √p ∘ r - p (√p · r), r being signs, has the covariance F; so ½ E[(u · δz)²] is that KL, and
with u drawn independently at each position the sum over positions may be taken before the square. u · δz is found without δz:
u goes backwards through the model once, for all weights, and meets ΔW x at each matrix, x being what enters it there.

The sums are taken layer by layer, so memory is that of a layer and of the hidden states.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.kept import Kept
from ...core.progress import Progress
from ...validate.report.model import Estimate
from .codec import Codec
from .model import PartFigure
from .parts import EMBEDDINGS
from .path import Path
from .subject import Subject

Array = npt.NDArray[Any]
DRAWS = 8
"""Random directions of each document."""
WINDOW = 128
"""Tokens of a document here: more documents give more independent squares for the same work."""
RESAMPLES = 400
HEADS = 2 << 30
"""Bytes of changed heads that are held at a time."""
_SEED = 20_240


class Estimates:
    """What came out: u · δz of each matrix and codec for each random direction.

    Attributes:
        tokens: that the directions were drawn over.
    """

    def __init__(self, products: Mapping[tuple[str, str], Sequence[float]], tokens: int) -> None:
        self._products = {key: np.asarray(value, np.float64) for key, value in products.items()}
        self.tokens = tokens

    def kl(self, name: str, codec: Codec) -> float:
        """Return the mean KL per token in nats with one matrix compressed so. Raises KeyError for what was not estimated."""
        return self._mean(self._products[name, str(codec)])

    def figure(self, name: str, codec: Codec) -> Estimate:
        """Return it with the 95 % interval of a bootstrap over the directions."""
        products = self._products[name, str(codec)]
        draws = np.random.default_rng(0).integers(0, len(products), (RESAMPLES, len(products)))
        low, high = np.percentile([self._mean(products[draw]) for draw in draws], [2.5, 97.5])
        return Estimate(value=self._mean(products), low=float(low), high=float(high))

    def _mean(self, products: Array) -> float:
        return float(0.5 * np.square(products).sum() / DRAWS / self.tokens)


def estimate(subject: Subject, codecs: Mapping[str, Sequence[Codec]], progress: Progress) -> Estimates:
    """Estimate.

    Args:
        subject: opened with `window=WINDOW`.
        codecs: for each matrix those in question, which must fit its rows.
        progress: reports it.

    Raises:
        CheckpointError: a weight is not finite, or does not fit a type.
    """
    wanted = {name: list(map(str, found)) for name, found in codecs.items()}
    kept = Kept("estimate", {**subject.facts(), "codecs": wanted, "draws": DRAWS, "seed": _SEED}, progress)
    found = kept.get("products")
    if found is None:
        found = _Sweep(subject, codecs, progress).run()
        kept.put("products", found)
    products = {(name, codec): values for name, row in found.items() for codec, values in row.items()}
    return Estimates(products, sum(map(len, subject.ids)))


def measure(subject: Subject, codec: Codec, progress: Progress) -> list[PartFigure]:
    """Estimate every matrix alone under one codec; returns figures in the model's order."""
    cut = subject.parts("tensor")
    fitted = {part.name: codec.fitted(subject.checkpoint.info(part.name).shape[1]) for part in cut}
    found = estimate(subject, {name: [one] for name, one in fitted.items()}, progress)
    return [
        PartFigure(
            name=part.name,
            kind=part.kind,
            tensors=list(part.tensors),
            mean_kl=found.figure(part.name, fitted[part.name]),
            **subject.stored(part, codec),
        )
        for part in cut
    ]


class _Sweep:
    """One sweep from the logits back to the embeddings."""

    def __init__(self, subject: Subject, codecs: Mapping[str, Sequence[Codec]], progress: Progress) -> None:
        self._subject, self._codecs = subject, codecs
        self._path = Path(subject.checkpoint, subject.ids, progress)
        self._products: dict[str, dict[str, list[float]]] = {}
        self._task = progress.task("Estimating what each matrix costs", (subject.depth + 1) * self._path.tokens)

    def run(self) -> dict[str, dict[str, list[float]]]:
        """Return matrix → codec → products, [documents × DRAWS]."""
        backwards = self._from_logits()
        for index in reversed(range(self._subject.depth)):
            with self._path.model.layer(index, self._path.calls) as layer:
                changes = _Changes(self._subject, self._codecs, layer.prefix)
                for d in range(len(backwards)):
                    backwards[d] = self._through(layer, changes, d, self._path.entering[index][d], backwards[d])
                    self._task.advance(len(self._path.documents[d]))
        self._into_embeddings(backwards)
        self._task.finish()
        return self._products

    def _from_logits(self) -> list[Any]:
        """Draw u for every document, and take it back through head and norm: float32 [DRAWS, n, hidden] each."""
        weight, name = self._path.head.weight.float(), self._path.model.head_name
        codecs = list(self._codecs.get(name, ()))
        at_once = max(1, HEADS // (4 * weight.numel()))
        groups = [codecs[i : i + at_once] for i in range(0, len(codecs), at_once)] or [[]]
        backwards: list[Any] = []
        for number, group in enumerate(groups):
            changes = {str(codec): _change(self._subject, name, codec, weight) for codec in group}
            for d in range(len(self._path.documents)):
                into = self._from_head(d, weight, changes)
                if number == 0:
                    backwards.append(self._through_norm(d, into))
                    self._task.advance(len(self._path.documents[d]))
        return backwards

    def _from_head(self, d: int, weight: Any, changes: Mapping[str, Any]) -> Any:
        """Draw u for one document, the same each time, meet the head's changes, and return u behind the head."""
        import torch

        path, head = self._path, self._path.head
        final = torch.from_numpy(path.final[d])
        logits = torch.from_numpy(head.logits(path.final[d]))
        p = logits.softmax(1)
        root = p.sqrt()
        generator = torch.Generator().manual_seed(_SEED + d)
        slope = 1 - (logits / head.softcap).square() if head.softcap else None
        into = []
        with torch.no_grad():
            moved = {name: final @ change.T for name, change in changes.items()}
            for _ in range(DRAWS):
                signs = torch.randint(0, 2, p.shape, generator=generator, dtype=torch.int8).float() * 2 - 1
                u = root * signs
                u -= p * (root * u).sum(1, keepdim=True)
                u = (u if slope is None else u * slope) * head.scale
                into.append(u @ weight)
                for name, change in moved.items():
                    self._add(path.model.head_name, name, float((u * change).sum()))
        return torch.stack(into)

    def _through_norm(self, d: int, gradients: Any) -> Any:
        import torch

        before = self._path.leaving[d].detach().requires_grad_()
        with self._path.model.norm() as norm:
            after = norm(before)
            return torch.stack(
                [torch.autograd.grad(after, before, g[None], retain_graph=True)[0][0] for g in gradients]
            )

    def _through(self, layer: Any, changes: _Changes, d: int, entering: Any, gradients: Any) -> Any:
        """Take gradients [DRAWS, n, hidden] back through a layer, and meet its matrices' changes on the way."""
        import torch

        inside = entering.detach().requires_grad_()
        with _watched(layer) as seen:
            after = layer.run(d, inside)
        names = [name for name in seen if name in changes.of]
        back = [
            torch.autograd.grad(after, [inside, *(seen[n][1] for n in names)], g[None], retain_graph=True)
            for g in gradients
        ]
        with torch.no_grad():
            for i, name in enumerate(names):
                arriving = torch.stack([grads[i + 1].reshape(-1) for grads in back])
                for codec, change in changes.of[name].items():
                    moved = seen[name][0] @ change.T
                    for product in (arriving @ moved.reshape(-1)).tolist():
                        self._add(name, codec, product)
        return torch.stack([grads[0][0] for grads in back])

    def _into_embeddings(self, backwards: list[Any]) -> None:
        """Meet the change of the rows that were looked up; of tied embeddings it adds to the head's."""
        import torch

        table = self._path.compressed((), Codec("f32"))(EMBEDDINGS)
        known = self._products.get(EMBEDDINGS, {})
        for codec in self._codecs.get(EMBEDDINGS, ()):
            change = _change(self._subject, EMBEDDINGS, codec, table.float()) * self._path.model.embedding_scale
            products: list[float] = []
            for d, gradients in enumerate(backwards):
                rows = change[torch.tensor(list(self._path.documents[d]))]
                products += (gradients * rows).sum((1, 2)).tolist()
            before = known.get(str(codec), [0.0] * len(products))
            self._products.setdefault(EMBEDDINGS, {})[str(codec)] = [
                a + b for a, b in zip(before, products, strict=True)
            ]

    def _add(self, name: str, codec: str, product: float) -> None:
        self._products.setdefault(name, {}).setdefault(codec, []).append(product)


class _Changes:
    """What quantization changes of one layer's matrices: name → codec → float32 [rows, columns]."""

    def __init__(self, subject: Subject, codecs: Mapping[str, Sequence[Codec]], prefix: str) -> None:
        from ...validate.module_weights import checkpoint_tensors

        source = checkpoint_tensors(subject.checkpoint)
        self.of: dict[str, dict[str, Any]] = {}
        for name in (name for name in codecs if name.startswith(prefix)):
            weight = source(name).float()
            self.of[name] = {str(codec): _change(subject, name, codec, weight) for codec in codecs[name]}


def _change(subject: Subject, name: str, codec: Codec, weight: Any) -> Any:
    """Return what the codec adds to a weight, torch float32."""
    import torch

    return torch.from_numpy(codec.held(subject.checkpoint.tensor(name))) - weight


@contextlib.contextmanager
def _watched(layer: Any) -> Iterator[dict[str, tuple[Any, Any]]]:
    """Collect what goes into each matrix of a layer, torch [1, n, columns] without its graph, and what comes out."""
    import torch

    seen: dict[str, tuple[Any, Any]] = {}

    def hook(name: str) -> Any:
        def see(_module: Any, arguments: tuple[Any, ...], output: Any) -> None:
            seen[name] = (arguments[0].detach(), output)

        return see

    handles = [
        module.register_forward_hook(hook(f"{layer.prefix}{name}.weight"))
        for name, module in layer.module.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
