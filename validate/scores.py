"""Per-token figures of two models' logits, added chunk by chunk; nothing of [positions × vocabulary] is kept.

Per token, from the float32 logits r (reference) and a (artifact):

    KL      = Σ_v p_r(v) · (ln p_r(v) − ln p_a(v)), in nats
    top-k   = share of the reference's k best that are among the artifact's k best (top-1: top-1 agreement)
    Δp      = p_a(t) − p_r(t) for the token t that follows, in percentage points
    NLL     = −ln p(t)

A row of logits is read a dozen times, so rows are taken by a few at a time, as many as a core's cache holds.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from . import scores_native

Array = npt.NDArray[Any]
TOPS = (1, 5, 10)
SHOWN = 3
"""Alternatives that a report shows of a position."""
_SLICE = 400_000
"""Logits of each side that are worked on at a time: 1.6 MB."""
_BLOCK = 64
"""Logits of one block in the search for the largest."""


@dataclass(frozen=True)
class Chunk:
    """KL [n] of each position, and the reference's best tokens [n, SHOWN] with their probabilities under both."""

    kl: Array
    best: Array
    reference: Array
    artifact: Array


@dataclass
class Scores:
    """Per-token figures of one document; each array has one entry a scored position."""

    kl: list[Array] = field(default_factory=list)
    tops: dict[int, list[Array]] = field(default_factory=lambda: {k: [] for k in TOPS})
    dp: list[Array] = field(default_factory=list)
    nll_reference: list[Array] = field(default_factory=list)
    nll_artefact: list[Array] = field(default_factory=list)
    max_abs: list[Array] = field(default_factory=list)
    sum_abs: list[Array] = field(default_factory=list)
    cosine: list[Array] = field(default_factory=list)
    not_finite: int = 0

    def add(self, reference: Array, artifact: Array, following: Array) -> Chunk:
        """Add a chunk, and return what a report shows of each of its positions.

        Args:
            reference: float32 [n, vocab] logits.
            artifact: float32 [n, vocab] logits of the same positions; a longer vocabulary (padding rows) is cut.
            following: int [m] ids of the tokens that follow, m = n, or n - 1 for the last chunk of a document.
        """
        n, vocab = reference.shape
        lib = scores_native.load()
        if lib and reference.dtype == artifact.dtype == np.float32 and artifact.strides[1] == artifact.itemsize:
            found = scores_native.figures(lib, np.ascontiguousarray(reference), artifact)
            if np.isfinite(found["distance"]).all():  # else torch counts what is not finite
                return self._compiled(reference, artifact[:, :vocab], following, found)
        step = max(1, _SLICE // vocab)
        slices = [slice(start, start + step) for start in range(0, n, step)]
        parts = [self._add(reference[s], artifact[s, :vocab], following[s]) for s in slices]
        return Chunk(*(np.concatenate([getattr(p, name) for p in parts]) for name in Chunk.__dataclass_fields__))

    def _compiled(self, reference: Array, artifact: Array, following: Array, found: dict[str, Array]) -> Chunk:
        import torch

        self.max_abs.append(found["worst"])
        self.sum_abs.append(found["distance"] / reference.shape[1])
        self.cosine.append(found["ra"] / np.maximum(np.sqrt(found["rr"] * found["aa"]), 1e-300))
        kl = np.maximum(found["kl"], 0)
        self.kl.append(kl)
        r, a = torch.from_numpy(np.ascontiguousarray(reference)), torch.from_numpy(artifact)
        normals = (torch.from_numpy(found[name].copy()) for name in ("normal_r", "normal_a"))
        return self._choices(r, a, *normals, following=following, kl=kl)

    def _add(self, reference: Array, artifact: Array, following: Array) -> Chunk:
        import torch

        r, a = (torch.from_numpy(np.ascontiguousarray(x)) for x in (reference, artifact))
        difference, scratch, p = _room(*r.shape)
        torch.sub(r, a, out=difference)
        torch.abs(difference, out=scratch)
        worst = scratch.amax(1)
        if not torch.isfinite(worst).all():
            self.not_finite += int((~torch.isfinite(r)).sum() + (~torch.isfinite(a)).sum())
        self.max_abs.append(worst.double().numpy())
        self.sum_abs.append((_sum(scratch) / r.shape[1]).numpy())
        self.cosine.append(_cosine(r, a, scratch).numpy())
        normal_a = _softmax(a, scratch)
        normal_r = _softmax(r, p)
        kl = _kl(p, difference, scratch).numpy()
        self.kl.append(kl)
        return self._choices(r, a, normal_r, normal_a, following=following, kl=kl)

    def _choices(self, r: Any, a: Any, normal_r: Any, normal_a: Any, *, following: Array, kl: Array) -> Chunk:
        """Add what depends on single tokens: the best ones, and the one that follows."""
        import torch

        best_r, best_a = _largest(r), _largest(a)
        for k in TOPS:
            shared = (best_r[:, :k, None] == best_a[:, None, :k]).any(2).double().mean(1)
            self.tops[k].append(shared.numpy())
        m = len(following)
        chosen = torch.from_numpy(np.asarray(following, np.int64))[:, None]
        nll_r = (normal_r[:m] - r[:m].gather(1, chosen)[:, 0]).numpy()
        nll_a = (normal_a[:m] - a[:m].gather(1, chosen)[:, 0]).numpy()
        self.nll_reference.append(nll_r)
        self.nll_artefact.append(nll_a)
        self.dp.append((np.exp(-nll_a) - np.exp(-nll_r)) * 100)
        top = best_r[:, :SHOWN]
        p_r, p_a = ((x.gather(1, top) - z[:, None]).exp().numpy() for x, z in ((r, normal_r), (a, normal_a)))
        return Chunk(kl, top.numpy(), p_r, p_a)

    def joined(self) -> dict[str, Array]:
        """Return the arrays of the whole document by name."""
        arrays = {name: _join(getattr(self, name)) for name in _ARRAYS}
        return arrays | {f"top{k}": _join(parts) for k, parts in self.tops.items()}


_ARRAYS = ("kl", "dp", "nll_reference", "nll_artefact", "max_abs", "sum_abs", "cosine")


def _room(rows: int, vocab: int) -> tuple[Any, Any, Any]:
    """Three float32 tensors [rows, vocab] to work in, kept from call to call: fresh ones for every slice tear the heap."""
    return tuple(tensor[:rows] for tensor in _rooms(max(rows, 1, _SLICE // vocab), vocab))


@functools.lru_cache(maxsize=1)
def _rooms(rows: int, vocab: int) -> tuple[Any, ...]:
    import torch

    return tuple(torch.empty(rows, vocab) for _ in range(3))


def _softmax(logits: Any, out: Any) -> Any:
    """Write the probabilities, float32 [n, vocab], and return the log of their normalizer, float64 [n]."""
    import torch

    top = logits.amax(1, keepdim=True)
    torch.sub(logits, top, out=out)
    total = _sum(out.exp_())
    out.div_(total.float()[:, None])
    return total.log() + top.double()[:, 0]


def _kl(p: Any, difference: Any, scratch: Any) -> Any:
    """KL in float64 [n] from the reference's probabilities and r - a (spoilt), without the cancellation of two log-softmaxes.

    With d = r - a, centered to d' = d - Σ p d:  KL = ln Σ p exp(-d') = log1p(Σ p (expm1(-d') + d')), since Σ p d' = 0. Every
    term is of second order in d', so that float32 resolves a KL of 1e-12.
    """
    import torch

    torch.mul(p, difference, out=scratch)
    difference.sub_(_sum(scratch).float()[:, None])
    torch.neg(difference, out=scratch)
    return _sum(scratch.expm1_().add_(difference).mul_(p)).log1p().clamp_min(0)


def _sum(values: Any) -> Any:
    """Row sums, float64 [n] from float32 [n, vocab]: blocks in float32, their sums in float64."""
    import torch

    whole = values.shape[1] // _BLOCK * _BLOCK
    blocks = values[:, :whole].unflatten(1, (-1, _BLOCK)).sum(2)
    return blocks.sum(1, dtype=torch.float64) + values[:, whole:].sum(1, dtype=torch.float64)


def _cosine(r: Any, a: Any, scratch: Any) -> Any:
    """Cosine of the angle between two rows of logits, float64 [n]."""
    import torch

    products = [_sum(torch.mul(x, y, out=scratch)) for x, y in ((r, a), (r, r), (a, a))]
    return products[0] / (products[1] * products[2]).sqrt().clamp_min(1e-300)


def _largest(logits: Any) -> Any:
    """Indices [n, k] of each row's largest logits, in falling order.

    The k largest lie in the k blocks with the largest maxima, so that only those are searched.
    """
    import torch

    n, vocab = logits.shape
    k = min(max(TOPS), vocab)
    whole = vocab // _BLOCK * _BLOCK
    if whole < _BLOCK * k * 4:
        return logits.topk(k, 1).indices
    peaks = logits[:, :whole].unflatten(1, (-1, _BLOCK)).amax(2)
    blocks = peaks.topk(k, 1).indices
    columns = (blocks[:, :, None] * _BLOCK + torch.arange(_BLOCK)).flatten(1)
    columns = torch.cat([columns, torch.arange(whole, vocab).expand(n, -1)], 1)
    return columns.gather(1, logits.gather(1, columns).topk(k, 1).indices)


def _join(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0)
