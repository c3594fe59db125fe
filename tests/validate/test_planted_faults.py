"""The validator's own proof: each planted fault is caught by the check that one would expect; an untouched artifact passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.conversion import Job, run
from edgeconv.convert.openvino.stream_layers import Layers
from edgeconv.quantize.scheme import Request
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.report.model import Report

pytestmark = pytest.mark.slow
TOKENS = 1500


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def convert(source: Path, out: Path, precision: str = "int8") -> Path:
    return run(Job(str(source), Request(precision), output=out)).path


def climb(artifact: Path, reference: Path, *, quick: bool = False) -> Report:
    return validate(Ask(artifact, reference=str(reference), max_tokens=TOKENS, quick=quick))


def edit_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def edit_tensors(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


# Faults of the source: the artifact is converted from a spoilt copy, and held against the sound checkpoint.


def theta(folder: Path) -> None:
    edit_json(folder / "config.json", rope_theta=1e6, rope_parameters={"rope_type": "default", "rope_theta": 1e6})


def slightly_wrong_theta(folder: Path) -> None:
    edit_json(
        folder / "config.json", rope_theta=10010.0, rope_parameters={"rope_type": "default", "rope_theta": 10010.0}
    )


def eps(folder: Path) -> None:
    edit_json(folder / "config.json", rms_norm_eps=1e-3)


def slightly_wrong_eps(folder: Path) -> None:
    edit_json(folder / "config.json", rms_norm_eps=1.5e-5)


def swapped_gate_and_up(folder: Path) -> None:
    name = "model.layers.2.mlp.gate_up_proj.weight"

    def change(tensors: dict[str, Any]) -> None:
        half = tensors[name].shape[0] // 2
        tensors[name] = tensors[name].roll(half, 0)

    edit_tensors(folder, change)


def zeroed_layer(folder: Path) -> None:
    edit_tensors(folder, lambda t: t["model.layers.4.self_attn.o_proj.weight"].zero_())


def missing_merge(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["merges"].pop(20)
    path.write_text(json.dumps(content, ensure_ascii=False))


def dropped_eos(folder: Path) -> None:
    stops = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    edit_json(folder / "generation_config.json", eos_token_id=stops[:1])
    edit_json(folder / "config.json", eos_token_id=stops[:1])


def other_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|user|>\n", "<|user|> "))


SOURCE_FAULTS = {
    theta: "structure",  # the rotary frequencies are constants of the graph, and are read
    slightly_wrong_theta: "structure",  # by the angles at the last position
    eps: "logits",
    slightly_wrong_eps: "logits",
    swapped_gate_and_up: "structure",
    zeroed_layer: "structure",
    missing_merge: "tokens",
    dropped_eos: "tokens",
    other_template: "template",
}


@pytest.mark.parametrize("fault", SOURCE_FAULTS, ids=lambda f: f.__name__)
def test_fault_of_the_source(fault: Callable[[Path], None], builtin_model: Path, tmp_path: Path) -> None:
    spoilt = shutil.copytree(builtin_model, tmp_path / "model")
    fault(spoilt)
    out = convert(spoilt, tmp_path / "ov")
    if SOURCE_FAULTS[fault] == "logits":  # the configs alone would give it away
        shutil.copy(builtin_model / "config.json", out / "config.json")
        (out / "edgeconv.json").unlink()
    # the checks below the logits are the same in a quick validation
    report = climb(out, builtin_model, quick=SOURCE_FAULTS[fault] != "logits")
    assert report.verdict == "failed"
    assert report.first_failed == SOURCE_FAULTS[fault]
    if fault is zeroed_layer:
        assert any("model.layers.4.self_attn.o_proj.weight" in failure for failure in report.rungs[0].failures)


# Faults of the artifact's own making.


def test_a_scale_off_by_one_group(builtin_model: Path, tmp_path: Path) -> None:
    import openvino as ov

    out = convert(builtin_model, tmp_path / "ov", "int4_sym")
    model = ov.Core().read_model(out / "openvino_model.xml")
    name = "model.layers.1.mlp.down_proj.weight/scale"
    node = next(n for n in model.get_ordered_ops() if n.get_friendly_name() == name)
    before = np.ascontiguousarray(node.data).tobytes()
    data = bytearray((out / "openvino_model.bin").read_bytes())
    place = data.find(before)
    after = np.roll(np.frombuffer(before, np.float16), 1).tobytes()
    data[place : place + len(after)] = after
    (out / "openvino_model.bin").write_bytes(data)
    (out / "edgeconv.json").unlink()  # the hashes alone would give it away
    del model, node
    report = climb(out, builtin_model)
    assert report.first_failed == "structure"
    assert any("layers.1.mlp.down_proj" in failure for failure in report.rungs[0].failures)


def test_positions_that_shift_only_once_the_cache_is_filled(
    builtin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Layers.rotation

    def shifted(self: Any, positions: Any, rope: Any) -> Any:
        ops = self.ops
        first = ops.reduce_min(positions, self.i64([1]), keep_dims=True)
        late = ops.convert(ops.greater(first, self.i64(0)), np.int64)
        return original(self, ops.add(positions, late), rope)

    monkeypatch.setattr(Layers, "rotation", shifted)
    report = climb(convert(builtin_model, tmp_path / "ov"), builtin_model)
    assert report.first_failed == "decode"


def test_a_truncated_context(builtin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Layers.mask

    def windowed(self: Any, start: Any, attention_mask: Any, *others: Any) -> Any:
        ops = self.ops
        total = ops.gather(ops.shape_of(attention_mask), self.i64(1), self.i64(0))
        new = ops.gather(ops.shape_of(start), self.i64(1), self.i64(0))
        columns = ops.range(self.i64(0), total, self.i64(1), "i64")
        rows = ops.unsqueeze(ops.range(ops.subtract(total, new), total, self.i64(1), "i64"), self.i64(1))
        far = ops.greater(ops.subtract(rows, columns), self.i64(64))
        hidden = ops.select(far, ops.constant(-65504.0, np.float32), ops.constant(0.0, np.float32))
        return ops.minimum(original(self, start, attention_mask, *others), ops.unsqueeze(hidden, self.i64([0, 1])))

    monkeypatch.setattr(Layers, "mask", windowed)
    report = climb(convert(builtin_model, tmp_path / "ov"), builtin_model)
    assert report.first_failed == "logits"
    conversion = next(c for c in report.comparisons if c.name == "conversion")
    assert conversion.positions[-1].max_abs_logit > conversion.positions[0].max_abs_logit * 100


def test_a_truncated_file(builtin_model: Path, tmp_path: Path) -> None:
    out = convert(builtin_model, tmp_path / "ov")
    data = (out / "openvino_model.bin").read_bytes()
    (out / "openvino_model.bin").write_bytes(data[: len(data) // 2])
    report = climb(out, builtin_model)
    assert report.verdict == "failed"
    assert report.first_failed == "structure"


@pytest.mark.parametrize("precision", ["bf16", "int8", "int4", "nf4"])
def test_an_untouched_artifact_passes(precision: str, builtin_model: Path, tmp_path: Path) -> None:
    report = validate(Ask(convert(builtin_model, tmp_path / "ov", precision), max_tokens=TOKENS))
    assert report.verdict == "passed", [check.failures for check in report.rungs]
    assert {c.name for c in report.comparisons} == {
        "noise_floor", "conversion", "quantisation", "runtime", "runtime_decode", "long_context",
    }  # fmt: skip


def test_rows_permuted_for_the_runtime_are_no_fault(builtin_model: Path, tmp_path: Path) -> None:
    out = run(Job(str(builtin_model), Request("int8"), output=tmp_path / "ov", rope="fused")).path
    assert validate(Ask(out, max_tokens=TOKENS)).verdict == "passed"
