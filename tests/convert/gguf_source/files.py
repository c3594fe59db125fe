"""GGUF files as others might have written them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np


def rewritten(
    source: Path,
    out: Path,
    keys: Mapping[str, Any] | None = None,
    *,
    fuse: bool = False,
    tensors: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a file again with gguf-py.

    Args:
        source: of whole weights.
        out: the new file.
        keys: values to change, numpy's too; None: the key is left out.
        tensors: those that it gets besides, float32.
        fuse: q, k and v become one tensor, as in the files that llama.cpp makes of a ChatGLM.
    """
    reader, keys = gguf.GGUFReader(source), keys or {}
    own = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    arch = keys.get("general.architecture", own.pop("general.architecture").contents())
    writer = gguf.GGUFWriter(out, arch)
    for name, field in own.items():
        if name not in keys:
            inner = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    for name, value in keys.items():
        if value is not None and name != "general.architecture":
            plain = _plain(value)
            inner = gguf.GGUFValueType.get_type(plain[0]) if isinstance(plain, list) else None
            writer.add_key_value(name, plain, gguf.GGUFValueType.get_type(plain), inner)
    stored = {tensor.name: tensor for tensor in reader.tensors}
    for name, tensor in stored.items():
        if fuse and ".attn_q." in name:
            parts = [stored[name.replace("attn_q", f"attn_{part}")].data for part in "qkv"]
            writer.add_tensor(name.replace("attn_q", "attn_qkv"), np.concatenate(parts))
        elif not (fuse and (".attn_k." in name or ".attn_v." in name)):
            writer.add_tensor(name, tensor.data, raw_dtype=tensor.tensor_type)
    for name, values in (tensors or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def _plain(value: Any) -> Any:
    """Return Python's own numbers for numpy's, which gguf-py has no types for."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
