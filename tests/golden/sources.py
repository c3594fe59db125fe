"""The checkpoints of the corpus: every family, and every form in which weights lie, of the same bits on every machine."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..models import tiny, tiny_chatglm, tiny_v, tiny_vlm
from .weights import exact, rewrite

SUITE = Path(__file__).parents[2] / "validate" / "suite" / "data"
WIDE = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64, "num_hidden_layers": 1}
"""Rows of 256, which llama.cpp's K types and groups of 128 need."""
TINY: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in (*tiny.FAMILIES, *tiny.FURTHER)},
    "llama-wide": ("llama", WIDE),
    "llama-shards": ("llama", {"max_shard_size": "300KB", "dtype": "float16"}),
    "llama-float32": ("llama", {"dtype": "float32", "tie_word_embeddings": True}),
    "phi3-longrope": ("phi3", tiny.LONG_ROPE),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "glm-partial": ("glm", {"rope_parameters": tiny.ROPE | {"partial_rotary_factor": 0.5}}),
}
CHATGLM: dict[str, dict[str, Any]] = {
    "chatglm2-6b": {},
    "chatglm3-6b-32k": {"rope_ratio": 50, "pickled": False},
    "glm-4-9b-chat": {"vocabulary": "ranks", "rope_ratio": 500},
}
CARD = "---\nlicense: apache-2.0\nlanguage: [en]\ntags: [chat]\npipeline_tag: text-generation\n---\n# A model\n"
TEXT = "\n\n".join(
    f"Paragraph {n}. The capital of Italy is Rome; it lies on the Tiber. 今天天气很好。" for n in range(60)
)


def names() -> list[str]:
    """Return the names of all checkpoints that `make` knows, but the broken ones."""
    return [
        *TINY,
        *(f"vlm-{name}" for name in tiny_vlm.FAMILIES),
        "glm_edge_v",
        "glm_edge_v-tied",
        *CHATGLM,
        "llama-pickle",
    ]


def make(name: str, folder: Path, others: Callable[[str], Path]) -> None:
    """Write the checkpoint `name` into `folder`; `others` gives checkpoints that it is made from."""
    if name in TINY:
        family, options = TINY[name]
        tiny.make(family, folder, **options)
    elif name.startswith("vlm-"):
        tiny_vlm.make(name.removeprefix("vlm-"), folder)
    elif name.startswith("glm_edge_v"):
        tiny_v.make_glm_edge_v(folder, tie_word_embeddings=name.endswith("tied"))
    elif name in CHATGLM:
        tiny_chatglm.make(folder, **CHATGLM[name])
        made = _ranks if CHATGLM[name].get("vocabulary") == "ranks" else _pieces
        (folder / "tokenizer.model").write_bytes(made())
        (folder / "modeling_chatglm.py").write_text("raise SystemExit('run without consent')\n")
    else:
        shutil.copytree(others(BROKEN.get(name, ("llama", None))[0]), folder)
        DERIVED[name](folder)
        return
    rewrite(folder)
    _forget_versions(folder)
    if name == "llama":
        (folder / "README.md").write_text(CARD)


def _forget_versions(folder: Path) -> None:
    for path in folder.glob("*config.json"):
        stated = json.loads(path.read_text("utf-8"))
        if stated.pop("transformers_version", None):
            path.write_text(json.dumps(stated, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _lines() -> tuple[str, ...]:
    """Text that does not change with the repository, as `tiny_chatglm.corpus` does."""
    english = (SUITE / "udhr_en.txt").read_text("utf-8").splitlines()
    return (*filter(str.strip, english), *(tiny_chatglm.CHINESE.split("。") * 30))


def _pieces() -> bytes:
    return tiny_chatglm.pieces(lines=_lines())


def _ranks() -> bytes:
    return tiny_chatglm.ranks(lines=_lines())


# What is made from another checkpoint.


def _pickled(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _edited(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    stated = json.loads(path.read_text("utf-8")) | fields
    path.write_text(json.dumps({key: value for key, value in stated.items() if value is not None}, indent=1), "utf-8")


def _adapter(folder: Path, *, alone: bool) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base", "peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(b"")
    if alone:
        (folder / "config.json").unlink()


def _without(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


def _renamed(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.0.self_attn.rotated.weight"] = tensors.pop("model.layers.0.self_attn.o_proj.weight")
    save_file(tensors, path, metadata={"format": "pt"})


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


BROKEN: dict[str, tuple[str, Callable[[Path], None]]] = {
    "adapter": ("llama", partial(_adapter, alone=True)),
    "adapter-beside": ("llama", partial(_adapter, alone=False)),
    "no-tokenizer": ("llama", lambda folder: _without(folder, "tokenizer.json")),
    "no-config": ("llama", lambda folder: _without(folder, "config.json")),
    "no-weights": ("llama", lambda folder: _without(folder, "model.safetensors")),
    "missing-shard": ("llama-shards", lambda folder: _without(folder, "model-00002-*")),
    "cut-short": ("llama", _cut),
    "missing-tensor": ("llama", _renamed),
    "no-type": ("llama", partial(_edited, model_type=None)),
    "unknown-type": ("llama", partial(_edited, model_type="llama9")),
    "encoder-decoder": ("llama", partial(_edited, model_type="t5", is_encoder_decoder=True)),
    "quantized": (
        "llama",
        partial(_edited, quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 128}),
    ),
    "yarn": ("llama", partial(_edited, rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0})),
    "unread-field": ("llama", partial(_edited, logit_cap=30.0)),
    "wrong-sizes": ("llama", partial(_edited, hidden_size=96)),
    "relu": ("llama", partial(_edited, hidden_act="relu")),
}
"""Checkpoints that are refused, or taken with a note: what from, and what is done to it."""
DERIVED: dict[str, Callable[[Path], None]] = {
    "llama-pickle": _pickled,
    **{name: how for name, (_, how) in BROKEN.items()},
}


# Files that options name.


def write_text(path: Path) -> None:
    """Write a text for calibrations."""
    path.write_text(TEXT, "utf-8")


def write_matrix(path: Path) -> None:
    """Write an importance matrix for llama-wide in llama-imatrix's older form."""
    columns = {
        "attn_q": 256,
        "attn_k": 256,
        "attn_v": 256,
        "attn_output": 256,
        "ffn_gate": 256,
        "ffn_up": 256,
        "ffn_down": 512,
    }
    entries = {f"blk.0.{name}.weight": exact(name, (count,)) for name, count in columns.items()}
    data = struct.pack("<i", len(entries))
    for name, values in entries.items():
        data += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 1, len(values))
        data += (np.abs(values) + np.float32(0.25)).astype("<f4").tobytes()
    path.write_bytes(data)


def write_recipe(path: Path) -> None:
    """Write a recipe with a target of every format."""
    path.write_text(
        "recipe: 1\nname: tiny\nsource: {model: org/tiny, revision: main}\ntargets:\n"
        "  openvino-int8: {format: openvino, precision: int8}\n"
        "  openvino-int4: {format: openvino, precision: int4, group_size: 32, sym: true}\n"
        "  gguf-q8_0: {format: gguf, type: q8_0}\n"
        "  onnx-int4: {format: onnx, precision: int4, group_size: 32}\n"
    )


FILES = {"text.txt": write_text, "matrix.dat": write_matrix, "recipe.yaml": write_recipe}
"""Name → what writes it."""
