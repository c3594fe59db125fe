"""`openvino_genai.VLMPipeline` over the artifacts of every family that it knows, as they are, against transformers.

What it does otherwise than the models is measured here, and named in docs/decisions/0033-pictures.md.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion, families
from edgeconv.quantize.scheme import Request

from ..models import tiny_vlm
from .vision_models import Torch, photo

KNOWN = frozenset(["gemma3", "gemma4", "llava", "llava_next", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"])
"""Types that the pipeline knows; InternVL it knows by its makers' config alone (`internvl_chat`)."""
SEEING = [kind for kind in families.vision_language_types() if kind in tiny_vlm.FAMILIES]
WITHOUT_BEGIN = frozenset(["llava"])
"""The template writes no token of the beginning: transformers' processor lets the tokenizer add it, the pipeline does not."""
RESIZES = frozenset(["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"])
"""Pictures that do not fit the grid are resized by another filter than Pillow's."""
FITTING = [(64, 64), (128, 64), (64, 128)]
"""Sizes that a grid of 16 x 16 pixels takes as they are."""
QUESTION = "What is this?"


class Compared:
    """One family: the pipeline, and transformers."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.checkpoint = tiny_vlm.make(kind, folder / "model", dtype="float32")
        job = conversion.Job(model=str(self.checkpoint), request=Request("fp32"), output=folder / "out")
        self.artifact = conversion.run(job).path
        self.torch = Torch(self.checkpoint)
        self.skipped = 1 if kind in WITHOUT_BEGIN else 0

    @cache  # noqa: B019 - it lives as long as the module's tests
    def pipeline(self) -> Any:
        import openvino_genai

        return openvino_genai.VLMPipeline(str(self.artifact), "CPU", EXECUTION_MODE_HINT="ACCURACY")

    def answers(self, *sizes: tuple[int, int]) -> tuple[int, str, int, str]:
        """Prompt tokens and answer of the pipeline, and of transformers."""
        import openvino as ov
        import openvino_genai

        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.do_sample, config.ignore_eos = 8, False, True
        pictures = [photo(seed, *size) for seed, size in enumerate(sizes)]
        made = self.pipeline().generate(
            QUESTION, images=[ov.Tensor(np.asarray(one)[None]) for one in pictures], generation_config=config
        )
        ids, tokens, _ = self.torch.answer(("user", QUESTION, *pictures), count=8, skipped=self.skipped)
        wanted = self.torch.processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return made.perf_metrics.get_num_input_tokens(), made.texts[0], len(ids), wanted


@pytest.fixture(scope="module", params=[kind for kind in SEEING if kind in KNOWN])
def compared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return Compared(request.param, tmp_path_factory.mktemp(request.param))


def test_words_alone(compared: Compared) -> None:
    read, text, count, wanted = compared.answers()
    assert (read, text) == (count, wanted)


@pytest.mark.parametrize("size", FITTING, ids=str)
def test_a_picture_that_fits(size: tuple[int, int], compared: Compared) -> None:
    width, height = (side // 64 * _unit(compared) for side in size)
    read, text, count, wanted = compared.answers((width, height))
    assert (read, text) == (count, wanted)


def _unit(compared: Compared) -> int:
    """The side of four units of patches."""
    vision = compared.torch.model.config.vision_config
    return int(vision.patch_size) * 4


@pytest.mark.parametrize("size", [(90, 60), (120, 170)], ids=str)
def test_a_picture_that_does_not_fit(size: tuple[int, int], compared: Compared) -> None:
    """It has as many rows; where the pipeline resizes otherwise, the answer may be another."""
    read, text, count, wanted = compared.answers(size)
    assert read == count
    if compared.torch.model.config.model_type not in RESIZES:
        assert text == wanted


def test_two_pictures(compared: Compared) -> None:
    unit = _unit(compared)
    read, text, count, wanted = compared.answers((unit, unit), (2 * unit, unit))
    assert (read, text) == (count, wanted)


@pytest.mark.parametrize("kind", [kind for kind in SEEING if kind not in KNOWN])
def test_a_type_that_it_does_not_know(kind: str, tmp_path: Path) -> None:
    """A release that does will be seen here."""
    made = Compared(kind, tmp_path)
    with pytest.raises(RuntimeError, match=f"Unsupported '{kind}' VLM model type"):
        made.pipeline()
