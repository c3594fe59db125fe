"""A comparison: the figures of a whole suite from the scores of its tokens, with their intervals.

As in llama-perplexity's --kl-divergence, with four differences: every position counts (it scores the second half of each
context only), probabilities are exact (its base file rounds log-probabilities to 16 bits, which leaves a floor of about
1e-6), intervals count texts (it treats tokens as independent), and every token counts (it leaves out those to which the
reference gives less than e^-16, and clips the reference there: on text that a model does not know its perplexity is lower).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import intervals
from .report.model import Comparison, ComparisonName, Estimate, Histogram, PositionBlock
from .scores import TOPS, Scores

Array = npt.NDArray[Any]
KL_EDGES = [1e-12, *np.logspace(-9, 1, 41).tolist()]
"""Bin edges of the KL histogram in nats; the first bin takes everything below 1e-9."""
BLOCK = 512
"""Positions in one block of the figures by position."""
METRICS = frozenset(
    ["mean_kl", "median_kl", "kl_90", "kl_95", "kl_99", "kl_99_9", "max_kl", "top1", "top5", "top10", "mean_dp", "rms_dp",
     "dp_1", "dp_5", "dp_95", "dp_99", "ppl_reference", "ppl_artefact", "ln_ppl_ratio", "max_abs_logit", "mean_abs_logit",
     "cosine", "not_finite", "max_abs_state", "state", "length", "rank"]
)  # fmt: skip
"""Every figure of a comparison, by name."""


def compare(
    name: ComparisonName,
    reference: str,
    artifact: str,
    documents: list[Scores],
    groups: Sequence[str] | None = None,
) -> Comparison:
    """Sum up all documents.

    Args:
        name: which comparison it is.
        reference: what the reference is, in words.
        artifact: what is compared with it, in words.
        documents: the scores of at least one document with at least one token.
        groups: which text each of them is cut from; the windows of one text are not independent, so that intervals count
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
    figures |= _with_intervals(joined, texts)
    figures["not_finite"] = Estimate(value=float(not_finite))
    return Comparison(
        name=name,
        reference=reference,
        artifact=artifact,
        tokens=len(whole["kl"]),
        documents=len(joined),
        texts=len(set(texts)),
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


_SUMS = ("n", "m", "kl", "top1", "top5", "top10", "dp", "dp2", "nll_reference", "nll_artefact")
MEANS = frozenset(
    ["mean_kl", *(f"top{k}" for k in TOPS), "mean_dp", "rms_dp", "ppl_reference", "ppl_artefact", "ln_ppl_ratio"]
)
"""The figures that have an interval, where there are texts enough for one."""


def _with_intervals(joined: list[dict[str, Array]], texts: list[str]) -> dict[str, Estimate]:
    """Means over tokens with the 95 % interval over texts (`intervals`)."""
    rows = np.array(
        [
            [len(a["kl"]), len(a["dp"]), a["kl"].sum(), *(a[f"top{k}"].sum() for k in TOPS), a["dp"].sum(),
             np.square(a["dp"]).sum(), a["nll_reference"].sum(), a["nll_artefact"].sum()]
            for a in joined
        ]
    )  # fmt: skip
    rows = np.array([rows[[text == name for text in texts]].sum(0) for name in sorted(set(texts))])
    of = dict(zip(_SUMS, rows.T, strict=True))
    n, m = of["n"], np.maximum(of["m"], 1e-9)  # a text of one position has no token that follows

    def mean(sums: Array, counts: Array) -> float:
        return float(sums.sum() / max(counts.sum(), 1))

    def estimate(value: float, ends: tuple[float, float] | None, bend: Callable[[Any], Any] = float) -> Estimate:
        return Estimate(
            value=float(bend(value)),
            **({} if ends is None else {"low": float(bend(ends[0])), "high": float(bend(ends[1]))}),
        )

    def safe_exp(value: float) -> float:
        return math.exp(min(value, 700.0))

    ratio = of["nll_artefact"] - of["nll_reference"]
    return {
        "mean_kl": estimate(mean(of["kl"], n), intervals.of_positive(of["kl"], n)),
        **{f"top{k}": estimate(mean(of[f"top{k}"], n), intervals.of_share(of[f"top{k}"], n)) for k in TOPS},
        "mean_dp": estimate(mean(of["dp"], m), intervals.of_mean(of["dp"], m)),
        "rms_dp": estimate(mean(of["dp2"], m), intervals.of_positive(of["dp2"], m), math.sqrt),
        "ln_ppl_ratio": estimate(mean(ratio, m), intervals.of_mean(ratio, m)),
        **{
            f"ppl_{side}": estimate(mean(of[f"nll_{side}"], m), intervals.of_mean(of[f"nll_{side}"], m), safe_exp)
            for side in ("reference", "artefact")
        },
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
