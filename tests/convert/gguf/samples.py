"""Random checkpoints of any shape, written without torch, and shorthands for writing and reading GGUF files."""

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import save_file

from edgeconv.builtin import model_path
from edgeconv.convert import families
from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.gguf.describe import describe
from edgeconv.convert.gguf.export import Exported, Prepared, export, prepare
from edgeconv.convert.gguf.recipe import Recipe, recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent

VOCAB = 4096  # of the built-in model's tokenizer
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": VOCAB,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-3,
    "rope_theta": 1e6,
    "partial_rotary_factor": 1.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "sliding_window": None,
    "eos_token_id": [4084, 4091, 4093],
}
GEMMA = {"model_type": "gemma3_text", "query_pre_attn_scalar": 16, "sliding_window": 32, "tie_word_embeddings": True}
SHARED_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def config(**fields: Any) -> dict[str, Any]:
    """A small config.json with some fields changed."""
    return CONFIG | fields


def write_checkpoint(
    folder: Path, fields: dict[str, Any], *, dtype: str = "float32", extra: dict[str, tuple[int, ...]] | None = None
) -> Path:
    """Write a checkpoint of bell-shaped weights with the built-in model's tokenizer."""
    folder.mkdir(parents=True)
    for name in SHARED_FILES:
        shutil.copyfile(model_path() / name, folder / name)
    (folder / "config.json").write_text(json.dumps(fields))
    noise = np.random.default_rng(0).standard_normal(1 << 18).astype(dtype)
    shapes = describe(fields).decoder.tensors() | (extra or {})
    stored = getattr(families.find(fields["model_type"]), "experts", None)
    for stack in [name for name, shape in shapes.items() if stored and len(shape) == 3]:
        count, *shape = shapes.pop(stack)
        prefix, _, role = stack.removesuffix("_proj.weight").rpartition(f"{stored.module}.experts.")
        shapes |= {prefix + stored.each[role].format(number): tuple(shape) for number in range(count)}
    save_file(
        {name: np.resize(noise[at * 97 :], shape) for at, (name, shape) in enumerate(shapes.items())},
        folder / "model.safetensors",
    )
    return folder


def checkpoint(folder: Path, **fields: Any) -> Checkpoint:
    """Write and open one."""
    return open_checkpoint(write_checkpoint(folder, config(**fields)))


def write_gguf(source: Path, out: Path, kind: str | Recipe, **options: Any) -> tuple[Prepared, Exported]:
    """Convert a folder to a file."""
    opened = open_checkpoint(source)
    chosen = kind if isinstance(kind, Recipe) else recipe(kind)
    prepared = prepare(opened, chosen, out.name, **options)
    return prepared, export(opened, prepared, out.parent, importance=options.get("importance"), progress=Silent())


def keys(path: Path) -> dict[str, Any]:
    """Key-value pairs of a file, as gguf-py reads them."""
    reader = gguf.GGUFReader(path)
    return {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}


def tensors(path: Path) -> dict[str, Any]:
    """Tensors of a file by name, as gguf-py reads them."""
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def types(path: Path) -> dict[str, str]:
    """Tensor → type, in the order of the file."""
    return {name: tensor.tensor_type.name.lower() for name, tensor in tensors(path).items()}
