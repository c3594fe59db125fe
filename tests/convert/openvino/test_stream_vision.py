"""GLM-Edge-V's three IRs against torch, against NNCF, and against the names that optimum-intel gives them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import stream
from edgeconv.convert.openvino.choose import Choice, choose
from edgeconv.convert.openvino.engine import Exported
from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve, resolve_vision

from ...ir import constants
from ...vision_ir import (
    ALL,
    LANGUAGE,
    TEXT_EMBEDDINGS,
    VISION_EMBEDDINGS,
    VisionRunner,
    all_constants,
    all_weights,
    torch_vision_model,
)

COMPRESSED, FLOATING = 1e-3, 1e-4
"""max |Δ| between the IRs in ACCURACY mode and torch float32 holding the IRs' own weights, or the checkpoint's."""
TOWER = "model.vision.vit.model.vision_model."
Maker = Callable[..., Path]


def opened(source: Path) -> tuple[Checkpoint, Choice]:
    checkpoint = open_checkpoint(source)
    choice = choose(checkpoint.config, names=checkpoint.names)
    assert choice.decoder and choice.vision
    stream.check(checkpoint, choice.decoder, choice.vision)
    return checkpoint, choice


def export(source: Path, out: Path, request: Request, vision_precision: str | None = None, **options: str) -> Exported:
    checkpoint, choice = opened(source)
    scheme = resolve(request)
    out.mkdir(exist_ok=True)
    return stream.export(
        checkpoint,
        choice.decoder,
        scheme,
        out,
        vision=choice.vision,
        vision_scheme=resolve_vision(vision_precision, scheme, "glm_edge_v"),
        progress=Silent(),
        **options,
    )


def prompt(source: Path, pictures: int) -> tuple[list[int], np.ndarray | None, int]:
    """Token ids with the placeholders of so many pictures between words, their pixels, and the placeholder's id."""
    vision = opened(source)[1].vision
    random = np.random.default_rng(pictures)
    ids = random.integers(5, 4000, 11).tolist()
    for _ in range(pictures):
        ids += [vision.placeholder] * vision.image_tokens + random.integers(5, 4000, 7).tolist()
    shape = (pictures, vision.tower.channels, vision.tower.image_size, vision.tower.image_size)
    return ids, random.uniform(-1, 1, shape).astype(np.float32) if pictures else None, vision.placeholder


def torch_outputs(model: Any, ids: list[int], pixels: np.ndarray | None) -> dict[str, np.ndarray]:
    import torch

    tokens, given = torch.tensor([ids]), None if pixels is None else torch.from_numpy(pixels)
    with torch.no_grad():
        found = {"logits": model(input_ids=tokens, pixel_values=given).logits[0]}
        found["text embeddings"] = model.get_input_embeddings()(tokens)
        if given is not None:
            found["vision embeddings"] = model.get_image_features(given).pooler_output
            found["merged"] = model.model.merge(tokens, given)
    return {name: value.numpy() for name, value in found.items()}


def ir_outputs(runner: VisionRunner, ids: list[int], pixels: np.ndarray | None) -> dict[str, np.ndarray]:
    merged = runner.merge(ids, pixels)
    found = {"logits": runner.logits(merged), "text embeddings": runner.embed(ids)}
    if pixels is not None:
        found |= {"vision embeddings": runner.see(pixels), "merged": merged}
    return found


def require_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray], limit: float) -> None:
    assert one.keys() == other.keys()
    differences = {name: float(np.abs(value - other[name]).max()) for name, value in one.items()}
    assert max(differences.values()) < limit, differences


SCHEMES = [
    (Request("fp32"), None, FLOATING),
    (Request("bf16"), None, FLOATING),
    (Request("int8"), "int8", COMPRESSED),
    (Request("int4_sym", group_size=32, ratio=0.6), None, COMPRESSED),
    (Request("int4_asym", group_size=32), "int8", COMPRESSED),
    (Request("fp32"), "int8", COMPRESSED),
]


@pytest.mark.parametrize(("request_", "vision", "limit"), SCHEMES, ids=lambda v: getattr(v, "precision", v))
def test_every_stage_is_torchs_on_the_weights_that_are_stored(
    request_: Request, vision: str | None, limit: float, tiny_vision_model: Maker, tmp_path: Path
) -> None:
    source = tiny_vision_model()
    export(source, tmp_path, request_, vision)
    exact = limit == FLOATING
    model = torch_vision_model(source, None if exact else all_weights(tmp_path))
    runner = VisionRunner(tmp_path, prompt(source, 0)[2])
    for pictures in (0, 1, 3):
        ids, pixels, _ = prompt(source, pictures)
        found = ir_outputs(runner, ids, pixels)
        require_equal(found, torch_outputs(model, ids, pixels), limit)
        merged = runner.merge(ids, pixels)
        steps = [runner.logits(merged[:, :-5])]
        steps += [runner.logits(merged[:, i : i + 1], i) for i in range(len(ids) - 5, len(ids))]
        assert np.abs(np.concatenate(steps) - found["logits"]).max() < COMPRESSED  # with the cache


