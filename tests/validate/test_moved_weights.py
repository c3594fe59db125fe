"""Weights that a data-aware compression moved on purpose pass for what was done to them; faults planted in them do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import families
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import stream
from edgeconv.convert.openvino.data_aware import Calibration
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve
from edgeconv.validate.checks.structure import check_weights
from edgeconv.validate.checks.weights import Findings
from edgeconv.validate.weights import ArtifactWeights

from .planted import copy_of, edit

Make = Callable[..., Path]
METHODS = ("awq", "scale_estimation", "gptq", "lora_correction")
SIZES = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
WORDS = [[int(word) for word in np.random.default_rng(seed).integers(0, 4000, 48)] for seed in range(6)]
DOWN = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def source(tiny_model: Make) -> Callable[[str], Path]:
    """Random weights of the built-in model's kind (its gate and up are one matrix), and of Llama's (they are two)."""
    return lambda kind: tiny_model(kind, **SIZES)


@pytest.fixture(scope="module")
def made(source: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Converts each combination once. Read-only."""
    known: dict[str, Path] = {}

    def convert(kind: str, *methods: str, **options: Any) -> Path:
        key = repr((kind, methods, options))
        if key not in known:
            request = Request(
                **({"precision": "int4_sym", "group_size": 32, "calibration": "random"} | options),
                **dict.fromkeys(methods, True),
            )
            known[key] = tmp_path_factory.mktemp("made")
            checkpoint = open_checkpoint(source(kind))
            text = Calibration("random", "", WORDS, weights=kind) if request.calibration else None
            stream.export(
                checkpoint, families.decoder(checkpoint.config), resolve(request), known[key],
                calibration=text, progress=Silent(),
            )  # fmt: skip
        return known[key]

    return convert


def found(artifact: Path, model: Path) -> Findings:
    checkpoint, made = open_checkpoint(model), Findings()
    check_weights(checkpoint, ArtifactWeights(artifact, checkpoint), made, Silent())
    return made


CASES = [
    ("glm", ("awq",), {}),  # the graph divides again
    ("llama", ("awq",), {}),  # the weight before divides
    ("llama", ("awq",), {"calibration": None}),
    ("glm", ("scale_estimation",), {}),
    ("llama", ("scale_estimation", "awq"), {"precision": "int4_asym"}),
    ("glm", ("gptq",), {}),
    ("llama", ("awq", "gptq"), {"ratio": 0.6}),
    ("glm", ("lora_correction",), {}),
    ("glm", ("awq", "lora_correction"), {"precision": "nf4"}),
]


@pytest.mark.parametrize(("kind", "methods", "options"), CASES, ids=repr)
def test_it_passes(kind: str, methods: tuple[str, ...], options: Any, made: Make, source: Make) -> None:
    artifact = made(kind, *methods, **options)
    findings = found(artifact, source(kind))
    assert not findings.failures
    assert len(findings.warnings) == 1  # the rotary frequencies, which another check looks at
    assert findings.figures["wrong"] == 0
    assert set(ArtifactWeights(artifact, open_checkpoint(source(kind))).methods) == set(methods)


def half_bytes(rows: int) -> Callable[[np.ndarray], np.ndarray]:
    """Change places of two rows of four-bit values."""

    def swap(data: np.ndarray) -> np.ndarray:
        shaped = data.reshape(rows, -1)
        shaped[[3, 9]] = shaped[[9, 3]]
        return shaped.reshape(-1)

    return swap


def flipped(data: np.ndarray) -> np.ndarray:
    """Turn the columns of each row round; their bytes stay in their rows."""
    return data.reshape(128, -1)[:, ::-1].reshape(-1)


def other_column(data: np.ndarray) -> np.ndarray:
    """Change places of two pairs of columns in all rows."""
    shaped = data.reshape(128, -1)
    shaped[:, [1, 6]] = shaped[:, [6, 1]]
    return shaped.reshape(-1)


def one_group_louder(data: np.ndarray) -> np.ndarray:
    """Twice the scale of one group."""
    scales = data.view(np.float16)
    scales[5] *= 2
    return data


