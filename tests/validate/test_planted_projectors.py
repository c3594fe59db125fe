"""Faults planted into the projectors of GGUFs, one for each mechanism: found in the file, and in what llama.cpp makes of it."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.gguf.read import open_gguf
from edgeconv.core.progress import Silent
from edgeconv.validate.checks import projector_prompts, vision_gguf
from edgeconv.validate.passes import TorchPasses
from edgeconv.validate.report.model import Check
from edgeconv.validate.suite import load
from edgeconv.validate.target import open_pair
from edgeconv.validate.tokenizer import open_tokenizer
from edgeconv.validate.vision_checks import VisionScores
from edgeconv.validate.vision_checks_projector import ProjectorChecks

from ..models import tiny_vlm_gguf
from .gguf_vision import exchange, rename, set_array

Array = np.ndarray[Any, Any]
LIMIT = 3e-4
"""`row_conversion` of a mmproj in float32."""
HEADS = 2
"""Of the tiny towers."""


@dataclass
class Model:
    source: Path
    out: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    """Give the checkpoint of a type and its GGUFs, made once, without a manifest: its digests would give a fault away."""
    folder, known = tmp_path_factory.mktemp("projectors"), dict[str, Model]()

    def find(model_type: str) -> Model:
        if model_type not in known:
            source = tiny_vlm_gguf.make(model_type, folder / model_type)
            tiny_vlm_gguf.convert(source, folder / f"{model_type}-out")
            (folder / f"{model_type}-out" / "edgeconv.json").unlink()
            known[model_type] = Model(source, folder / f"{model_type}-out")
        return known[model_type]

    return find


def checks(folder: Path, source: Path) -> tuple[Check, ProjectorChecks]:
    """Check 0, and the vision checks over one picture, ready to be asked."""
    pair = open_pair(folder, str(source), Silent())
    weights = pair.artifact.weights(pair.checkpoint)
    structure = pair.artifact.structure(pair.checkpoint, weights, Silent())
    tokenizer = open_tokenizer(pair.checkpoint.folder, parts=True)
    passes = TorchPasses(pair, weights, tokenizer, Silent())
    return structure, ProjectorChecks(pair.artifact, load().pictures[-1:], passes, "CPU", Silent())


def rows(folder: Path, source: Path) -> tuple[Check, float, float]:
    """Check 0, and how far rows are from torch's in llama.cpp's arithmetic, on the file's weights and on the checkpoint's."""
    structure, asked = checks(folder, source)
    prompts = [asked.eyes.process(one) for one in asked.conversations]
    with asked.artifact.eyes(asked.hidden, Silent(), accurate=True) as eyes:
        (glance,) = eyes.look(asked._views(asked.conversations), Silent(), "", count=0)
    own, reference, *_ = asked._torch(prompts)
    found = asked._rows(glance, prompts[0])
    mask = projector_prompts.kept(prompts[0], len(reference[0]), 1)

    def apart(side: Array) -> float:
        return vision_gguf.typical([found[mask] if len(found) == len(mask) else found], [side[mask]])

    return structure, apart(own[0]), apart(reference[0])


def look(folder: Path, source: Path) -> tuple[Check, VisionScores]:
    structure, asked = checks(folder, source)
    return structure, asked.look(noise=0.1)


def projector_of(folder: Path) -> Path:
    (found,) = folder.glob("mmproj-*.gguf")
    return found


def language_of(folder: Path) -> Path:
    return next(file for file in folder.glob("*.gguf") if not file.name.startswith("mmproj"))


def edit(file: Path, name: str, change: Callable[[Array], Array]) -> None:
    """Change a tensor of float32, in its shape."""
    info = open_gguf(file).info(name)
    with file.open("r+b") as stream:
        stream.seek(info.offset)
        values = np.frombuffer(stream.read(info.bytes), np.float32).reshape(info.shape)
        changed = np.ascontiguousarray(change(values), np.float32)
        assert changed.shape == values.shape
        assert not np.array_equal(changed, values), "the fault changes nothing"
        stream.seek(info.offset)
        stream.write(changed.tobytes())


def set_u32(file: Path, key: str, value: int) -> None:
    raw = bytearray(file.read_bytes())
    place = raw.index(struct.pack("<Q", len(key)) + key.encode()) + 8 + len(key)
    assert struct.unpack_from("<I", raw, place) == (4,)
    struct.pack_into("<I", raw, place + 4, value)
    file.write_bytes(raw)


def halves(values: Array) -> Array:
    """The rows of each head as the checkpoint has them."""
    heads = values.reshape(HEADS, -1, 2, values.shape[-1])
    return heads.swapaxes(1, 2).reshape(values.shape)


def other_order(values: Array) -> Array:
    """Pixels shuffled by columns first: the parts of a row in another order."""
    parts = values.reshape(len(values), 2, 2, -1)
    return parts.swapaxes(1, 2).reshape(values.shape)


def turned(values: Array) -> Array:
    """Patches read by columns."""
    return values.swapaxes(-1, -2)


def every_layer(name: str, change: Callable[[Array], Array]) -> Callable[[Path], None]:
    def fault(file: Path) -> None:
        for tensor in open_gguf(file).tensors:
            if tensor.startswith("v.blk.") and tensor.endswith(name):
                edit(file, tensor, change)

    return fault


def exchanged_layers(file: Path) -> None:
    for part in ("norm.weight", "norm.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"):
        exchange(file, f"v.deepstack.0.{part}", f"v.deepstack.2.{part}")


FAULTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "queries in halves": ("mistral3", every_layer("attn_q.weight", halves)),
    "keys in halves": ("mistral3", every_layer("attn_k.weight", halves)),
    "another end of line": ("mistral3", lambda file: edit(file, "v.token_embd.img_break", lambda v: v[::-1])),
    "pixels shuffled by columns": ("smolvlm", lambda file: edit(file, "mm.model.fc.weight", other_order)),
    "places off by one": (
        "smolvlm", lambda file: edit(file, "v.position_embd.weight", lambda v: np.roll(v, 1, axis=0)),
    ),
    "the class token first": (
        "internvl", lambda file: edit(file, "v.position_embd.weight", lambda v: np.roll(v, 1, axis=-2)),
    ),
    "layer scales exchanged": ("internvl", lambda file: exchange(file, "v.blk.0.ls1.weight", "v.blk.0.ls2.weight")),
    "a norm without its 1": ("gemma3", lambda file: edit(file, "mm.soft_emb_norm.weight", lambda v: v - 1)),
    "pooled by half": ("gemma3", lambda file: set_u32(file, "clip.vision.projector.scale_factor", 4)),
    "patches by columns": ("qwen2_vl", lambda file: edit(file, "v.patch_embd.weight", turned)),
    "queries and keys exchanged": (
        "qwen2_vl", lambda file: exchange(file, "v.blk.0.attn_q.weight", "v.blk.0.attn_k.weight"),
    ),
    "windows one layer later": ("qwen2_5_vl", lambda file: set_u32(file, "clip.vision.n_wa_pattern", 3)),
    "rows of a later layer": ("qwen3_vl", lambda file: rename(file, "v.deepstack.0.", "v.deepstack.1.")),
    "another mean": ("qwen3_vl", lambda file: set_array(file, "clip.vision.image_mean", [0.51, 0.5, 0.5])),
    "another deviation": ("glm4v", lambda file: set_array(file, "clip.vision.image_std", [0.2, 0.26, 0.27])),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_twice(name: str, made: Callable[[str], Model], tmp_path: Path) -> None:
    """In the file beside the checkpoint, and, as if it were believed to be right, in llama.cpp's rows beside torch's."""
    model_type, fault = FAULTS[name]
    model = made(model_type)
    out = shutil.copytree(model.out, tmp_path / "x")
    fault(projector_of(out))
    structure, _, apart = rows(out, model.source)
    assert structure.status == "failed", "the file looks right"
    if name != "another end of line":  # whose row is not one of the model's
        assert not apart <= LIMIT
    else:
        _, asked = checks(out, model.source)
        prompts = [asked.eyes.process(one) for one in asked.conversations]
        with asked.artifact.eyes(asked.hidden, Silent(), accurate=True) as eyes:
            seen = eyes.look(asked._views(asked.conversations), Silent(), "", count=0)
        assert asked._marks(seen, prompts)["row_marks"] > 1e-6


@pytest.mark.parametrize("model_type", [one for one in tiny_vlm_gguf.TYPES if one != "glm_ocr"])
def test_an_untouched_projector_passes(model_type: str, made: Callable[[str], Model]) -> None:
    structure, seen = look(made(model_type).out, made(model_type).source)
    assert structure.status == "passed", structure.failures
    assert {check.name: check.status for check in seen.checks} == {
        "pixels": "skipped", "vision": "passed", "merged": "passed", "captions": "passed",
    }  # fmt: skip


def test_sections_of_positions_exchanged(made: Callable[[str], Model], tmp_path: Path) -> None:
    """Rows and columns of a picture's positions, in the language model: its key, and the logits behind pictures, tell."""
    model = made("qwen2_vl")
    out = shutil.copytree(model.out, tmp_path / "x")
    file = language_of(out)
    key = "qwen2vl.rope.dimension_sections"
    raw = bytearray(file.read_bytes())
    place = raw.index(struct.pack("<Q", len(key)) + key.encode()) + 8 + len(key) + 16
    sections = struct.unpack_from("<4i", raw, place)
    struct.pack_into("<4i", raw, place, sections[1], sections[0], *sections[2:])
    file.write_bytes(raw)
    structure, seen = look(out, model.source)
    assert structure.status == "failed"
    assert key in structure.failures[0]
    assert max(float(np.max(np.concatenate(list(one.max_abs), axis=None))) for one in seen.conversion) > 0.05


def test_a_prompt_with_other_tokens_around_a_picture(made: Callable[[str], Model], tmp_path: Path) -> None:
    model = made("gemma3")
    out = shutil.copytree(model.out, tmp_path / "x")
    _, asked = checks(out, model.source)
    object.__setattr__(asked.written, "around", ("", ""))
    try:
        seen = asked.look(noise=0.1)
    finally:
        object.__setattr__(asked.written, "around", ("\n\n", "\n\n"))
    (merged,) = [check for check in seen.checks if check.name == "merged"]
    assert merged.status == "failed"
    assert "places among" in merged.failures[0]
