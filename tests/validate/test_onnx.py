"""ONNX artifacts on the parity suite: what is sound passes, planted faults are caught by the check that one would expect."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.conversion import OnnxJob, run
from edgeconv.convert.onnx.layers import FREQUENCIES, Layers
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import ArtifactError, UsageError
from edgeconv.core.progress import Silent
from edgeconv.quantize.integer import to_float32
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.onnxruntime import OnnxRuntime
from edgeconv.validate.checks import decode
from edgeconv.validate.formats import open_artifact
from edgeconv.validate.formats.onnx import OnnxArtifact
from edgeconv.validate.parity import Ask, validate
from edgeconv.validate.weights.onnx import OnnxWeights

IDS = np.random.default_rng(3).integers(5, 4000, 40).tolist()


def convert(source: Path, out: Path, precision: str, **options: Any) -> Path:
    return run(OnnxJob(str(source), Request(precision, **options), output=out)).path


@pytest.fixture(scope="module")
def checkpoint(builtin_model: Path) -> Checkpoint:
    return open_checkpoint(builtin_model)


@pytest.fixture(scope="module")
def int4(builtin_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only: copy it before changing anything."""
    return convert(builtin_model, tmp_path_factory.mktemp("onnx") / "int4", "int4", ratio=1.0)


def copy_of(artifact: Path, to: Path) -> Path:
    """A copy to break, without the manifest whose digests would give everything away."""
    shutil.copytree(artifact, to)
    (to / "edgeconv.json").unlink()
    return to


def structure(folder: Path, checkpoint: Checkpoint) -> Any:
    artifact = open_artifact(folder)
    try:
        weights = artifact.weights(checkpoint)
    except ArtifactError:
        weights = None
    return artifact.structure(checkpoint, weights, Silent())


