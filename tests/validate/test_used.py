"""The artifact as it is used: batches, beams, steps deep in the cache, the last positions. Untouched ones pass, plants do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import OnnxJob
from edgeconv.convert.conversion import run as run_onnx
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.base import Runtime
from edgeconv.runtimes.llama_cpp import LlamaCppRuntime
from edgeconv.runtimes.onnxruntime import OnnxRuntime
from edgeconv.runtimes.openvino import OpenVINORuntime
from edgeconv.validate.checks import batched, decode, deep
from edgeconv.validate.checks.decode import LIMIT, Part
from edgeconv.validate.probes import LONG, Probes
from edgeconv.validate.scores import Scores

from . import planted_graphs as plants
from .gguf_files import write

ROW = np.random.default_rng(3).integers(5, 4000, 700).tolist()
MAXIMUM = 8192
FORMATS = ("openvino", "onnx")


def convert(source: Path, out: Path, kind: str) -> Path:
    if kind == "openvino":
        return conversion.run(conversion.Job(str(source), Request("int8"), output=out), Silent()).path
    return run_onnx(OnnxJob(str(source), Request("int8"), output=out)).path


def opened(folder: Path) -> Runtime:
    return OnnxRuntime(folder) if (folder / "model.onnx").is_file() else OpenVINORuntime(folder)


@pytest.fixture(scope="module", params=FORMATS)
def sound(request: pytest.FixtureRequest, builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only."""
    return convert(builtin_model, tmp_path_factory.mktemp("used") / "out", request.param)


@pytest.fixture(scope="module")
def expected(sound: Path) -> dict[str, Any]:
    """Logits of the untouched graph in one prefill: of the long row, and of the far text where it stands and at 0."""
    probes = Probes.of([ROW], MAXIMUM, len(ROW))
    runtime = opened(sound)
    made = {
        "long": np.concatenate([a.copy() for a in runtime.logits(probes.long)]),
        "far": next(runtime.logits(probes.far, None, probes.first)).copy(),
        "near": next(runtime.logits(probes.far)).copy(),
    }
    runtime.close()
    return made


class Alike:
    """A head whose hidden states are logits already."""

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        return hidden


def parts(runtime: Runtime, expected: dict[str, Any]) -> dict[str, Part]:
    """Everything that check 4 compares."""
    probes = Probes.of([ROW], MAXIMUM, len(ROW))
    scores = Scores()
    at = 0
    for made in runtime.logits(probes.long, probes.chunk):
        scores.add(expected["long"][at : at + len(made)], made, np.array(probes.long[at + 1 : at + 1 + len(made)]))
        at += len(made)
    states = [expected["far"], expected["near"]]
    found = [
        decode.cached(runtime, [ROW[:96]], Silent()),
        *batched.check(runtime, probes.row, LIMIT, Silent()),
        *deep.steps(scores, probes.chunk, LIMIT),
        *deep.far(runtime, probes, Alike(), states, LIMIT),  # type: ignore[arg-type]
    ]
    return {part.name: part for part in found}


def test_an_untouched_graph_passes(sound: Path, expected: dict[str, Any]) -> None:
    found = parts(opened(sound), expected)
    assert set(found) == {"", "batch", "deep", "far"} | ({"beams"} if "xml" in str(list(sound.iterdir())) else set())
    assert decode.as_check(list(found.values()), 0.0).status == "passed", [part.failure for part in found.values()]
    assert {name: part for name, part in found.items() if not part.worst < 1e-4 or part.compared < 4} == {}


FAULTS: dict[Callable[[Any], None], str] = {
    plants.mask_ignored: "batch",
    plants.first_row_for_all: "batch",
    plants.beams_ignored: "beams",
    plants.window_in_decoding: "deep",
    plants.late_positions: "deep",
    plants.clamped_positions: "far",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_of_the_graph(
    fault: Callable[[Any], None], sound: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    if fault is plants.beams_ignored and not opened(sound).beams:
        return  # the cache of an ONNX model is its caller's
    runtime = opened(plants.plant(shutil.copytree(sound, tmp_path / "out"), fault))
    alone = np.concatenate([a.copy() for a in runtime.logits(ROW)])
    assert np.abs(alone - expected["long"]).max() < 1e-4, "a prefill of one text shows nothing of it"
    found = parts(runtime, expected)
    failed = {name for name, part in found.items() if part.failure}
    assert FAULTS[fault] in failed
    assert failed <= {
        FAULTS[fault],
        "beams",
        "far",
    }  # rows that are one show among beams too, positions in the far text
    assert decode.as_check(list(found.values()), 0.0).status == "failed"


def test_llama_cpp_runs_two_sequences(builtin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = LlamaCppRuntime(write(builtin_model, tmp_path / "a.gguf", "f32"))
    (part,) = batched.check(runtime, ROW, LIMIT, Silent())
    assert part.failure is None, part
    assert part.compared == batched.LONGER + batched.SHORTER + 2 * batched.THEN

    together = runtime._together

    def mixed_up(rows: Any, past: Any) -> np.ndarray:
        return together(rows[::-1] if len(rows[0]) == 1 else rows, past)

    monkeypatch.setattr(runtime, "_together", mixed_up)
    (part,) = batched.check(runtime, ROW, LIMIT, Silent())
    assert part.failure is not None
    assert "side by side" in part.failure


@pytest.mark.parametrize("length", [0, 3, 9, 10, 13, 20, 60, 85, 400])
def test_a_batch_is_cut_from_rows_of_any_length(length: int) -> None:
    rows = batched.texts(range(length))
    assert rows or length < 20
    if rows:
        assert [token for row in rows for token in row] == list(range(len(rows[0]) + len(rows[1])))
        assert len(rows[0]) > len(rows[1]) > batched.THEN


def test_the_last_positions_are_run_where_the_long_row_ends_before_them() -> None:
    assert Probes.of([ROW], 512).far == []
    assert Probes.of([ROW], 512).notes
    assert Probes.of([ROW], None).far == []
    probes = Probes.of([ROW], 131_072)
    assert (len(probes.long), probes.first + len(probes.far)) == (LONG, 131_072)
    assert len(probes.texts) == len(probes.firsts) == 3
