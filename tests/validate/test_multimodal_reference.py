"""The layered reference of vision-language models against the whole model of transformers: words, pictures, their places."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeconv.convert import multimodal
from edgeconv.convert.native_config import read_config
from edgeconv.core.progress import Silent
from edgeconv.validate import self_check
from edgeconv.validate.multimodal.conversations import Turn
from edgeconv.validate.multimodal.features import Seen
from edgeconv.validate.multimodal.processor import Made, Processor
from edgeconv.validate.reference import LayeredReference

from ..models import tiny_vlm

Array = np.ndarray
LIMIT = 1e-5
WORDS = np.random.default_rng(0).integers(20, 4000, 40).tolist()
MORE = np.random.default_rng(1).integers(20, 4000, 9).tolist()
"""Words behind a prompt, as an answer."""


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


WIDE, TALL, SQUARE = noise(190, 100), noise(60, 150), noise(112, 112)
CONVERSATIONS = {
    "one picture": [Turn("user", "What is this?", (WIDE,))],
    "two pictures": [Turn("user", "Compare these.", (TALL, SQUARE))],
    "in the second turn": [
        Turn("user", "Hello!"),
        Turn("assistant", "Hello, show me a picture."),
        Turn("user", "Here.", (WIDE,)),
    ],
}


@dataclass
class Opened:
    """A tiny checkpoint: transformers' whole model, ours, and the processor."""

    model: Any
    reference: LayeredReference
    processor: Processor

    def whole(self, ids: list[int], **arrays: Array) -> Array:
        import torch

        given = {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in arrays.items()}
        with torch.no_grad():
            return self.model(input_ids=torch.tensor([ids]), **given).logits[0].numpy()

    def layered(self, ids: list[int], seen: Seen | None = None) -> Array:
        (states,) = self.reference.hidden_states([ids], Silent(), "test", pictures=[seen])
        return self.reference.head().logits(states)

    def seen(self, made: Made) -> Seen:
        (features,) = self.reference.features([made.arrays], Silent(), "test")
        return Seen(made.arrays, features)


@pytest.fixture(scope="module", params=sorted(tiny_vlm.FAMILIES))
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    import torch
    from transformers import AutoModelForImageTextToText

    folder = tiny_vlm.make(request.param, tmp_path_factory.mktemp(request.param), dtype="float32")
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    state = dict(model.state_dict())
    state |= {multimodal.named(name): tensor for name, tensor in state.items()}
    return Opened(model, LayeredReference(folder, lambda name: state[name]), Processor(folder))


def longer(arrays: dict[str, Array], count: int) -> dict[str, Array]:
    """Arrays of a prompt that goes on in words: what is of each token gets zeros."""
    return {
        name: np.pad(one, ((0, 0), (0, count))) if name.endswith("token_type_ids") else one
        for name, one in arrays.items()
    }


def test_words_alone(opened: Opened) -> None:
    assert np.abs(opened.whole(WORDS) - opened.layered(WORDS)).max() < LIMIT


@pytest.mark.parametrize("what", CONVERSATIONS)
def test_pictures_among_words_and_an_answer_behind_them(what: str, opened: Opened) -> None:
    made = opened.processor(CONVERSATIONS[what])
    ids = made.ids + MORE
    expected = opened.whole(ids, **longer(made.arrays, len(MORE)))
    seen = opened.seen(made)
    assert np.abs(expected - opened.layered(ids, seen)).max() < LIMIT
    assert all(parameter.is_meta for parameter in opened.reference._shell.parameters())
    again = Seen(made.arrays, seen.features.with_rows(seen.features.rows))
    assert np.abs(expected - opened.layered(ids, again)).max() < LIMIT


def test_rows_are_of_each_picture_whatever_stands_beside_it(opened: Opened) -> None:
    (turn,) = CONVERSATIONS["two pictures"]
    alone = [opened.seen(opened.processor([Turn("user", "?", (picture,))])).features.rows for picture in turn.pictures]
    both = opened.seen(opened.processor([turn])).features.rows
    assert np.abs(np.concatenate([one.rows for one in alone]) - both.rows).max() < LIMIT
    if both.deep is not None:
        assert np.abs(np.concatenate([one.deep for one in alone if one.deep is not None], 1) - both.deep).max() < LIMIT


def test_the_self_check_passes(opened: Opened) -> None:
    config = read_config(Path(opened.model.config._name_or_path))
    assert self_check.difference(config) <= 1e-4
    self_check.may_share(config)


def test_a_tower_as_deep_as_the_language_model_and_wider_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = tiny_vlm.make("llava", tmp_path, vision_config={"num_hidden_layers": 2, "hidden_size": 256})
    reference = LayeredReference(folder, lambda name: None)
    assert "Llama" in type(reference._layers[0]).__name__