VARIANTS: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "patches that do not fill the picture, an odd grid": {"vision": {"image_size": 73}},
    "one channel, other heads, exact GELU": {
        "vision": {"num_channels": 1, "num_attention_heads": 4, "hidden_act": "gelu", "layer_norm_eps": 1e-3}},
    "other patches": {"vision": {"image_size": 48, "patch_size": 8}},
    "biases, half rotary": {"attention_bias": True, "partial_rotary_factor": 0.5},
    "adapter wider than the tower": {"intermediate_size": 160, "vision": {"hidden_size": 48, "num_hidden_layers": 1}},
    "float32": {"dtype": "float32"},
    "float16, a pooling head": {"dtype": "float16", "pooling_head": True},
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_everything_is_read_from_the_config(name: str, tiny_vision_model: Maker, tmp_path: Path) -> None:
    source = tiny_vision_model(**VARIANTS[name])
    export(source, tmp_path, Request("fp32"))
    ids, pixels, placeholder = prompt(source, 2)
    found = ir_outputs(VisionRunner(tmp_path, placeholder), ids, pixels)
    require_equal(found, torch_outputs(torch_vision_model(source), ids, pixels), FLOATING)


def test_a_batch_of_pictures_is_each_of_them(tiny_vision_model: Maker, tmp_path: Path) -> None:
    source = tiny_vision_model()
    export(source, tmp_path, Request("bf16"))
    _, pixels, placeholder = prompt(source, 5)
    runner = VisionRunner(tmp_path, placeholder)
    alone = np.concatenate([runner.see(pixels[i : i + 1]) for i in range(5)])
    assert np.abs(runner.see(pixels) - alone).max() < 1e-5


NAMES = {
    LANGUAGE: (["attention_mask", "position_ids", "inputs_embeds", "beam_idx"], "logits"),
    TEXT_EMBEDDINGS: (["input"], "inputs_embeds"),
    VISION_EMBEDDINGS: (["pixel_values"], "last_hidden_state"),
}
"""As optimum-intel 2.2.0 exports LLaVA."""


def test_names_and_shapes_are_optimums(tiny_vision_model: Maker, tmp_path: Path) -> None:
    import openvino as ov

    export(tiny_vision_model(), tmp_path, Request("int4", group_size=32), "int8")
    core = ov.Core()
    shapes = {}
    for file, (inputs, output) in NAMES.items():
        model = core.read_model(tmp_path / file)
        assert [i.any_name for i in model.inputs] == inputs
        assert [o.any_name for o in model.outputs] == [output]
        shapes |= {port.any_name: str(port.partial_shape) for port in (*model.inputs, *model.outputs)}
        assert ("runtime_options" in model.get_rt_info()) == (file == LANGUAGE)
    assert shapes["pixel_values"] == "[?,3,56,56]"
    assert shapes["last_hidden_state"] == "[?,6,64]"
    assert shapes["inputs_embeds"] == "[?,?,64]"
    states = {state.get_info().variable_id for state in core.read_model(tmp_path / LANGUAGE).get_variables()}
    assert states == {f"past_key_values.{i}.{k}present.{i}.{k}" for i in (0, 1) for k in ("key", "value")}


def test_the_runtime_fuses_attention(tiny_vision_model: Maker, tmp_path: Path) -> None:
    import openvino as ov

    export(tiny_vision_model(), tmp_path, Request("int4", group_size=32))
    nodes = ov.Core().compile_model(tmp_path / LANGUAGE, "CPU").get_runtime_model().get_ops()
    kinds = [str(node.get_rt_info()["layerType"].astype(str)) for node in nodes]
    assert kinds.count("ScaledDotProductAttention") == 2
    assert kinds.count("RMS") == 5


OF_NNCF = [
    (Request("int4_sym", group_size=64, ratio=0.6), False),
    (Request("int4_asym", group_size=32, ratio=0.8, backup_precision="int8_sym"), True),
    (Request("int4_sym", group_size=32, all_layers=True), True),
    (Request("int4_sym", group_size=32, backup_precision="none"), False),
    (Request("int8"), False),
]


