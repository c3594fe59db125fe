"""Figures of two models' logits over the same tokens, accumulated chunk by chunk; nothing of [positions × vocabulary] is kept.

Per token, from the float32 logits r (reference) and a (artefact), sums in float64:

    KL      = Σ_v p_r(v) · (ln p_r(v) − ln p_a(v)), in nats
    top-k   = share of the reference's k best that are among the artefact's k best (top-1: same first choice)
    Δp      = p_a(t) − p_r(t) for the token t that follows, in percentage points
    NLL     = −ln p(t)

As in llama-perplexity's --kl-divergence, with three differences: every position counts (it scores the second half of each
context only), probabilities are exact (its base file rounds log-probabilities to 16 bits, which leaves a floor of about
1e-6), and intervals come from a bootstrap over documents (it treats tokens as independent).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .report.model import Comparison, ComparisonName, Estimate, Histogram, PositionBlock

Array = npt.NDArray[Any]
KL_EDGES = [1e-12, *np.logspace(-9, 1, 41).tolist()]
"""Bin edges of the KL histogram in nats; the first bin takes everything below 1e-9."""
RESAMPLES = 1000
BLOCK = 512
"""Positions in one block of the figures by position."""
TOPS = (1, 5, 10)
SHOWN = 3
"""Alternatives that a report shows of a position."""


@dataclass(frozen=True)
class Chunk:
    """KL [n] of each position, and the reference's best tokens [n, SHOWN] with their probabilities under both."""

    kl: Array
    best: Array
    reference: Array
    artefact: Array


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

    def add(self, reference: Array, artefact: Array, following: Array) -> Chunk:
        """Add a chunk, and return what a report shows of each of its positions.

        Args:
            reference: float32 [n, vocab] logits.
            artefact: float32 [n, vocab] logits of the same positions; a longer vocabulary (padding rows) is cut.
            following: int [m] ids of the tokens that follow, m = n, or n - 1 for the last chunk of a document.
        """
        import torch

        r = torch.from_numpy(np.ascontiguousarray(reference))
        a = torch.from_numpy(np.ascontiguousarray(artefact[:, : reference.shape[1]]))
        difference = r - a
        distance = difference.abs()
        worst = distance.amax(1)
        if not torch.isfinite(worst).all():
            self.not_finite += int((~torch.isfinite(r)).sum() + (~torch.isfinite(a)).sum())
        self.max_abs.append(worst.double().numpy())
        self.sum_abs.append(distance.mean(1).double().numpy())
        self.cosine.append(torch.nn.functional.cosine_similarity(r, a, dim=1).double().numpy())
        normal_r, normal_a = _log_sum_exp(r), _log_sum_exp(a)
        kl = _kl(r, difference, normal_r).numpy()
        self.kl.append(kl)
        best_r, best_a = r.topk(min(max(TOPS), r.shape[1]), 1).indices, a.topk(min(max(TOPS), r.shape[1]), 1).indices
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


def _log_sum_exp(logits: Any) -> Any:
    """Float64 [n] from float32 [n, vocab]: the powers in float32, their sum in float64."""
    top = logits.amax(1, keepdim=True)
    return (logits - top).exp_().sum(1, dtype=_float64()).log() + top[:, 0].double()


def _kl(reference: Any, difference: Any, normal: Any) -> Any:
    """KL in float64 [n] from float32 logits, without the cancellation of two log-softmaxes.

    With d = r - a, centred to d' = d - Σ p d:  KL = ln Σ p exp(-d') = log1p(Σ p (expm1(-d') + d')), since Σ p d' = 0. Every
    term is of second order in d', so that float32 resolves a KL of 1e-12.
    """
    p = (reference - normal[:, None].float()).exp_()
    p /= p.sum(1, keepdim=True)
    centred = difference - (p * difference).sum(1, keepdim=True)
    terms = (-centred).expm1().add_(centred).mul_(p)
    return terms.sum(1, dtype=_float64()).log1p().clamp_min(0)


def _float64() -> Any:
    import torch

    return torch.float64


def _join(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0)


