"""The figures against scipy, and against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from edgeconv.validate import scores_native
from edgeconv.validate.metrics import compare
from edgeconv.validate.scores import Scores


@pytest.fixture(autouse=True, params=["compiled", "torch"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "torch":
        monkeypatch.setattr(scores_native, "load", lambda: None)
    elif scores_native.load() is None:
        pytest.skip("the compiled figures are not built")


def scored(reference: np.ndarray, artifact: np.ndarray, following: np.ndarray, chunk: int = 7) -> Scores:
    scores = Scores()
    for start in range(0, len(reference), chunk):
        stop = min(start + chunk, len(reference))
        scores.add(reference[start:stop], artifact[start:stop], following[start:stop])
    return scores


@pytest.fixture(scope="module")
def documents() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    made = []
    for n in (40, 17, 64):
        reference = (rng.standard_normal((n, 301)) * 4).astype(np.float32)
        artifact = reference + (rng.standard_normal((n, 301)) * 0.3).astype(np.float32)
        made.append((reference, artifact, rng.integers(0, 301, n - 1)))
    return made


def test_every_figure_against_scipy(documents: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    found = compare("quantisation", "r", "a", [scored(*d) for d in documents])
    reference, artifact = (np.concatenate([d[i] for d in documents]).astype(np.float64) for i in (0, 1))
    p, q = softmax(reference, axis=1), softmax(artifact, axis=1)
    kl = rel_entr(p, q).sum(1)
    value = {name: estimate.value for name, estimate in found.figures.items()}
    assert found.tokens == len(kl)
    assert value["mean_kl"] == pytest.approx(kl.mean(), rel=2e-6)
    assert value["max_kl"] == pytest.approx(kl.max(), rel=2e-6)
    for name, q_ in (("median_kl", 50), ("kl_90", 90), ("kl_95", 95), ("kl_99", 99), ("kl_99_9", 99.9)):
        assert value[name] == pytest.approx(np.percentile(kl, q_), rel=2e-6)
    order_r, order_a = np.argsort(-reference, axis=1), np.argsort(-artifact, axis=1)
    for k in (1, 5, 10):
        shared = [len(set(r[:k]) & set(a[:k])) / k for r, a in zip(order_r, order_a, strict=True)]
        assert value[f"top{k}"] == pytest.approx(np.mean(shared))
    rows = [(softmax(r.astype(float), 1), softmax(a.astype(float), 1), f) for r, a, f in documents]
    dp = np.concatenate([[a[i, t] - r[i, t] for i, t in enumerate(f)] for r, a, f in rows]) * 100
    assert value["mean_dp"] == pytest.approx(dp.mean(), rel=2e-6)
    assert value["rms_dp"] == pytest.approx(np.sqrt((dp**2).mean()), rel=2e-6)
    assert value["dp_99"] == pytest.approx(np.percentile(dp, 99), rel=2e-6)
    nll = [
        -np.concatenate([[log_softmax(d[side].astype(float), 1)[i, t] for i, t in enumerate(d[2])] for d in documents])
        for side in (0, 1)
    ]
    assert value["ppl_reference"] == pytest.approx(math.exp(nll[0].mean()), rel=2e-6)
    assert value["ppl_artefact"] == pytest.approx(math.exp(nll[1].mean()), rel=2e-6)
    assert value["ln_ppl_ratio"] == pytest.approx((nll[1] - nll[0]).mean(), rel=2e-6)
    assert value["max_abs_logit"] == pytest.approx(np.abs(reference - artifact).max(), rel=1e-6)
    cosine = (reference * artifact).sum(1) / np.linalg.norm(reference, axis=1) / np.linalg.norm(artifact, axis=1)
    assert value["cosine"] == pytest.approx(cosine.mean(), rel=1e-6)
    assert sum(found.histogram.counts) == found.tokens
    assert sum(block.tokens for block in found.positions) == found.tokens


def test_intervals_cover_the_value_and_come_from_documents(
    documents: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> None:
    found = compare("quantisation", "r", "a", [scored(*d) for d in documents])
    for name in ("mean_kl", "top1", "ln_ppl_ratio"):
        figure = found.figures[name]
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high
    twice = compare("quantisation", "r", "a", [scored(*d) for d in documents])
    assert twice == found
    same = compare("quantisation", "r", "a", [scored(*documents[0])] * 5)
    assert same.figures["mean_kl"].low == pytest.approx(same.figures["mean_kl"].high)


def test_two_tokens_by_hand() -> None:
    """p = (3/4, 1/4), q = (1/2, 1/2): KL = 3/4 ln 3/2 + 1/4 ln 1/2; Δp of the first token = −25 points."""
    reference = np.log(np.array([[3.0, 1.0]], np.float32))
    artifact = np.log(np.array([[1.0, 1.0 + 1e-6]], np.float32))
    two = np.concatenate([reference, reference]), np.concatenate([artifact, artifact])
    padded = [np.concatenate([m, np.full((2, 12), -1e4, np.float32)], axis=1) for m in two]
    scores = scored(padded[0], padded[1], np.array([0]))
    found = compare("quantisation", "r", "a", [scores]).figures
    assert found["mean_kl"].value == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5)
    assert found["top1"].value == 0.0
    assert found["mean_dp"].value == pytest.approx(-25.0, abs=1e-3)
    assert found["ppl_reference"].value == pytest.approx(4 / 3, rel=1e-5)


def test_equal_logits_are_equal() -> None:
    logits = np.random.default_rng(0).standard_normal((9, 50)).astype(np.float32)
    found = compare("quantisation", "r", "a", [scored(logits, logits.copy(), np.zeros(8, int))]).figures
    assert found["mean_kl"].value == 0
    assert found["top1"].value == found["top10"].value == 1
    assert found["ln_ppl_ratio"].value == 0


def test_a_shift_of_all_logits_is_no_difference_in_probability() -> None:
    logits = np.random.default_rng(0).standard_normal((9, 50)).astype(np.float32)
    found = compare("quantisation", "r", "a", [scored(logits, logits + 3, np.zeros(8, int))]).figures
    assert found["mean_kl"].value < 1e-12
    assert found["max_abs_logit"].value == pytest.approx(3, rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_single_bad_logit_is_counted(bad: float) -> None:
    logits = np.random.default_rng(0).standard_normal((9, 50)).astype(np.float32)
    spoilt = logits.copy()
    spoilt[4, 7] = bad
    found = compare("quantisation", "r", "a", [scored(logits, spoilt, np.zeros(8, int))]).figures
    assert found["not_finite"].value == 1
    assert not found["mean_kl"].value <= 1e9


def test_nothing_compared_is_an_error() -> None:
    with pytest.raises(ValueError, match="no token"):
        compare("quantisation", "r", "a", [Scores()])