@pytest.mark.parametrize(("request_", "tied"), OF_NNCF, ids=repr)
def test_constants_are_those_of_nncf(request_: Request, tied: bool, tiny_vision_model: Maker, tmp_path: Path) -> None:
    source = tiny_vision_model(hidden_size=128, head_dim=32, intermediate_size=192, tie_word_embeddings=tied)
    ours = export(source, tmp_path / "ours", request_, "int8")
    theirs = export(source, tmp_path / "theirs", request_, "int8", compressor="nncf")
    found = all_constants(tmp_path / "ours")
    assert found == all_constants(tmp_path / "theirs")
    assert {entry.name for entry in ours.tensors} == {entry.name for entry in theirs.tensors}
    kinds = {name.removeprefix(TOWER): kind for name, (kind, _, _) in found[VISION_EMBEDDINGS].items()}
    assert kinds["embeddings.patch_embedding.weight"] == kinds["encoder.layers.1.mlp.fc2.weight"] == "u8"
    assert kinds["embeddings.position_embedding.weight"] == kinds["post_layernorm.weight"] == "bf16"
    assert (ours.compressor, theirs.compressor) == ("edgeconv", "nncf")


def test_the_language_half_is_the_text_models(tiny_vision_model: Maker, tmp_path: Path) -> None:
    """The same weights without a tower, as a text model, have the same constants."""
    request = Request("int4_sym", group_size=32, ratio=0.6)
    checkpoint, choice = opened(tiny_vision_model())
    export(checkpoint.folder, tmp_path / "seeing", request)
    (tmp_path / "text").mkdir()
    stream.export(checkpoint, choice.decoder, resolve(request), tmp_path / "text", progress=Silent())
    found = all_constants(tmp_path / "seeing")
    assert constants(tmp_path / "text" / "openvino_model.xml") == found[LANGUAGE] | found[TEXT_EMBEDDINGS]


@pytest.mark.parametrize("precision", ["nf4", "mxfp4"])
def test_precisions_that_only_nncf_has_run(precision: str, tiny_vision_model: Maker, tmp_path: Path) -> None:
    source = tiny_vision_model()
    made = export(source, tmp_path, Request(precision))
    assert made.compressor == "nncf"
    assert {entry.file for entry in made.tensors} == set(ALL)
    ids, pixels, placeholder = prompt(source, 1)
    runner = VisionRunner(tmp_path, placeholder)
    assert np.isfinite(runner.logits(runner.merge(ids, pixels))).all()


def test_fused_rows_give_the_same_logits(tiny_vision_model: Maker, tmp_path: Path) -> None:
    source = tiny_vision_model()
    ids, pixels, placeholder = prompt(source, 1)
    made = []
    for rope in ("source", "fused"):
        export(source, tmp_path / rope, Request("int4", group_size=32), rope=rope)
        made.append(ir_outputs(VisionRunner(tmp_path / rope, placeholder), ids, pixels))
    require_equal(*made, COMPRESSED)
    assert (tmp_path / "source" / LANGUAGE).read_text() != (tmp_path / "fused" / LANGUAGE).read_text()


def in_two_shards(source: Path, folder: Path) -> Path:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(source, folder)
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    home = {name: f"model-{i % 2 + 1:05}-of-00002.safetensors" for i, name in enumerate(sorted(tensors))}
    for shard in set(home.values()):
        save_file({name: tensors[name] for name in home if home[name] == shard}, copy / shard)
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": home}))
    return copy