def compare(
    name: ComparisonName,
    reference: str,
    artefact: str,
    documents: list[Scores],
    groups: Sequence[str] | None = None,
) -> Comparison:
    """Sum up all documents.

    Args:
        name: which comparison it is.
        reference: what the reference is, in words.
        artefact: what is compared with it, in words.
        documents: the scores of at least one document with at least one token.
        groups: which text each of them is cut from; the windows of one text are not independent, so the bootstrap draws
            whole texts. None: each is a text of its own.

    Raises:
        ValueError: there is no token; an empty suite must never look like agreement.
    """
    kept = [i for i, scores in enumerate(documents) if scores.kl]
    joined = [documents[i].joined() for i in kept]
    texts = [groups[i] if groups else str(i) for i in kept]
    if not joined:
        raise ValueError("no token was compared")
    whole = {key: np.concatenate([arrays[key] for arrays in joined]) for key in joined[0]}
    not_finite = sum(scores.not_finite for scores in documents)
    figures = {key: Estimate(value=float(value)) for key, value in _plain(whole).items()}
    figures |= _bootstrapped(joined, texts)
    figures["not_finite"] = Estimate(value=float(not_finite))
    return Comparison(
        name=name,
        reference=reference,
        artefact=artefact,
        tokens=len(whole["kl"]),
        documents=len(joined),
        figures=figures,
        histogram=_histogram(whole["kl"]),
        positions=_by_position(joined),
    )


def _plain(whole: dict[str, Array]) -> dict[str, float]:
    """Percentiles and extremes, which have no interval."""
    kl, dp = whole["kl"], whole["dp"]
    quantiles = {"kl_90": 90, "kl_95": 95, "kl_99": 99, "kl_99_9": 99.9, "median_kl": 50}
    figures = {key: float(np.percentile(kl, q)) for key, q in quantiles.items()}
    if len(dp):
        figures |= {f"dp_{q}": float(np.percentile(dp, q)) for q in (1, 5, 95, 99)}
    return figures | {
        "max_kl": float(kl.max()),
        "max_abs_logit": float(whole["max_abs"].max()),
        "mean_abs_logit": float(whole["sum_abs"].mean()),
        "cosine": float(whole["cosine"].mean()),
    }


def _ratios(sums: Array) -> dict[str, Array]:
    """Figures from sums over documents, [..., len(_SUMS)]; vectorised over resamples."""
    of = {key: sums[..., i] for i, key in enumerate(_SUMS)}
    n, m = of["n"], np.maximum(of["m"], 1)
    return {
        "mean_kl": of["kl"] / n,
        **{f"top{k}": of[f"top{k}"] / n for k in TOPS},
        "mean_dp": of["dp"] / m,
        "rms_dp": np.sqrt(of["dp2"] / m),
        "ppl_reference": np.exp(of["nll_reference"] / m),
        "ppl_artefact": np.exp(of["nll_artefact"] / m),
        "ln_ppl_ratio": (of["nll_artefact"] - of["nll_reference"]) / m,
    }


_SUMS = ("n", "m", "kl", "top1", "top5", "top10", "dp", "dp2", "nll_reference", "nll_artefact")


def _bootstrapped(joined: list[dict[str, Array]], texts: list[str]) -> dict[str, Estimate]:
    """Means with the 95 % interval of a bootstrap that draws whole documents, seeded."""
    sums = np.array(
        [
            [len(a["kl"]), len(a["dp"]), a["kl"].sum(), *(a[f"top{k}"].sum() for k in TOPS), a["dp"].sum(),
             np.square(a["dp"]).sum(), a["nll_reference"].sum(), a["nll_artefact"].sum()]
            for a in joined
        ]
    )  # fmt: skip
    names = sorted(set(texts))
    sums = np.array([sums[[text == name for text in texts]].sum(0) for name in names])
    values = _ratios(sums.sum(0))
    if len(names) < 2:
        return {key: Estimate(value=float(value)) for key, value in values.items()}
    draws = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
    spread = _ratios(sums[draws].sum(1))
    ends = {key: np.percentile(spread[key], [2.5, 97.5]) for key in values}
    return {
        key: Estimate(value=float(v), low=float(ends[key][0]), high=float(ends[key][1])) for key, v in values.items()
    }


def _histogram(kl: Array) -> Histogram:
    counts = np.histogram(np.clip(kl, KL_EDGES[0], KL_EDGES[-1]), KL_EDGES)[0]
    return Histogram(edges=[float(e) for e in KL_EDGES], counts=[int(c) for c in counts])


def _by_position(joined: list[dict[str, Array]]) -> list[PositionBlock]:
    longest = max(len(a["kl"]) for a in joined)
    step = BLOCK if longest > 2 * BLOCK else max(1, -(-longest // 8))
    blocks = []
    for start in range(0, longest, step):
        parts = [{k: a[k][start : start + step] for k in ("kl", "top1", "max_abs")} for a in joined]
        part = {k: np.concatenate([p[k] for p in parts]) for k in ("kl", "top1", "max_abs")}
        blocks.append(
            PositionBlock(
                start=start,
                stop=min(start + step, longest),
                tokens=len(part["kl"]),
                mean_kl=float(part["kl"].mean()),
                top1=float(part["top1"].mean()),
                max_abs_logit=float(part["max_abs"].max()),
            )
        )
    return blocks
