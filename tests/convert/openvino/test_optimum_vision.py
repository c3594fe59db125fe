"""optimum-intel's OVModelForVisualCausalLM on our artifact, as its documentation in optimum_vision.py has it, against torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeconv.convert.conversion import Job, run
from edgeconv.convert.families.glm_edge_v_model import load
from edgeconv.core.errors import UsageError
from edgeconv.quantize.scheme import Request

from ...ir import ACCURATE

QUESTION = "What is this?"


@pytest.fixture(scope="module")
def source(tiny_vision_model: Callable[..., Path]) -> Path:
    return tiny_vision_model()


@pytest.fixture(scope="module")
def loaded(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The model and the processor of an artifact in fp32, so that greedy ids must be torch's."""
    from optimum.intel import OVModelForVisualCausalLM
    from transformers import AutoProcessor

    from edgeconv.convert.openvino import optimum_vision

    out = run(Job(str(source), Request("fp32"), output=tmp_path_factory.mktemp("optimum") / "ov")).path
    optimum_vision.register()
    optimum_vision.register()
    return OVModelForVisualCausalLM.from_pretrained(out, ov_config=ACCURATE), AutoProcessor.from_pretrained(out)


@pytest.fixture(scope="module")
def reference(source: Path) -> Any:
    return load(source)


def pictures(count: int) -> list[Image.Image]:
    random = np.random.default_rng(count)
    return [Image.fromarray(random.integers(0, 256, (70, 40 + 30 * i, 3), dtype=np.uint8)) for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_greedy_ids_are_torchs(count: int, loaded: tuple[Any, Any], reference: Any) -> None:
    model, processor = loaded
    inputs = model.preprocess_inputs(QUESTION, pictures(count), processor)
    options = {"max_new_tokens": 12, "do_sample": False}
    made = model.generate(**inputs, **options)
    assert made.shape[1] > inputs["input_ids"].shape[1]
    assert made.tolist() == reference.generate(**inputs, **options).tolist()


def test_the_picture_is_seen(loaded: tuple[Any, Any]) -> None:
    import torch

    model, processor = loaded
    one = model.preprocess_inputs(QUESTION, pictures(1), processor)
    with torch.no_grad():
        seen, other = (model(**one | {"pixel_values": sign * one["pixel_values"]}).logits[0, -1] for sign in (1, -1))
    assert (seen - other).abs().max() > 1e-3


def test_beams_keep_their_pictures(loaded: tuple[Any, Any], reference: Any) -> None:
    """Two prompts of one length with a picture each: repeated one by one, the second would get the first's."""
    import torch

    model, processor = loaded
    inputs = [model.preprocess_inputs(QUESTION, [picture], processor) for picture in pictures(2)]
    both = {name: torch.cat([one[name] for one in inputs]) for name in inputs[0]}
    options = {"max_new_tokens": 5, "do_sample": False, "num_beams": 2}
    assert model.generate(**both, **options).tolist() == reference.generate(**both, **options).tolist()


def test_placeholders_that_do_not_fit_are_refused(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    inputs = model.preprocess_inputs(QUESTION, pictures(1), processor)
    without = {name: value for name, value in inputs.items() if name != "pixel_values"}
    with pytest.raises(UsageError, match="placeholders"):
        model.generate(**without, max_new_tokens=1)
    with pytest.raises(UsageError, match="input_ids"):
        model.get_multimodal_embeddings(None, inputs["pixel_values"])


def test_films_and_sounds_are_refused(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    with pytest.raises(UsageError, match="pictures and text alone"):
        model.preprocess_inputs(QUESTION, processor=processor, video=[])