def test_shards_do_not_change_a_byte(tiny_vision_model: Maker, tmp_path: Path) -> None:
    export(tiny_vision_model(), tmp_path / "one", Request("int4", group_size=32))
    export(in_two_shards(tiny_vision_model(), tmp_path / "cut"), tmp_path / "two", Request("int4", group_size=32))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("vision", ["fp16", "int8", "bf16", "fp32"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_size_is_predicted_and_every_tensor_is_in_the_table(
    tied: bool, vision: str, tiny_vision_model: Maker, tmp_path: Path
) -> None:
    source = tiny_vision_model(tie_word_embeddings=tied)
    checkpoint, choice = opened(source)
    scheme = resolve(Request("int4", group_size=32))
    made = export(source, tmp_path, Request("int4", group_size=32), vision)
    predicted = stream.predicted_size(
        checkpoint, choice.decoder, scheme, choice.vision, resolve_vision(vision, scheme, "")
    )
    assert predicted == sum(entry.bytes for entry in made.tensors)
    written = sum((tmp_path / name).with_suffix(".bin").stat().st_size for name in ALL)
    assert predicted <= written < predicted + 20_000
    table = "model.embed_tokens.weight"
    assert {e.name for e in made.tensors} == checkpoint.names
    assert [e.file for e in made.tensors if e.name == table] == ([LANGUAGE] if tied else []) + [TEXT_EMBEDDINGS]
    assert bool(stream.notes(choice.decoder, choice.vision)) == tied
    assert {e.file for e in made.tensors if e.name.startswith("model.vision.")} == {VISION_EMBEDDINGS}


def changed(source: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a checkpoint of one shard, whose tensors `change` changes."""
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(source, folder)
    tensors = load_file(copy / "model.safetensors")
    change(tensors)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


@pytest.mark.parametrize("name", ["model.vision.vit.model.vision_model.extra.weight", "model.vision.adapter.boi2", "x"])
def test_a_tensor_without_a_place_is_refused(name: str, tiny_vision_model: Maker, tmp_path: Path) -> None:
    import torch

    source = changed(tiny_vision_model(), tmp_path / "m", lambda tensors: tensors.update({name: torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=name):
        opened(source)


def test_a_missing_tensor_is_named(tiny_vision_model: Maker, tmp_path: Path) -> None:
    name = TOWER + "encoder.layers.1.self_attn.k_proj.bias"
    source = changed(tiny_vision_model(), tmp_path / "m", lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError, match=r"layers\.1\.self_attn\.k_proj\.bias"):
        opened(source)


def test_a_pooling_head_of_a_text_model_is_not_excused(tiny_model: Maker, tmp_path: Path) -> None:
    """The list of tensors that may be left out belongs to the model with the tower."""
    import torch

    name = TOWER + "head.probe"
    source = changed(tiny_model("llama"), tmp_path / "m", lambda tensors: tensors.update({name: torch.zeros(3)}))
    checkpoint = open_checkpoint(source)
    choice = choose(checkpoint.config, names=checkpoint.names)
    assert choice.vision is None and choice.decoder
    with pytest.raises(CheckpointError, match=r"head\.probe"):
        stream.check(checkpoint, choice.decoder, choice.vision)


WEIGHT = TOWER + "encoder.layers.0.mlp.fc1.weight"


def scaled(source: Path, folder: Path, factor: float, name: str = WEIGHT) -> Path:
    return changed(source, folder, lambda tensors: tensors.update({name: tensors[name] * factor}))


def test_float16_that_overflows_gives_way_out_loud(tiny_vision_model: Maker, tmp_path: Path) -> None:
    source = scaled(tiny_vision_model(), tmp_path / "m", 2.0**18)
    made = export(source, tmp_path / "default", Request("int8"))
    assert made.vision_scheme.mode == "bf16"
    assert "fc1.weight do not fit into float16" in made.notes[0]
    kinds = {entry.name: entry.precision for entry in made.tensors}
    assert kinds[WEIGHT] == "bf16"
    with pytest.raises(CheckpointError, match=r"fc1\.weight do not fit into float16") as caught:
        export(source, tmp_path / "asked", Request("int8"), "fp16")
    assert "--vision-precision bf16" in caught.value.hint


def test_float16_that_loses_small_weights_gives_way(tiny_vision_model: Maker, tmp_path: Path) -> None:
    source = scaled(tiny_vision_model(), tmp_path / "m", 2.0**-16)
    made = export(source, tmp_path / "default", Request("int8"))
    assert made.vision_scheme.mode == "bf16"
    assert "so small that float16 loses" in made.notes[0]
    asked = export(source, tmp_path / "asked", Request("int8"), "fp16")
    assert asked.vision_scheme.mode == "fp16"
    assert "as asked for" in asked.notes[0]
    vanished = scaled(tiny_vision_model(), tmp_path / "v", 2.0**-100)
    assert "float16 loses 100.0%" in export(vanished, tmp_path / "gone", Request("int8")).notes[0]


def test_float16_keeps_what_fits(tiny_vision_model: Maker, tmp_path: Path) -> None:
    """A few small weights among others, and tensors of zeros, are not reason."""
    bias = TOWER + "embeddings.position_embedding.weight"
    for i, factor in enumerate((0.0, 2.0**-6)):
        source = scaled(tiny_vision_model(), tmp_path / f"m{i}", factor, bias)
        made = export(source, tmp_path / f"o{i}", Request("int8"))
        assert (made.vision_scheme.mode, made.notes) == ("fp16", [])
    wide = export(scaled(tiny_vision_model(dtype="float32"), tmp_path / "w", 2.0**18), tmp_path / "ow", Request("int8"))
    assert wide.vision_scheme.mode == "fp32"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("vision", [None, "int8", "bf16"])
def test_weights_that_are_no_numbers_are_refused(
    vision: str | None, value: float, tiny_vision_model: Maker, tmp_path: Path
) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors[WEIGHT][3, 5] = value

    source = changed(tiny_vision_model(), tmp_path / "m", spoil)
    with pytest.raises(CheckpointError, match=r"fc1\.weight: .*NaN or infinite"):
        export(source, tmp_path / "ir", Request("int8"), vision)


def test_the_trace_engine_is_refused_with_the_reason(tiny_vision_model: Maker) -> None:
    checkpoint = open_checkpoint(tiny_vision_model())
    with pytest.raises(UsageError, match="the 47 vision tensors of this GLM-Edge-V would be left out"):
        choose(checkpoint.config, "trace", names=checkpoint.names)
    assert "by its tensors" in choose(checkpoint.config, names=checkpoint.names).reason
