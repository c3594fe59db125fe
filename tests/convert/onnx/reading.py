"""Independent readings of an ONNX model, for tests: its weights by the operators' definitions, and its logits."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from ... import ir

MODEL = "model.onnx"


LANGUAGE, TABLE, TOWER = VISION_PARTS = ("decoder_model_merged.onnx", "embed_tokens.onnx", "vision_encoder.onnx")


def proto(folder: Path, name: str = MODEL) -> Any:
    import onnx

    return onnx.load(folder / name)


def initializers(folder: Path, name: str = MODEL) -> dict[str, np.ndarray]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto(folder, name).graph.initializer}


def vision_weights(folder: Path) -> dict[str, np.ndarray]:
    """Those of all three models; a table that two of them hold is the same in both."""
    made: dict[str, np.ndarray] = {}
    for file in VISION_PARTS:
        for name, values in weights(folder, file).items():
            assert name not in made or np.array_equal(made[name], values), name
            made[name] = values
    return made


def weights(folder: Path, file: str = MODEL, names: Collection[str] = ()) -> dict[str, np.ndarray]:
    """De-quantize by the definitions of DequantizeLinear and MatMulNBits, in float32; `names` if they are not a Llama's."""
    model = proto(folder, file)
    found = initializers(folder, file)
    made = {}
    for name, values in found.items():
        if not (name in names if names else name.startswith(("model.", "lm_head."))) or "/" in name:
            continue
        scale, zero = (
            found.get(f"{name}/{part}", found.get(f"{name}/{part}/lookup")) for part in ("scale", "zero_point")
        )
        if scale is None:
            made[name] = values.astype(np.float32)
        elif ".experts." in name:
            made[name] = experts(values, scale, zero)
        elif scale.ndim == 1:
            column = (-1, *(1 for _ in values.shape[1:]))
            levels = values.astype(np.float32) - (0 if zero is None else zero.astype(np.float32).reshape(column))
            made[name] = levels * scale.reshape(column)
        else:
            made[name] = nbits(values, scale, zero)
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            attributes = {a.name: a.i for a in node.attribute}
            assert made[node.input[1]].shape == (attributes["N"], attributes["K"])
            assert found[node.input[1]].shape[2] * 2 == attributes["block_size"]
    return _parted(made)


def _parted(made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gate and up of experts as transformers has them: one behind the other, where the operators take row by row."""
    made = ir.turned_experts(made)
    for woven in [name for name in made if name.endswith(".experts.gate_up_proj.weight")]:
        module = woven.removesuffix("gate_up_proj.weight")
        both = made.pop(woven)
        made |= ir.loaded_experts(module, both[:, 0::2], both[:, 1::2], made.pop(f"{module}down_proj.weight"))
    return ir.whole_mlps(made)


def experts(values: np.ndarray, scale: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
    """De-quantize a stack by the definition of QMoE: a scale for each row, or for each block of it."""
    count, rows, width = values.shape
    levels = values.astype(np.float32)
    if scale.ndim == 3:  # four bits, as they are tested here
        blocks = scale.shape[2]
        levels = nibbles(values).reshape(count, rows, blocks, -1).astype(np.float32)
        offset = np.float32(8) if zero is None else nibbles(zero)[:, :, :blocks, None].astype(np.float32)
        return ((levels - offset) * scale[..., None]).reshape(count, rows, 2 * width)
    offset = np.float32(128) if zero is None else zero[..., None].astype(np.float32)
    return (levels - offset) * scale[..., None]


def nbits(values: np.ndarray, scale: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
    rows, blocks, _ = values.shape
    levels = nibbles(values).astype(np.float32)
    offset = np.float32(8) if zero is None else nibbles(zero)[:, :blocks, None].astype(np.float32)
    return ((levels - offset) * scale[..., None]).reshape(rows, -1)


def nibbles(packed: np.ndarray) -> np.ndarray:
    """[..., n] -> [..., 2n], low nibble first."""
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


def empty(shape: list[Any], batch: int) -> np.ndarray:
    """What a layer keeps before the first token: keys and values of no position, or a state's zeros."""
    return np.zeros([batch, *(size if isinstance(size, int) else 0 for size in shape[1:])], np.float32)


def continued(name: str) -> str:
    """The output that goes on from such an input."""
    return name.replace("past_key_values", "present").replace("past_", "present_")


class Runner:
    """A model in onnxruntime, fed by hand; `exact`: weights folded, products in float32."""

    def __init__(self, folder: Path, *, exact: bool = True, file: str = MODEL) -> None:
        self.session = session(folder / file, exact=exact)
        self.names = [value.name for value in self.session.get_outputs()]
        self._past = {v.name: v.shape for v in self.session.get_inputs() if v.name.startswith("past_")}
        self._cache: dict[str, np.ndarray] = {}

    def run(self, ids: np.ndarray, mask: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """int64 [batch, n], [batch, total], [batch, n] to float32 [batch, n, vocab]; the cache grows.

        In the place of the ids, embeddings float32 [batch, n, hidden].
        """
        start = "input_ids" if ids.ndim == 2 else "inputs_embeds"
        feed = {start: ids, "attention_mask": mask, "position_ids": positions}
        if ids.shape[1] == mask.shape[1]:
            self._cache = {name: empty(shape, len(ids)) for name, shape in self._past.items()}
        made = dict(zip(self.names, self.session.run(None, feed | self._cache), strict=True))
        self._cache = {name: made[continued(name)] for name in self._cache}
        return made["logits"]

    def logits(self, ids: list[int], start: int = 0) -> np.ndarray:
        total = start + len(ids)
        return self.run(np.array([ids]), np.ones((1, total), np.int64), np.arange(start, total)[None])[0]

    def decode(self, ids: list[int]) -> np.ndarray:
        return np.concatenate([self.logits([token], position) for position, token in enumerate(ids)])


class VisionRunner:
    """The three models of a vision-language model, as `tests.vision_ir.VisionRunner` runs three IRs."""

    def __init__(self, folder: Path, placeholder: int) -> None:
        self.language = Runner(folder, file=LANGUAGE)
        self.table, self.tower = (session(folder / name, exact=True) for name in (TABLE, TOWER))
        self.placeholder = placeholder

    def see(self, pixels: np.ndarray) -> np.ndarray:
        """float32 [n, 3, S, S] -> [n, image tokens, hidden]."""
        return self.tower.run(["image_features"], {"pixel_values": pixels})[0]

    def embed(self, ids: list[int]) -> np.ndarray:
        return self.table.run(["inputs_embeds"], {"input_ids": np.array([ids], np.int64)})[0]

    def merge(self, ids: list[int], pixels: np.ndarray | None) -> np.ndarray:
        merged = self.embed(ids)
        if pixels is not None:
            rows = self.see(pixels)
            merged[0, np.array(ids) == self.placeholder] = rows.reshape(-1, rows.shape[-1])
        return merged

    def logits(self, embeds: np.ndarray, start: int = 0) -> np.ndarray:
        """float32 [n, vocab]; `start` continues after that many cached positions."""
        total = start + embeds.shape[1]
        return self.language.run(embeds, np.ones((1, total), np.int64), np.arange(start, total)[None])[0]


def session(path: Path, *, exact: bool) -> Any:
    """Open a model; `exact`: weights folded, products in float32."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    source: Any = str(path)
    if exact:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        model = onnx.load(path, load_external_data=False)
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "accuracy_level":
                    attribute.i = 1
        source = model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
