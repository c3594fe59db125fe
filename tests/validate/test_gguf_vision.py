"""GGUFs that see: which mmproj belongs to a file, what cannot be measured and is said, and the rungs' own parts."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.conversion import GgufJob, run
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.core.errors import ArtifactError
from edgeconv.core.progress import Silent
from edgeconv.runtimes.llama_cpp_projector import find
from edgeconv.validate import budget, parity
from edgeconv.validate.checks import vision_gguf
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report import markdown
from edgeconv.validate.report.html.page import render
from edgeconv.validate.report.model import Report
from edgeconv.validate.target import open_pair
from edgeconv.validate.weights import gguf_pixels

from ..models.tiny_v import make_glm_edge_v
from .gguf_files import set_key
from .gguf_vision import converted, projector_of, rename, rows, see

VISION = ("pixels", "vision", "merged", "captions")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(parity, "LONG", 256)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_glm_edge_v(tmp_path_factory.mktemp("v") / "model")


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As edgeconv writes it, its manifest too."""
    out = tmp_path_factory.mktemp("whole") / "gguf"
    run(GgufJob(str(model), recipe("q8_0"), output=out, vision_precision="fp16"))
    return out


@pytest.fixture(scope="module")
def bare(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(model, tmp_path_factory.mktemp("bare") / "gguf")


def climb(folder: Path, model: Path | None = None) -> Report:
    return validate(Ask(folder, reference=str(model) if model else None, max_tokens=200))


def test_both_files_through_the_whole_ladder(whole: Path) -> None:
    report = climb(whole)  # the manifest knows its source
    assert report.verdict == "passed", (report.first_failed, [line for line in report.budgets if not line.passed])
    seen = {check.name: check.status for check in report.rungs if check.name in VISION}
    assert seen == dict.fromkeys(VISION, "passed")
    assert report.artifact.facts["tower"] == "mmproj-model-F16.gguf, f16"
    names = {comparison.name for comparison in report.comparisons}
    assert names >= {"picture_conversion", "picture_quantisation", "picture_runtime"}
    budgets = {line.metric: line.value for line in report.budgets}
    # entries of the table of GELU flip with the last bit: mostly 2e-5 to 7e-5 in all, 1.2e-4 was seen once
    assert 0 < budgets["vision.row_conversion"] < 1.5e-4 < budgets["vision.row_runtime"] < 4e-3
    assert budgets["vision.row_marks"] == 0
    # what llama.cpp does otherwise stands in every form of the report, with its figures
    table = markdown.render(report).split("### What the runtime does otherwise")[1].split("###")[0]
    assert table.count(", worst ") == 6
    assert "% of the captions are the same" in table
    assert "What the runtime does otherwise than the model" in render(report)
    assert Report.model_validate_json(report.model_dump_json()).deviations == report.deviations


def test_no_mmproj_is_said(bare: Path, model: Path, tmp_path: Path) -> None:
    file = shutil.copyfile(bare / "model-F32.gguf", tmp_path / "a.gguf")
    report = climb(Path(file), model)
    assert report.verdict == "passed", [check.failures for check in report.rungs]
    skipped = [check for check in report.rungs if check.status == "skipped"]
    assert [check.name for check in skipped] == list(VISION)
    reason = "There is no mmproj-*.gguf beside a.gguf, so pixels, tower, merged prompts and captions were not measured."
    assert {check.summary for check in skipped} == {reason}
    assert report.notes[-1] == reason
    assert "not run: Pixels, Vision tower" in markdown.render(report)


def test_which_mmproj_belongs_to_a_file(bare: Path, whole: Path, tmp_path: Path) -> None:
    def found(path: Path, manifest: Any = None) -> str:
        file, reason = find(path, manifest)
        return file.path.name if file else reason

    folder = tmp_path / "x"
    shutil.copytree(bare, folder)
    model, projector = folder / "model-F32.gguf", projector_of(folder)
    assert found(model) == "mmproj-model-F16.gguf"  # the only one
    other = shutil.copyfile(projector, folder / "mmproj-b.gguf")
    assert found(model).startswith(
        "Which of 2 files belongs to model-F32.gguf is not known (mmproj-b.gguf, mmproj-model"
    )
    shutil.copyfile(projector, folder / "mmproj-model-F32.gguf")
    assert found(model) == "mmproj-model-F32.gguf"  # its own name
    assert found(folder / "model-F32-00001-of-00002.gguf") == "mmproj-model-F32.gguf"
    manifest = open_artifact(whole).manifest
    assert found(whole / "model-Q8_0.gguf", manifest) == "mmproj-model-F16.gguf"
    assert found(tmp_path / "model-Q8_0.gguf", manifest).startswith("mmproj-model-F16.gguf is missing beside")
    for file in (projector, folder / "mmproj-model-F32.gguf"):
        file.unlink()
    rename(Path(other), "adapter", "gemma3n")
    assert found(model).startswith("mmproj-b.gguf is a projector of type 'gemma3n', not of ")


def test_a_text_model_beside_a_strangers_mmproj(bare: Path, builtin_model: Path, tmp_path: Path) -> None:
    run(GgufJob(str(builtin_model), recipe("q8_0"), output=tmp_path / "a.gguf"))
    (tmp_path / "a.edgeconv.json").unlink()
    shutil.copy(projector_of(bare), tmp_path)
    assert open_artifact(tmp_path / "a.gguf").takes_images
    pair = open_pair(tmp_path / "a.gguf", str(builtin_model), Silent())
    assert not pair.takes_images
    assert pair.artifact.weights(pair.checkpoint).matched


def test_a_file_of_upstreams_old_converter(bare: Path, model: Path, tmp_path: Path) -> None:
    """fc1 is called ffn_down there and fc2 ffn_up; llama.cpp exchanges them, and so do we."""
    folder = tmp_path / "x"
    shutil.copytree(bare, folder)
    file = projector_of(folder)
    file.write_bytes(_renamed(file.read_bytes()))
    structure, lines = rows(folder, model)
    assert structure.status == "passed", structure.failures
    assert all(line.passed for line in lines.values())


def _renamed(raw: bytes) -> bytes:
    """Exchange ffn_up and ffn_down among the names of tensors; the head keeps its length, for there are as many of each."""

    def named(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    for layer in range(2):
        for kind in ("weight", "bias"):
            up, down = (f"v.blk.{layer}.ffn_{side}.{kind}" for side in ("up", "down"))
            raw = raw.replace(named(up), b"<here>").replace(named(down), named(up)).replace(b"<here>", named(down))
    return raw


def test_a_damaged_mmproj(bare: Path, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    shutil.copytree(bare, folder)
    file = projector_of(folder)
    file.write_bytes(file.read_bytes()[:20_000])
    report = validate(Ask(folder, reference=str(model), max_tokens=200, quick=True))
    assert (report.verdict, report.first_failed) == ("failed", "structure")
    assert "mmproj-model-F16.gguf" in report.rungs[0].failures[-1]
    assert {check.status for check in report.rungs if check.name in VISION} == {"failed"}


def test_what_ends_llama_cpp_does_not_end_us(bare: Path, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    shutil.copytree(bare, folder)
    rename(projector_of(folder), "adapter.boi", "adapter.bot")
    with pytest.raises(ArtifactError, match=r"llama\.cpp does not see with mmproj-model-F16\.gguf: .*adapter\.boi"):
        see(folder, model, pictures=1)
    shutil.copy(projector_of(bare), folder)
    set_key(projector_of(folder), "clip.vision.attention.head_count", 3)  # 32 / 3: an assertion fails
    with pytest.raises(ArtifactError, match=r"does not see with mmproj.*ASSERT"):
        see(folder, model, pictures=1)


def test_merged_prompts() -> None:
    chunks = [{"ids": [7, 8]}, {"tokens": 3, "positions": 3}, {"ids": [9]}, {"ids": [10]}]
    prompt = [7, 8, 1, 1, 1, 9, 10]
    assert vision_gguf.merged([chunks], [prompt], ["a"], 1).status == "passed"
    for wrong in ([7, 8, 1, 1, 9, 10], [7, 1, 1, 1, 9, 10], [7, 8, 1, 1, 1, 9, 11], [7, 8, 9, 10]):
        assert vision_gguf.merged([chunks], [wrong], ["a"], 1).status == "failed"
    moved = [{"ids": [7, 8]}, {"tokens": 3, "positions": 1}, {"ids": [9, 10]}]
    (failure,) = vision_gguf.merged([moved], [prompt], ["a"], 1).failures
    assert failure == "a: 3 rows move on by 1 positions."


def test_errors_of_rows() -> None:
    expected = np.ones((4, 8), np.float32)
    made = expected.copy()
    made[2] *= 1.5
    assert vision_gguf.row_errors(made, expected) == pytest.approx([0, 0, 0.5, 0])
    assert vision_gguf.worst([expected, made], [expected, expected]) == pytest.approx(0.5)
    assert np.isnan(vision_gguf.worst([made[:3], expected], [expected, expected]))
    made[0, 0] = np.nan
    assert np.isnan(vision_gguf.worst([expected, made], [expected, expected]))
    expected[0] = 2
    assert vision_gguf.typical([expected[1:], made[1:]], [expected[1:]] * 2) == pytest.approx(0.5 / 3)
    assert vision_gguf.marks([made], [expected]) != 0
    figures = {"vision.row_conversion": float("nan"), "vision.row_runtime": 0.01}
    lines = {line.metric: line.passed for line in budget.judge_figures(budget.rows(8), figures)}
    assert [name for name, passed in lines.items() if passed] == ["vision.row_runtime"]


@pytest.mark.parametrize(("bits", "limit"), [(32, 3e-4), (16, 1e-3), (8, 0.02), (6, 0.02)])
def test_budgets_by_bits(bits: int, limit: float) -> None:
    assert next(one.limit for one in budget.rows(bits) if one.metric == "row_quantisation") == limit


def test_pixels_fit_into_rows() -> None:
    found = gguf_pixels.geometry(672, 2048)
    assert found is not None
    assert (found.patch, found.values) == (12, 1728)
    assert gguf_pixels.geometry(56, 64) == gguf_pixels.PixelProjector(56, 2, 64)
    assert gguf_pixels.geometry(57, 64) is None
    assert gguf_pixels.geometry(56, 12) is None
    check = vision_gguf.pixels(None, [], [], 0.0)
    assert check.status == "skipped"
    assert "cannot be read out" in check.summary
