import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.core.errors import ArtifactError, CheckpointError
from edgeconv.runtimes.answers import Sampling
from edgeconv.runtimes.sampler import Decoding, Sampler, distribution

VOCABULARY = 600


def logits(seed: int) -> np.ndarray:
    return (3 * np.random.default_rng(seed).standard_normal(VOCABULARY)).astype(np.float32)


def flags(*ids: int) -> np.ndarray:
    used = np.zeros(VOCABULARY, bool)
    used[list(ids)] = True
    return used


def dense(ids: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found = np.zeros(VOCABULARY)
    found[ids] = weights
    return found


def by_transformers(scores: np.ndarray, prompt: list[int], rules: Decoding) -> np.ndarray:
    """What `GenerationMixin` would draw from: its processors in its order."""
    import torch
    from transformers import (
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    steps: list[Any] = [
        RepetitionPenaltyLogitsProcessor(rules.repetition_penalty),
        TemperatureLogitsWarper(float(rules.temperature)),
    ]
    steps += [TopKLogitsWarper(rules.top_k)] if rules.top_k else []
    steps += [TopPLogitsWarper(rules.top_p)] if rules.top_p < 1 else []
    made, ids = torch.from_numpy(scores.copy())[None], torch.tensor([prompt])
    for step in steps:
        made = step(ids, made)
    return made.softmax(-1)[0].numpy()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"temperature": 0.6},
        {"temperature": 2.5},
        {"top_k": 1},
        {"top_k": 40},
        {"top_k": 10_000},
        {"top_p": 0.8},
        {"top_p": 0.01},
        {"top_p": 0.999},
        {"repetition_penalty": 1.2},
        {"repetition_penalty": 0.7},
        {"temperature": 0.6, "top_p": 0.8, "repetition_penalty": 1.2},
        {"temperature": 1.5, "top_k": 30, "top_p": 0.5, "repetition_penalty": 1.8},
    ],
    ids=str,
)
def test_the_distribution_is_transformers(stated: dict[str, Any], seed: int) -> None:
    rules, scores, prompt = Decoding(do_sample=True, **stated), logits(seed), [3, 77, 3, 250, 599]
    expected = by_transformers(scores, prompt, rules)
    found = dense(*distribution(scores, flags(*prompt), rules))
    np.testing.assert_array_equal(found > 0, expected > 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.sum() == pytest.approx(1)


def test_the_order_of_the_steps_matters_here() -> None:
    """So that the comparison above would notice another order: top-p before temperature keeps other tokens."""
    scores, rules = logits(0), Decoding(do_sample=True, temperature=2.5, top_p=0.8)
    ids, _ = distribution(scores, flags(), rules)
    early, _ = distribution(scores, flags(), Decoding(do_sample=True, top_p=0.8))
    assert len(ids) > len(early)


def test_tokens_with_equal_logits_are_kept_together_by_top_k() -> None:
    scores = np.zeros(VOCABULARY, np.float32)
    scores[[5, 6, 7]] = 1
    ids, weights = distribution(scores, flags(), Decoding(do_sample=True, top_k=2))
    assert ids.tolist() == [5, 6, 7]
    np.testing.assert_allclose(weights, 1 / 3)


@pytest.mark.parametrize("rules", [Decoding(), Decoding(do_sample=True, temperature=0.0)])
def test_greedy_takes_the_likeliest(rules: Decoding) -> None:
    scores = logits(1)
    assert Sampler(rules).choose(scores, flags()) == scores.argmax()


def test_greedy_heeds_the_repetition_penalty() -> None:
    scores = np.full(VOCABULARY, -9, np.float32)
    scores[4], scores[8] = 3.0, 2.9
    penalized = Decoding(repetition_penalty=1.1)
    assert Sampler(penalized).choose(scores, flags()) == 4
    assert Sampler(penalized).choose(scores, flags(4)) == 8


def test_draws_follow_the_distribution() -> None:
    scores, draws = np.full(VOCABULARY, -np.inf, np.float32), 4000
    scores[[10, 20, 30]] = np.log([0.5, 0.3, 0.2])
    sampler = Sampler(Decoding(do_sample=True, rng_seed=5))
    counts = np.bincount([sampler.choose(scores, flags()) for _ in range(draws)], minlength=VOCABULARY)
    expected = np.array([0.5, 0.3, 0.2])
    deviation = np.abs(counts[[10, 20, 30]] - draws * expected) / np.sqrt(draws * expected * (1 - expected))
    assert counts.sum() == counts[[10, 20, 30]].sum()
    assert deviation.max() < 4


def test_a_seed_repeats_the_draws() -> None:
    def drawn(seed: int) -> list[int]:
        sampler = Sampler(Decoding(do_sample=True, rng_seed=seed))
        return [sampler.choose(logits(i), flags()) for i in range(12)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_logits_are_left_as_they_are() -> None:
    scores = logits(2)
    before = scores.copy()
    distribution(scores, flags(1, 2), Decoding(do_sample=True, temperature=0.5, repetition_penalty=1.3))
    np.testing.assert_array_equal(scores, before)


def test_a_model_that_gives_no_numbers_is_an_error() -> None:
    scores = logits(3)
    scores[7] = np.nan
    with pytest.raises(ArtifactError, match="not numbers"):
        distribution(scores, flags(), Decoding())


def write(folder: Path, config: dict[str, Any], generation: dict[str, Any] | None) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def test_the_artifacts_own_values_apply(tmp_path: Path) -> None:
    stated = {"do_sample": True, "temperature": 0.6, "top_p": 0.8, "repetition_penalty": 1.2, "top_k": None}
    rules = Decoding.from_folder(write(tmp_path, {"eos_token_id": [1, 2]}, stated | {"eos_token_id": 9}))
    assert rules == Decoding(True, 0.6, 0, 0.8, 1.2, stop_token_ids=frozenset({1, 2, 9}))


@pytest.mark.parametrize(
    "stated",
    [
        {"temperature": "hot"}, {"temperature": -1}, {"temperature": float("nan")}, {"top_p": True}, {"top_k": 1.5},
        {"top_k": 10**400}, {"do_sample": 1}, {"repetition_penalty": 0}, {"eos_token_id": "2"}, {"eos_token_id": [{}]},
    ],
    ids=lambda stated: str(stated)[:40],
)  # fmt: skip
def test_values_that_cannot_be_are_an_error(stated: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"^generation_config.json: {next(iter(stated))} cannot be"):
        Decoding.from_folder(write(tmp_path, {}, stated))


def test_what_the_user_says_comes_first(tmp_path: Path) -> None:
    rules = Decoding.from_folder(write(tmp_path, {}, {"do_sample": True, "temperature": 0.6, "top_p": 0.8}))
    Sampling(max_new_tokens=7, top_p=0.3, seed=4).apply(rules)
    assert rules == Decoding(True, 0.6, 0, 0.3, 1.0, max_new_tokens=7, rng_seed=4)
    Sampling(temperature=0).apply(rules)
    assert rules.do_sample is False


def test_without_a_generation_config_decoding_is_greedy(tmp_path: Path) -> None:
    assert Decoding.from_folder(write(tmp_path, {"eos_token_id": 3}, None)) == Decoding(stop_token_ids=frozenset({3}))
