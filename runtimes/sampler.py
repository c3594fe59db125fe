"""Choosing the next token from logits, with numpy alone.

The order is that of transformers and openvino_genai: repetition penalty, temperature, top-k, top-p, draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.checkpoint import read_json
from ..core.errors import ArtifactError, CheckpointError

Array = npt.NDArray[Any]
_MEND = "Mend the file, or convert the checkpoint again."
_LARGE = 1e9
"""Larger than any of the rules can be."""


@dataclass
class Decoding:
    """The rules of one conversation; fields are named as in `openvino_genai.GenerationConfig`, as are the defaults.

    Attributes:
        do_sample: draw; otherwise the likeliest token is taken.
        temperature: what logits are divided by; 0 is greedy too.
        top_k: draw from that many tokens; 0 means all.
        top_p: draw from the likeliest tokens that sum up to it.
        repetition_penalty: what the logit of a token that is there already, in prompt or answer, is divided by (if
            negative: multiplied with).
        max_new_tokens: of one answer.
        rng_seed: of one conversation.
        stop_token_ids: what ends an answer.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 512
    rng_seed: int = 0
    stop_token_ids: frozenset[int] = frozenset()

    @classmethod
    def from_folder(cls, folder: Path) -> Decoding:
        """Read generation_config.json, as far as it says something.

        An answer also ends with the tokens that config.json calls ends: GLM-Edge's generation_config.json may name
        <|endoftext|> alone, and the model would go on to write the user's next question.

        Raises:
            CheckpointError: a file is not JSON object, or says what cannot be.
        """
        path = folder / "generation_config.json"
        stated = read_json(path) if path.is_file() else {}
        config = read_json(folder / "config.json")
        stops = _ids(path.name, stated.get("eos_token_id")) | _ids("config.json", config.get("eos_token_id"))
        return cls.stated(stated, path.name, stops)

    @classmethod
    def stated(cls, stated: Mapping[str, Any], where: str, stops: frozenset[int]) -> Decoding:
        """Take the fields of a generation_config.json, as far as they are there; `where` they stand is for messages.

        Raises:
            CheckpointError: one of them says what cannot be.
        """
        values = {name: stated[name] for name in _CAN_BE if stated.get(name) is not None}
        for name, value in values.items():
            if not _CAN_BE[name](value):
                raise CheckpointError(f"{where}: {name} cannot be {value!r:.50}.", _MEND)
        return cls(**values, stop_token_ids=stops)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGE


_CAN_BE: dict[str, Callable[[Any], bool]] = {
    "do_sample": lambda value: isinstance(value, bool),
    "temperature": lambda value: _is_number(value) and value >= 0,
    "top_k": lambda value: _is_number(value) and value == int(value),
    "top_p": lambda value: _is_number(value) and value >= 0,
    "repetition_penalty": lambda value: _is_number(value) and value > 0,
}


def _ids(name: str, stated: Any) -> frozenset[int]:
    ids = stated if isinstance(stated, list) else [] if stated is None else [stated]
    if not all(isinstance(one, int) for one in ids):
        raise CheckpointError(f"{name}: eos_token_id cannot be {stated!r:.50}.", _MEND)
    return frozenset(ids)


def distribution(logits: Array, used: Array, rules: Decoding) -> tuple[Array, Array]:
    """Compute from which tokens to draw.

    Args:
        logits: float32 [vocab].
        used: bool [vocab], the tokens of prompt and answer so far.
        rules: see there.

    Returns:
        Ids, int64 [n], and their probabilities, float64 [n], which sum up to 1; one id alone if decoding is greedy.

    Raises:
        ArtifactError: the logits are not numbers.
    """
    scores = logits.astype(np.float64)
    if np.isnan(scores).any():
        raise ArtifactError("The model's logits are not numbers.", "Convert the checkpoint again.")
    if rules.repetition_penalty != 1:
        factor = np.where(scores[used] < 0, rules.repetition_penalty, 1 / rules.repetition_penalty)
        scores[used] *= factor
    if not rules.do_sample or rules.temperature == 0:
        return np.array([scores.argmax()]), np.ones(1)
    scores /= rules.temperature
    ids = np.arange(len(scores))
    if 0 < rules.top_k < len(scores):
        ids = np.flatnonzero(scores >= np.partition(scores, -rules.top_k)[-rules.top_k])
    weights = np.exp(scores[ids] - scores.max())
    weights /= weights.sum()
    if rules.top_p < 1:
        kept = _nucleus(weights, rules.top_p)
        ids, weights = ids[kept], weights[kept] / weights[kept].sum()
    return ids, weights


def _nucleus(weights: Array, top_p: float) -> Array:
    """Return the indices of the largest weights, the fewest that reach `top_p`."""
    candidates = np.flatnonzero(weights >= (1 - top_p) / len(weights))  # all others together are at most 1 - top_p
    order = candidates[np.argsort(-weights[candidates], kind="stable")]
    return order[: int(np.searchsorted(weights[order].cumsum(), top_p)) + 1]


class Sampler:
    """Draws tokens; the same rules, seed and logits give the same tokens."""

    def __init__(self, rules: Decoding) -> None:
        self._rules = rules
        self._random = np.random.default_rng(rules.rng_seed)

    def choose(self, logits: Array, used: Array) -> int:
        """Choose the next id. Arguments as in `distribution`."""
        ids, weights = distribution(logits, used, self._rules)
        return int(ids[0] if len(ids) == 1 else self._random.choice(ids, p=weights))
