"""Independent readings of an ONNX model, for tests: its weights by the operators' definitions, and its logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

MODEL = "model.onnx"


def proto(folder: Path) -> Any:
    import onnx

    return onnx.load(folder / MODEL)


def initializers(folder: Path) -> dict[str, np.ndarray]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto(folder).graph.initializer}


def weights(folder: Path) -> dict[str, np.ndarray]:
    """De-quantise by the definitions of DequantizeLinear and MatMulNBits, in float32."""
    model = proto(folder)
    found = initializers(folder)
    made = {}
    for name, values in found.items():
        if not name.startswith(("model.", "lm_head.")) or "/" in name:
            continue
        scale, zero = (
            found.get(f"{name}/{part}", found.get(f"{name}/{part}/lookup")) for part in ("scale", "zero_point")
        )
        if scale is None:
            made[name] = values.astype(np.float32)
        elif values.ndim == 2:
            levels = values.astype(np.float32) - (0 if zero is None else zero.astype(np.float32)[:, None])
            made[name] = levels * scale[:, None]
        else:
            made[name] = nbits(values, scale, zero)
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            attributes = {a.name: a.i for a in node.attribute}
            assert made[node.input[1]].shape == (attributes["N"], attributes["K"])
            assert found[node.input[1]].shape[2] * 2 == attributes["block_size"]
    return made


def nbits(values: np.ndarray, scale: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
    rows, blocks, _ = values.shape
    levels = nibbles(values).astype(np.float32)
    offset = np.float32(8) if zero is None else nibbles(zero)[:, :blocks, None].astype(np.float32)
    return ((levels - offset) * scale[..., None]).reshape(rows, -1)


def nibbles(packed: np.ndarray) -> np.ndarray:
    """[..., n] -> [..., 2n], low nibble first."""
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


class Runner:
    """A model in onnxruntime, fed by hand; `exact`: weights folded, products in float32."""

    def __init__(self, folder: Path, *, exact: bool = True) -> None:
        import onnx
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        source: Any = str(folder / MODEL)
        if exact:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
            model = onnx.load(folder / MODEL, load_external_data=False)
            for node in model.graph.node:
                for attribute in node.attribute:
                    if attribute.name == "accuracy_level":
                        attribute.i = 1
            source = model.SerializeToString()
        self.session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self.names = [value.name for value in self.session.get_outputs()]
        self._past = {v.name: v.shape for v in self.session.get_inputs() if v.name.startswith("past_key_values.")}
        self._cache: dict[str, np.ndarray] = {}

    def run(self, ids: np.ndarray, mask: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """int64 [batch, n], [batch, total], [batch, n] to float32 [batch, n, vocab]; the cache grows."""
        feed = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        if ids.shape[1] == mask.shape[1]:
            self._cache = {n: np.zeros((len(ids), s[1], 0, s[3]), np.float32) for n, s in self._past.items()}
        made = dict(zip(self.names, self.session.run(None, feed | self._cache), strict=True))
        self._cache = {name: made[name.replace("past_key_values", "present")] for name in self._cache}
        return made["logits"]

    def logits(self, ids: list[int], start: int = 0) -> np.ndarray:
        total = start + len(ids)
        return self.run(np.array([ids]), np.ones((1, total), np.int64), np.arange(start, total)[None])[0]

    def decode(self, ids: list[int]) -> np.ndarray:
        return np.concatenate([self.logits([token], position) for position, token in enumerate(ids)])