FAULTS = {
    "rows": (DOWN, half_bytes(128)),
    "columns": (DOWN, other_column),
    "mirror": (DOWN, flipped),
    "scale": (f"{DOWN}/scale", one_group_louder),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("methods", [("awq",), ("scale_estimation",), ("gptq",), ("lora_correction",)], ids="+".join)
def test_a_fault_in_it_is_caught(
    fault: str, methods: tuple[str, ...], made: Make, source: Make, tmp_path: Path
) -> None:
    broken = copy_of(made("glm", *methods), tmp_path / "broken", manifest=True)
    constant, change = FAULTS[fault]
    edit(broken, constant, change)
    findings = found(broken, source("glm"))
    assert findings.figures["wrong"] == 1
    assert DOWN in findings.failures[0]


LOUDER = {
    "a row by 1.3": (slice(9 * 8, 10 * 8), 1.3),
    "all by 1.1": (slice(None), 1.1),
    "all by 0.9": (slice(None), 0.9),
}


@pytest.mark.parametrize("how", LOUDER)
@pytest.mark.parametrize("methods", [("awq",), ("scale_estimation",), ("gptq",), ("lora_correction",)], ids="+".join)
def test_a_weight_that_is_louder_is_caught_whatever_the_method(
    how: str, methods: tuple[str, ...], made: Make, source: Make, tmp_path: Path
) -> None:
    """No element is far off, and no RMS error is large: it is the direction that tells."""
    broken = copy_of(made("glm", *methods), tmp_path / "broken", manifest=True)
    where, factor = LOUDER[how]

    def louder(data: np.ndarray) -> np.ndarray:
        data[where] *= np.float16(factor)
        return data

    edit(broken, f"{DOWN}/scale", louder, "float16")
    findings = found(broken, source("glm"))
    assert findings.figures["wrong"] == 1
    assert DOWN in findings.failures[0]


@pytest.mark.parametrize("methods", [("awq",), ("gptq",), ("scale_estimation",), ("lora_correction",)], ids="+".join)
def test_another_layers_weight_is_caught_and_named(
    methods: tuple[str, ...], made: Make, source: Make, tmp_path: Path
) -> None:
    """The weight that a wrong name would put there, with all that belongs to it."""
    broken = copy_of(made("glm", *methods), tmp_path / "broken", manifest=True)
    other = DOWN.replace("layers.1", "layers.0")
    for part in ("", "/scale"):
        kept: list[np.ndarray] = []
        edit(tmp_path / "broken", other + part, lambda data, kept=kept: kept.append(data.copy()) or data[::-1])
        edit(broken, DOWN + part, lambda data, kept=kept: kept[0])
        edit(broken, other + part, lambda data, kept=kept: kept[0])
    findings = found(broken, source("glm"))
    assert findings.figures["wrong"] == 1
    assert any(DOWN in failure and f"the values of {other}" in failure for failure in findings.failures), (
        findings.failures
    )


def test_a_division_that_is_missing_is_caught(made: Make, source: Make, tmp_path: Path) -> None:
    broken = copy_of(made("glm", "awq"), tmp_path / "broken", manifest=True)
    scales = next(
        line.split('name="', 1)[1].split('"', 1)[0]
        for line in (broken / "openvino_model.xml").read_text("utf-8").splitlines()
        if "awq_mul/scale" in line
    )
    edit(broken, scales, lambda data: np.ones(data.size // 4, np.float32).view(np.uint8))
    findings = found(broken, source("glm"))
    assert findings.failures
    assert "down_proj" in findings.failures[0]


def test_one_side_of_a_division_between_two_weights_is_caught(made: Make, source: Make, tmp_path: Path) -> None:
    broken = copy_of(made("llama", "awq"), tmp_path / "broken", manifest=True)
    plain = made("llama", "scale_estimation")
    up = DOWN.replace("down", "up")
    for part in ("", "/scale"):
        kept: list[np.ndarray] = []
        undone = copy_of(plain, tmp_path / f"plain{len(part)}", manifest=True)
        edit(undone, up + part, lambda data, kept=kept: kept.append(data.copy()) or data[::-1])
        edit(broken, up + part, lambda data, kept=kept: kept[0])
    findings = found(broken, source("llama"))
    assert findings.failures
    assert any("down_proj" in failure for failure in findings.failures)


def test_adapters_of_another_weight_are_caught(made: Make, source: Make, tmp_path: Path) -> None:
    broken = copy_of(made("glm", "lora_correction"), tmp_path / "broken", manifest=True)
    name = "model.layers.1.mlp.down_proj_lora_B"
    edit(broken, name, lambda data: data.reshape(128, -1)[::-1].reshape(-1))
    findings = found(broken, source("glm"))
    assert findings.figures["wrong"] == 1
    assert DOWN in findings.failures[0]
    assert "adapters" in findings.failures[0]


def test_the_reference_gets_what_the_graph_computes_with(made: Make, source: Make) -> None:
    """The weight beside its division and its adapters is nearer to the source than what the constants hold alone."""
    for methods in (("awq",), ("lora_correction",)):
        checkpoint = open_checkpoint(source("glm"))
        weights = ArtifactWeights(made("glm", *methods), checkpoint)
        tensor = (checkpoint.tensor(DOWN).astype(np.uint32) << 16).view(np.float32)
        held = weights.matched[DOWN][0].stored.whole()
        assert np.linalg.norm(weights.tensor(DOWN) - tensor) < np.linalg.norm(held - tensor)
