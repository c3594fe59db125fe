"""Independent readings of an IR, for tests: its constants, its de-quantized weights, its logits; and torch's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

ACCURATE = {"EXECUTION_MODE_HINT": "ACCURACY"}
Constants = dict[str, tuple[str, tuple[int, ...], bytes]]


def constants(path: Path) -> Constants:
    """Every constant that belongs to a weight: name → (element type, shape, bytes), optimum's names made ours."""
    import openvino as ov

    return model_constants(ov.Core().read_model(path))


def model_constants(model: Any) -> Constants:
    found = {}
    for node in model.get_ordered_ops():
        name = node.get_friendly_name().removeprefix("self.").replace("._openvino_orig_weight", ".weight")
        if node.get_type_name() == "Constant" and ".weight" in name:
            shape = tuple(node.get_output_shape(0))
            found[name] = (node.get_element_type().get_type_name(), shape, np.ascontiguousarray(node.data).tobytes())
    return found


def weights(path: Path) -> dict[str, np.ndarray]:
    """De-quantize by the definition, in float32: (q - zero point) * scale."""
    import openvino as ov

    found: dict[str, dict[str, np.ndarray]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for node in ov.Core().read_model(path).get_ordered_ops():
        name = node.get_friendly_name()
        if node.get_type_name() == "Constant" and name.startswith(("model.", "lm_head.")):
            stem, _, part = name.partition("/")
            found.setdefault(stem, {})[part] = _as_float(node)
            if not part:
                shapes[stem] = tuple(node.get_output_shape(0))
    stacked = {name for name in shapes if ".experts." in name}
    return _joined({name: _dequantize(parts, shapes[name], name in stacked) for name, parts in found.items()})


def _joined(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gate and up of experts in one, as transformers has them."""
    found = turned_experts(found)
    for gate in [name for name in found if name.endswith(".experts.gate_proj.weight")]:
        module = gate.removesuffix("gate_proj.weight")
        up, down = (found.pop(f"{module}{role}_proj.weight") for role in ("up", "down"))
        found |= loaded_experts(module, found.pop(gate), up, down)
    return whole_mlps(found)


def whole_mlps(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gate and up of Granite 4's MLP in one, as its checkpoints have them."""
    for gate in [name for name in found if name.endswith("shared_mlp.gate_proj.weight")]:
        module = gate.removesuffix("gate_proj.weight")
        both = np.concatenate([found.pop(gate), found.pop(f"{module}up_proj.weight")])
        found |= {f"{module}input_linear.weight": both}
        found[f"{module}output_linear.weight"] = found.pop(f"{module}down_proj.weight")
    return found


def turned_experts(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn the stacks that have biases, gpt-oss's, whose gate and up take turns: [experts, inputs, outputs]."""
    for bias in [name for name in found if name.endswith(".experts.gate_up_proj.bias")]:
        module = bias.removesuffix("gate_up_proj.bias")
        for role in ("gate_up", "down"):
            found[f"{module}{role}_proj_bias"] = found.pop(f"{module}{role}_proj.bias")[:, 0]
            found[f"{module}{role}_proj"] = found.pop(f"{module}{role}_proj.weight").swapaxes(1, 2)
    return found


def loaded_experts(module: str, gate: np.ndarray, up: np.ndarray, down: np.ndarray) -> dict[str, np.ndarray]:
    """Return a layer's stacks by the names of transformers' modules, of which Granite's are its own."""
    both, outside = np.concatenate([gate, up], 1), module.removesuffix("experts.")
    if outside.endswith("block_sparse_moe."):
        return {f"{outside}input_linear.weight": both, f"{outside}output_linear.weight": down}
    return {f"{module}gate_up_proj": both, f"{module}down_proj": down}


def _dequantize(parts: dict[str, np.ndarray], shape: tuple[int, ...], stacked: bool) -> np.ndarray:
    values = parts[""]
    if "scale" in parts:
        values = (values - parts.get("zero_point", np.float32(0))) * parts["scale"]
    lead = shape[:2] if stacked else shape[:1]
    return values.reshape(*lead, -1) if len(shape) == len(lead) + 2 else values


def _as_float(node: Any) -> np.ndarray:
    kind, shape = node.get_element_type().get_type_name(), tuple(node.get_output_shape(0))
    data = np.ascontiguousarray(node.data)
    if kind in ("u4", "i4"):
        raw = data.reshape(-1).view(np.uint8)
        nibbles = np.stack([raw & 15, raw >> 4], axis=-1).reshape(-1)[: int(np.prod(shape))].astype(np.int16)
        if kind == "i4":
            nibbles = np.where(nibbles > 7, nibbles - 16, nibbles)
        return nibbles.reshape(shape).astype(np.float32)
    if kind == "bf16":
        return (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return data.astype(np.float32)


class Runner:
    """An IR compiled for the CPU; `logits` is one prefill, `decode` token by token with the cache."""

    def __init__(self, path: Path, config: dict[str, str] | None = None) -> None:
        import openvino as ov

        self._request = (
            ov.Core().compile_model(path, "CPU", ACCURATE if config is None else config).create_infer_request()
        )

    def logits(self, ids: list[int], start: int = 0, positions: list[int] | None = None) -> np.ndarray:
        """float32 [n, vocab]; `start` continues after that many cached positions; `positions` are the tokens' own."""
        if start == 0:
            self._request.reset_state()
        n = len(ids)
        feed = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, start + n), np.int64),
            "position_ids": np.array([positions or range(start, start + n)], np.int64),
            "beam_idx": np.zeros(1, np.int32),
        }
        return self._request.infer(feed)[0][0].copy()

    def decode(self, ids: list[int]) -> np.ndarray:
        return np.concatenate([self.logits([token], position) for position, token in enumerate(ids)])

    def greedy(self, ids: list[int], count: int) -> list[int]:
        made: list[int] = []
        logits, position = self.logits(ids), len(ids)
        while len(made) < count:
            made.append(int(logits[-1].argmax()))
            logits = self.logits(made[-1:], position)
            position += 1
        return made


def torch_model(folder: Path, replaced: dict[str, np.ndarray] | None = None) -> Any:
    """The checkpoint in float32, optionally holding other weights (by name; a tied head follows its embedding)."""
    import torch
    from transformers import AutoModelForCausalLM

    from edgeconv.core.mended_models import mended

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model = mended(model)
    return holding(model, replaced) if replaced else model


def holding(model: Any, replaced: dict[str, np.ndarray]) -> Any:
    """The model with other weights, every one of them, by name."""
    import torch

    from edgeconv.convert import families
    from edgeconv.convert.base_names import seen
    from edgeconv.convert.claims.unused import is_passed_over

    family = families.find(model.config.model_type)
    own = dict(model.named_parameters())
    own |= {name: part for name, part in model.named_buffers() if name in model.state_dict()}
    own = {seen(name, family.renamed if family else {}): part for name, part in own.items()}
    stated = model.config.to_dict()
    own = {name: part for name, part in own.items() if name in replaced or not is_passed_over(name, stated)}
    assert set(own) == set(replaced), set(own) ^ set(replaced)
    with torch.no_grad():
        for name, value in replaced.items():
            own[name].copy_(torch.from_numpy(value).reshape(own[name].shape))
    return model


def torch_logits(model: Any, ids: list[int], positions: list[int] | None = None) -> np.ndarray:
    import torch

    places = None if positions is None else torch.tensor([positions])
    # layers that share keys and values may hand them on in the cache alone; without one, positions that jump part the texts
    through = bool(getattr(model.config, "num_kv_shared_layers", None)) or places is not None
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), position_ids=places, use_cache=through).logits[0].numpy()
