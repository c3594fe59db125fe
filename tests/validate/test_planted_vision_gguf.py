"""A mmproj's own proof: each planted fault is caught by its weights and keys, and again by what llama.cpp makes of a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.gguf import mmproj
from edgeconv.validate.vision_reference import MODEL

from ..models.tiny_v import make_glm_edge_v
from . import gguf_vision
from .gguf_files import edit, set_key
from .gguf_vision import LAYER, check, converted, exchange, rows, see, set_array, spoilt, zero


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_glm_edge_v(tmp_path_factory.mktemp("v") / "model")


@pytest.fixture(scope="module")
def sound(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(model, tmp_path_factory.mktemp("sound") / "gguf")


def queries_and_keys(file: Path) -> None:
    exchange(file, f"{LAYER}attn_q.weight", f"{LAYER}attn_k.weight")


def shifted_positions(file: Path) -> None:
    edit(file, "v.position_embd.weight", lambda data: data.__setitem__(slice(None), np.roll(data, 1, 0)))


def zeroed_gate(file: Path) -> None:
    edit(file, "adapter.linear.gate.weight", zero)


def zeroed_begin(file: Path) -> None:
    edit(file, "adapter.boi", zero)


def begin_and_end(file: Path) -> None:
    exchange(file, "adapter.boi", "adapter.eoi")


def gate_and_up(file: Path) -> None:
    exchange(file, "adapter.linear.gate.weight", "adapter.linear.dense_h_to_4h.weight")


def other_heads(file: Path) -> None:
    set_key(file, "clip.vision.attention.head_count", 4)


def other_epsilon(file: Path) -> None:
    set_key(file, "clip.vision.attention.layer_norm_epsilon", 1e-2)


WEIGHTS = (queries_and_keys, shifted_positions, zeroed_gate, zeroed_begin, begin_and_end, gate_and_up)
KEYS = (other_heads, other_epsilon)


@pytest.mark.parametrize("fault", [*WEIGHTS, *KEYS], ids=lambda f: f.__name__)
def test_a_fault_of_the_file(fault: Callable[[Path], None], sound: Path, model: Path, tmp_path: Path) -> None:
    structure, lines = rows(spoilt(sound, tmp_path / "x", fault), model)
    assert structure.status == "failed", structure.summary
    stored = lines["vision.row_quantisation"]
    assert stored.value > 4 * stored.limit
    assert lines["vision.row_marks"].passed == (fault not in (zeroed_begin, begin_and_end))
    # a wrong weight is a wrong file, computed rightly; a wrong key is right weights, computed wrongly
    assert lines["vision.row_conversion"].passed == (fault in WEIGHTS)


def test_another_mean(sound: Path, model: Path, tmp_path: Path) -> None:
    out = spoilt(sound, tmp_path / "x", lambda file: set_array(file, "clip.vision.image_mean", [0.502, 0.5, 0.5]))
    structure, seen = see(out, model, pictures=1)
    assert structure.failures == ["clip.vision.image_mean is [0.502 0.5   0.5  ], by the checkpoint [0.5, 0.5, 0.5]."]
    (failure,) = check(seen, "pixels").failures
    assert "100.0% of the pixels differ; red at row" in failure


def test_a_belief_that_converter_and_validator_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Square matrices: the loader exchanges fc1 and fc2; one who does not know it finds every weight in its place."""
    model = make_glm_edge_v(tmp_path / "model", vision={"intermediate_size": 32})
    monkeypatch.setattr(mmproj, "other", lambda name: name)
    structure, lines = rows(converted(model, tmp_path / "x"), model)
    assert structure.status == "passed", structure.failures
    assert not lines["vision.row_conversion"].passed


def test_square_matrices(tmp_path: Path) -> None:
    model = make_glm_edge_v(tmp_path / "model", vision={"intermediate_size": 32})
    structure, lines = rows(converted(model, tmp_path / "x"), model)
    assert structure.status == "passed", structure.failures
    assert all(line.passed for line in lines.values())


def test_the_models_own_arithmetic_is_another(sound: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deviations are ten times what is left without them, so that a budget need not have room for them."""
    _, lines = rows(sound, model)
    monkeypatch.setattr(gguf_vision, "Arithmetic", lambda **_: MODEL)
    _, deviating = rows(sound, model)
    assert deviating["vision.row_conversion"].value > 10 * lines["vision.row_conversion"].value


def test_an_untouched_file_passes(sound: Path, model: Path) -> None:
    structure, seen = see(sound, model)
    assert structure.status == "passed", structure.failures
    assert [one.status for one in seen.checks] == ["passed"] * 4, [one.failures for one in seen.checks]
    assert check(seen, "pixels").figures["max_abs"] < 2e-5
    figures = check(seen, "vision").figures
    assert figures["row_conversion"] < 1e-4
    assert figures["row_quantisation"] < 1e-4  # bfloat16 fits float16
    assert figures["row_noise_floor"] > 10 * figures["row_from_the_model"] > 10 * figures["row_quantisation"]
    found = {one.name: one.figures for one in seen.deviations}
    assert list(found) == ["adapter epsilon", "adapter GELU", "GELU table", "arithmetic", "resizing", "picture files"]
    assert found["adapter GELU"]["worst_row"] > found["adapter epsilon"]["worst_row"]
    assert found["resizing"]["pictures"] == 2
    assert found["resizing"]["changed_pixels"] > 0.02