def edit_weights(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the bytes of an initializer where they lie."""
    import onnx

    model = onnx.load(folder / "model.onnx", load_external_data=False)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    place = {entry.key: entry.value for entry in tensor.external_data}
    offset, length = int(place["offset"]), int(place["length"])
    data = bytearray((folder / "model.onnx_data").read_bytes())
    changed = change(np.frombuffer(data[offset : offset + length], np.uint8).copy())
    assert len(changed.tobytes()) == length
    data[offset : offset + length] = changed.tobytes()
    (folder / "model.onnx_data").write_bytes(data)


def edit_graph(folder: Path, change: Callable[[Any], None]) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx", load_external_data=False)
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def test_the_whole_ladder(int4: Path, builtin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path))
    report = validate(Ask(int4, reference=str(builtin_model), max_tokens=800, budgets={"mean_kl": 0.2, "top1": 0.7}))
    assert report.verdict == "passed", [one.failures for one in report.rungs]
    figures = {c.name: c.figures["max_abs_logit"].value for c in report.comparisons}
    assert figures["conversion"] < 1e-3 < figures["quantisation"]
    assert figures["runtime"] > 1e-3  # activations in 8 bits
    assert "onnxruntime" in report.versions


@pytest.mark.slow
def test_a_weight_in_the_place_of_another(int4: Path, builtin_model: Path, tmp_path: Path) -> None:
    """Every weight is there and right, and the graph multiplies by the wrong one: the logits alone can tell."""

    def swap(model: Any) -> None:
        name = "model.layers.{}.self_attn.q_proj.weight"
        for node in model.graph.node:
            for at, value in enumerate(node.input):
                if value.startswith(name.format(0)):
                    node.input[at] = value.replace(name.format(0), name.format(1))

    folder = copy_of(int4, tmp_path / "out")
    edit_graph(folder, swap)
    report = validate(Ask(folder, reference=str(builtin_model), max_tokens=300))
    assert report.verdict == "failed"
    conversion = next(c for c in report.comparisons if c.name == "conversion")
    assert conversion.figures["max_abs_logit"].value > 0.1


def test_weights_of_every_form_are_read(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    for number, (tied, request) in enumerate(
        [
            (True, {"precision": "int4_asym", "group_size": 64, "ratio": 0.5}),
            (True, {"precision": "int4_sym", "all_layers": True}),
            (False, {"precision": "int4_asym", "group_size": -1, "all_layers": True}),
            (False, {"precision": "int8_sym"}),
            (True, {"precision": "fp16"}),
        ]
    ):
        source = tiny_model("llama", hidden_size=192, intermediate_size=384, tie_word_embeddings=tied)
        folder = convert(source, tmp_path / str(number), **request)
        opened = open_checkpoint(source)
        weights = OnnxWeights(folder, opened)
        assert weights.unmatched_checkpoint == []
        for name in weights.matched:
            wanted = to_float32(opened.tensor(name))
            assert np.abs(weights.tensor(name) - wanted).max() <= 0.2 * max(np.abs(wanted).max(), 1e-9), name
        one = structure(folder, opened)
        assert one.status == "passed", one.failures
        assert one.figures["matched_by_content"] == 0


@pytest.mark.parametrize("bits", [4, 8])
def test_models_of_another_tool_are_read_and_made_exact(
    bits: int, builtin_model: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Numbered names, flat scales, zero points: onnxruntime's own quantizer on a model as torch exports it."""
    folder = copy_of(convert(builtin_model, tmp_path / "plain", "fp32"), tmp_path / "foreign")
    fold_transposes(folder)
    edit_graph(folder, lambda model: quantize(model, bits))
    one = structure(folder, checkpoint)
    assert one.status == "passed", one.failures
    assert one.figures["matched_by_content"] > 20
    exact, default = (OnnxRuntime(folder, accurate=accurate) for accurate in (True, False))
    difference = np.abs(next(exact.logits(IDS)) - next(default.logits(IDS))).max()
    assert 1e-4 < difference < 2.0
    assert decode.check(exact, [IDS], Silent()).status == "passed"


def test_a_square_weight_of_another_tool_lies_the_other_way_round(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model("llama")
    opened = open_checkpoint(source)
    assert len(set(opened.info("model.layers.0.self_attn.o_proj.weight").shape)) == 1
    folder = convert(source, tmp_path / "out", "fp32")
    (folder / "edgeconv.json").unlink()
    fold_transposes(folder, 5)
    one = structure(folder, opened)
    assert one.status == "passed", one.failures


def quantize(model: Any, bits: int, size: int = 32) -> None:
    from onnx import helper, numpy_helper
    from onnxruntime.capi import _pybind_state as kernels

    known = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name.startswith("onnx::")}
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[1] not in known:
            continue
        tensor = known[node.input[1]]
        weight = numpy_helper.to_array(tensor)
        cols, rows = weight.shape
        count = cols // size
        values = np.zeros((rows, count, size * bits // 8), np.uint8)
        scales = np.zeros(rows * count, np.float32)
        zeros = np.zeros(rows * ((count + 1) // 2 if bits == 4 else count), np.uint8)
        kernel = kernels.quantize_matmul_4bits if bits == 4 else kernels.quantize_matmul_8bits
        kernel(values, weight, scales, zeros, size, rows, cols, False)
        names = [tensor.name + suffix for suffix in ("_Q", "_scales", "_zp")]
        arrays = zip(names, (values, scales, zeros), strict=True)
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays)
        made = helper.make_node(
            "MatMulNBits", [node.input[0], *names], list(node.output), name=f"{node.name}_Q", domain="com.microsoft",
            K=cols, N=rows, bits=bits, block_size=size, accuracy_level=4,
        )  # fmt: skip
        node.CopyFrom(made)
    for tensor in known.values():
        model.graph.initializer.remove(tensor)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def fold_transposes(folder: Path, least: int = 20) -> None:
    """Make the products take [columns, rows] under numbered names, as exports by torch have them."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(folder / "model.onnx")
    graph = model.graph
    known = {tensor.name: tensor for tensor in graph.initializer}
    folded = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in known]
    assert len(folded) > least
    for number, node in enumerate(folded):
        name = f"onnx::MatMul_{number}"
        graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(known[node.input[0]]).T), name)
        )
        for user in graph.node:
            for at, value in enumerate(user.input):
                if value == node.output[0]:
                    user.input[at] = name
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for name in set(known) - used:
        graph.initializer.remove(known[name])
    (folder / "model.onnx_data").unlink()
    onnx.save(model, folder / "model.onnx")


def test_positions_that_shift_once_the_cache_is_filled(
    builtin_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Layers.rotation

    def shifted(self: Any, positions: str, rope: Any) -> Any:
        g = self.graph
        first = g.op("ReduceMin", positions, g.i64([1]), keepdims=1)
        late = g.op("Cast", g.op("Greater", first, g.i64(0)), to=g.types.INT64)
        return original(self, g.op("Add", positions, late), rope)

    sound = OnnxRuntime(convert(builtin_model, tmp_path / "sound", "int8"))
    assert decode.check(sound, [IDS], Silent()).status == "passed"
    monkeypatch.setattr(Layers, "rotation", shifted)
    runtime = OnnxRuntime(convert(builtin_model, tmp_path / "out", "int8"))
    assert decode.check(runtime, [IDS], Silent()).status == "failed"


def test_a_scale_off_by_one_block_is_named(int4: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copy_of(int4, tmp_path / "out")
    edit_weights(folder, "model.layers.1.mlp.down_proj.weight/scale", lambda raw: np.roll(raw, 4))
    one = structure(folder, checkpoint)
    assert one.status == "failed"
    assert any("layers.1.mlp.down_proj" in failure for failure in one.failures)


def test_zeroed_values_are_named(int4: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copy_of(int4, tmp_path / "out")
    edit_weights(folder, "model.layers.2.self_attn.o_proj.weight", lambda raw: np.full_like(raw, 0x88))
    one = structure(folder, checkpoint)
    assert any("layers.2.self_attn.o_proj" in failure and "zero" in failure for failure in one.failures), one.failures


def wrong_theta(model: Any) -> None:
    from onnx import numpy_helper

    tensor = next(t for t in model.graph.initializer if t.name == FREQUENCIES)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), tensor.name))


def fewer_layers(model: Any) -> None:
    del model.graph.input[-2:]


GRAPH_FAULTS = {wrong_theta: "rotary frequencies", fewer_layers: "keys and values"}


@pytest.mark.parametrize("fault", GRAPH_FAULTS, ids=lambda f: f.__name__)
def test_faults_of_the_graph(fault: Callable[[Any], None], int4: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copy_of(int4, tmp_path / "out")
    edit_graph(folder, fault)
    one = structure(folder, checkpoint)
    assert any(GRAPH_FAULTS[fault] in failure for failure in one.failures), one.failures


def place(model: Any, name: str, key: str, value: str) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    next(entry for entry in tensor.external_data if entry.key == key).value = value


TABLE = "model.embed_tokens.weight"
HOSTILE = {
    "outside": (lambda m: place(m, TABLE, "location", "../../secret"), "outside"),
    "absolute": (lambda m: place(m, TABLE, "location", "/etc/passwd"), "outside"),
    "beyond the end": (lambda m: place(m, TABLE, "offset", str(10**12)), "ends before"),
    "negative": (lambda m: place(m, TABLE, "offset", "-4096"), "ends before"),
    "no number": (lambda m: place(m, TABLE, "length", "many"), "not a number"),
    "too short": (lambda m: place(m, TABLE, "length", "64"), "bytes where its shape needs"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_places_that_lie(name: str, int4: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    change, says = HOSTILE[name]
    folder = copy_of(int4, tmp_path / "out")
    edit_graph(folder, change)
    with pytest.raises(ArtifactError, match=says):
        OnnxWeights(folder, checkpoint)
    assert structure(folder, checkpoint).status == "failed"


@pytest.mark.parametrize("file", ["model.onnx", "model.onnx_data"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_truncated_files(file: str, share: float, int4: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copy_of(int4, tmp_path / "out")
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[: int(len(data) * share)])
    assert structure(folder, checkpoint).status == "failed"
    with pytest.raises(ArtifactError):
        OnnxRuntime(folder)


def test_the_manifest_knows_every_byte(int4: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = shutil.copytree(int4, tmp_path / "out")
    with (folder / "genai_config.json").open("a") as file:
        file.write(" ")
    assert any("genai_config.json" in failure for failure in structure(folder, checkpoint).failures)


def missing_merge(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["merges"].pop(20)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False))


def dropped_stop_of_genai(folder: Path) -> None:
    content = json.loads((folder / "genai_config.json").read_text())
    content["model"]["eos_token_id"] = content["model"]["eos_token_id"][:1]
    (folder / "genai_config.json").write_text(json.dumps(content))


@pytest.mark.parametrize("fault", [missing_merge, dropped_stop_of_genai], ids=lambda f: f.__name__)
def test_faults_of_the_tokenizer(
    fault: Callable[[Path], None], int4: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = copy_of(int4, tmp_path / "out")
    fault(folder)
    assert open_artifact(folder).tokens(checkpoint, Silent()).status == "failed"


def test_another_template(int4: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copy_of(int4, tmp_path / "out")
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|user|>\n", "<|user|> "))
    assert open_artifact(folder).template(checkpoint, Silent()).status == "failed"
    path.unlink()
    assert open_artifact(folder).template(checkpoint, Silent()).status == "failed"


def test_what_is_no_decoder_is_refused(int4: Path, tmp_path: Path) -> None:
    folder = copy_of(int4, tmp_path / "out")
    edit_graph(folder, lambda model: setattr(model.graph.input[0], "name", "pixels"))
    with pytest.raises(ArtifactError):
        OnnxRuntime(folder)
    with pytest.raises(UsageError, match="GPU"):
        open_artifact(int4).require_device("GPU")
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        OnnxArtifact(tmp_path, None)


def test_the_mode_of_a_model_without_a_manifest(int4: Path, tmp_path: Path) -> None:
    folder = copy_of(int4, tmp_path / "out")
    assert open_artifact(folder).mode.startswith("int4")
    assert open_artifact(int4).mode == "int4_sym"


def relabel(manifest: Any) -> None:
    manifest["scheme"]["mode"] = "int2_sym"


def relabel_weights(manifest: Any) -> None:
    for entry in manifest["tensors"]:
        entry["precision"] = entry["precision"].replace("int4", "int2")


def test_the_manifests_word_loosens_no_budget(
    int4: Path, builtin_model: Path, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Its own word for how it is stored decides on nothing; where it names weights, it must be true."""
    ir = conversion.run(conversion.Job(str(builtin_model), Request("int4"), output=tmp_path / "ir")).path
    for number, artifact in enumerate((int4, ir)):
        for change in (relabel, relabel_weights):
            folder = tmp_path / f"{change.__name__}{number}"
            shutil.copytree(artifact, folder)
            manifest = json.loads((folder / "edgeconv.json").read_text())
            change(manifest)
            (folder / "edgeconv.json").write_text(json.dumps(manifest))
            opened = open_artifact(folder)
            assert (opened.bits, opened.mode) == (4, "int4_sym")
            if change is relabel_weights:
                one = opened.structure(checkpoint, opened.weights(checkpoint), Silent())
                assert any("The manifest says other bits than are stored" in failure for failure in one.failures)
