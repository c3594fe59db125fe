"""`--layout genai` of InternVL in stock openvino_genai.VLMPipeline, against transformers on the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeconv.convert import conversion
from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.multimodal.processor import Processor, Turn

from ...ir import ACCURATE
from ...models import tiny_vlm

QUESTION = "What is this?"
SIZES = ((56, 56), (112, 56), (56, 168))
"""Width and height of pictures that are whole tiles: those that are not, the pipeline resizes by a filter of its own."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stating(tiny_vlm.make("internvl", tmp_path_factory.mktemp("internvl"), dtype="float32"), max_patches=12)


def stating(folder: Path, **fields: Any) -> Path:
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def job(source: Path, out: Path) -> conversion.Job:
    return conversion.Job(str(source), Request("fp32"), output=out, layout="genai", smoke_test=False)


def test_the_pipeline_answers_as_transformers_does(source: Path, tmp_path: Path) -> None:
    import openvino as ov
    import openvino_genai
    import torch
    from transformers import AutoModelForImageTextToText

    made = conversion.run(job(source, tmp_path / "out"), Silent())
    pipeline = openvino_genai.VLMPipeline(str(made.path), "CPU", ATTENTION_BACKEND="SDPA", **ACCURATE)
    model = AutoModelForImageTextToText.from_pretrained(source, dtype=torch.float32).eval()
    processor = Processor(source)
    answers = []
    for width, height in SIZES:
        pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        asked = processor([Turn("user", QUESTION, (Image.fromarray(pixels),))])
        ids = torch.tensor([asked.ids])
        given = {name: torch.from_numpy(one) for name, one in asked.arrays.items()}
        options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}
        ids_made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **given, **options)[0]
        expected = processor._tokenizer.decode(ids_made[len(asked.ids) :].tolist(), skip_special_tokens=True)
        found = pipeline.generate(QUESTION, images=[ov.Tensor(pixels[None])], **options)
        assert found.perf_metrics.get_num_input_tokens() == len(asked.ids)
        assert found.texts[0] == expected
        answers.append(expected)
    assert len(set(answers)) > 1


def test_graphs_and_weights_are_those_of_the_default_layout(source: Path, tmp_path: Path) -> None:
    default = conversion.Job(str(source), Request("fp32"), output=tmp_path / "default", smoke_test=False)
    one, other = (conversion.run(asked, Silent()).path for asked in (default, job(source, tmp_path / "genai")))
    names = {path.name for path in one.iterdir()}
    assert names == {path.name for path in other.iterdir()}
    same = {name for name in names if (one / name).read_bytes() == (other / name).read_bytes()}
    assert names - same <= {"config.json", "preprocessor_config.json", "edgeconv.json", "edgeconv.log.json"}
    assert json.loads((other / "config.json").read_text())["model_type"] == "internvl_chat"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"max_patches": 4}, "max_patches"), ({"min_patches": 2}, "min_patches"), ({"resample": 2}, "filter")],
)
def test_what_the_pipeline_does_otherwise_is_refused(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    folder = stating(tiny_vlm.make("internvl", tmp_path / "source"), **({"max_patches": 12} | fields))
    with pytest.raises(CheckpointError, match=reason):
        conversion.plan(job(folder, tmp_path / "out"))


def test_other_tokens_are_refused(source: Path, tmp_path: Path) -> None:
    folder = tiny_vlm.make("internvl", tmp_path / "source", image_token_id=4000)
    with pytest.raises(CheckpointError, match="IMG_CONTEXT"):
        conversion.plan(job(stating(folder, max_patches=12), tmp_path / "out"))


def test_a_family_without_such_a_layout_is_refused(tmp_path: Path) -> None:
    folder = tiny_vlm.make("mistral3", tmp_path / "source")
    with pytest.raises(UsageError, match="takes for another"):
        conversion.plan(job(folder, tmp_path / "out"))
