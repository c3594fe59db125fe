"""The layered reference of vision-language models against the whole model of transformers: words, pictures, their places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import multimodal
from edgeconv.convert.native_config import read_config
from edgeconv.core.progress import Silent
from edgeconv.validate import self_check
from edgeconv.validate.reference import LayeredReference
from edgeconv.validate.seeing.features import Seen

from ..models import tiny_vlm

Array = np.ndarray
LIMIT = 1e-5
WORDS = np.random.default_rng(0).integers(20, 4000, 40).tolist()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, LayeredReference]]:
    import torch
    from transformers import AutoModelForImageTextToText

    made: dict[str, tuple[Any, LayeredReference]] = {}

    def get(kind: str) -> tuple[Any, LayeredReference]:
        if kind not in made:
            folder = tiny_vlm.make(kind, tmp_path_factory.mktemp(kind), dtype="float32")
            model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
            state = dict(model.state_dict())
            state |= {multimodal.named(name): tensor for name, tensor in state.items()}
            made[kind] = model, LayeredReference(folder, lambda name: state[name])
        return made[kind]

    return get


def arrays(kind: str) -> tuple[list[int], dict[str, Array]]:
    """Return the ids of a prompt with a picture, and what lies beside them."""
    inputs = {name: tensor.numpy() for name, tensor in tiny_vlm.sample(kind).items()}
    return inputs.pop("input_ids")[0].tolist(), inputs


def whole(model: Any, ids: list[int], **inputs: Any) -> Array:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), **inputs).logits[0].numpy()


def layered(reference: LayeredReference, ids: list[int], seen: Seen | None = None) -> Array:
    (states,) = reference.hidden_states([ids], Silent(), "test", pictures=[seen])
    return reference.head().logits(states)


@pytest.mark.parametrize("kind", sorted(tiny_vlm.FAMILIES))
def test_words_alone(kind: str, opened: Callable[[str], tuple[Any, LayeredReference]]) -> None:
    model, reference = opened(kind)
    assert np.abs(whole(model, WORDS) - layered(reference, WORDS)).max() < LIMIT


@pytest.mark.parametrize("kind", sorted(tiny_vlm.FAMILIES))
def test_a_picture(kind: str, opened: Callable[[str], tuple[Any, LayeredReference]]) -> None:
    import torch

    model, reference = opened(kind)
    ids, made = arrays(kind)
    expected = whole(model, ids, **{name: torch.from_numpy(one) for name, one in made.items()})
    (features,) = reference.features([made], Silent(), "test")
    assert np.abs(expected - layered(reference, ids, Seen(made, features))).max() < LIMIT
    assert all(parameter.is_meta for parameter in reference._shell.parameters())


@pytest.mark.parametrize("kind", sorted(tiny_vlm.FAMILIES))
def test_the_self_check_passes(kind: str, tmp_path: Path) -> None:
    config = read_config(tiny_vlm.make(kind, tmp_path))
    assert self_check.difference(config) <= 1e-4
    self_check.may_share(config)


def test_a_tower_as_deep_as_the_language_model_and_wider_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = tiny_vlm.make("llava", tmp_path, vision_config={"num_hidden_layers": 2, "hidden_size": 256})
    reference = LayeredReference(folder, lambda name: None)
    assert "Llama" in type(reference._layers[0]).__name__
