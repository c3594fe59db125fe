"""Tables of rotary frequencies are judged by the angles that they make at the last position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion, families
from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.onnx_graph import Constant
from edgeconv.validate.checks import rotary
from edgeconv.validate.checks.weights import Findings
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.weights.constant import StoredWeight

CONFIG = {
    "model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 128, "vocab_size": 100, "rms_norm_eps": 1e-5, "hidden_act": "silu",
    "max_position_embeddings": 131072, "tie_word_embeddings": False,
}  # fmt: skip
ROPES = {
    "theta 1e4": {"rope_theta": 10000.0},
    "theta 1e6": {"rope_theta": 1e6},
    "llama3": {
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
        },
    },
}  # fmt: skip


@dataclass
class Weights:
    unmatched_artefact: list[StoredWeight] = field(default_factory=list)
    frequencies: np.ndarray | None = None


def judged(table: np.ndarray, config: dict[str, Any]) -> Findings:
    found, checkpoint = Findings(), Checkpoint(Path(), config, {})
    constant = Constant("table", "f32", table.shape, np.asarray(table, np.float32))
    weights: Any = Weights([StoredWeight(constant, table.shape, names=["table"])])
    rotary.check(families.decoder(config), checkpoint, weights, found)
    assert weights.unmatched_artefact == []
    return found


def frequencies(config: dict[str, Any]) -> np.ndarray:
    return np.asarray(families.decoder(config).rope.inverse_frequencies(), np.float64)


@pytest.mark.parametrize("rope", ROPES)
def test_the_configs_own_and_its_rounding(rope: str) -> None:
    config = CONFIG | ROPES[rope]
    table = frequencies(config)
    exact = judged(table, config)
    assert (exact.failures, exact.warnings) == ([], [])
    rounded = judged(table.astype(np.float16).astype(np.float64), config)
    assert rounded.failures == []
    assert "rounded to float16" in rounded.warnings[0]
    assert "rad at position 131,072" in rounded.warnings[0]
    # frequencies among float16's smallest numbers are off by much, and turn by little
    assert rope != "llama3" or np.max(np.abs(table.astype(np.float16) - table) / table) > 1e-3


FAULTS = {
    "all by 1.00001": lambda table: table * 1.00001,
    "one by 1.001": lambda table: np.where(np.arange(table.size) == 3, table * 1.001, table),
    "bfloat16": lambda table: (table.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32),
    "another theta": lambda table: table**0.99,
    "float16 of another theta": lambda table: (table**0.99).astype(np.float16),
    "nan": lambda table: np.where(np.arange(table.size) == 3, np.nan, table),
    "moved by one": lambda table: np.roll(table, 1),
}


@pytest.mark.parametrize("rope", ROPES)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_turns_is_a_failure(fault: str, rope: str) -> None:
    config = CONFIG | ROPES[rope]
    (failure,) = judged(np.asarray(FAULTS[fault](frequencies(config)), np.float64), config).failures
    assert "differ from those of the config" in failure


def test_a_compressed_table_is_named() -> None:
    values = Constant("table", "u8", (1, 64), np.zeros(64, np.uint8))
    scale = Constant("scale", "f16", (1, 1), np.ones(1, np.float16))
    weights: Any = Weights([StoredWeight(values, (64,), None, [scale])])
    found = Findings()
    rotary.compressed(weights, found)
    assert "table [64] (u8)" in found.failures[0]


@pytest.mark.slow
def test_a_table_in_float16_is_the_weights_cost_and_not_the_graphs(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    source = tiny_model("llama")
    out = conversion.run(conversion.Job(str(source), Request("bf16"), output=tmp_path / "out"), Silent()).path
    table = frequencies(open_checkpoint(source).config).astype(np.float32)
    data = (out / "openvino_model.bin").read_bytes()
    assert data.count(table.tobytes()) == 1
    rounded = table.astype(np.float16).astype(np.float32)
    (out / "openvino_model.bin").write_bytes(data.replace(table.tobytes(), rounded.tobytes()))
    (out / "edgeconv.json").unlink()

    def error() -> tuple[float, list[str]]:
        report = validate(Ask(out, reference=str(source), max_tokens=200, quick=True))
        conversion = next(c for c in report.comparisons if c.name == "conversion")
        return conversion.figures["max_abs_logit"].value, report.rungs[0].warnings

    found, warnings = error()
    assert found < 1e-4
    assert any("judged with the rounded ones" in said for said in warnings)
    monkeypatch.setattr(rotary, "_in_float16", lambda *_: False)
    assert error()[0] > 1e-3, "the rounding shows where torch has the config's own"
