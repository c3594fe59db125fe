"""An independent reading of the three IRs of a vision-language model, for tests: their weights, what each gives, and torch's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .ir import ACCURATE, Constants, constants, holding, weights

LANGUAGE = "openvino_language_model.xml"
TEXT_EMBEDDINGS = "openvino_text_embeddings_model.xml"
VISION_EMBEDDINGS = "openvino_vision_embeddings_model.xml"
ALL = (LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS)


class VisionRunner:
    """The three IRs compiled for the CPU."""

    def __init__(self, folder: Path, placeholder: int) -> None:
        import openvino as ov

        core = ov.Core()
        self.language, self.text, self.vision = (
            core.compile_model(folder / name, "CPU", ACCURATE).create_infer_request() for name in ALL
        )
        self.placeholder = placeholder

    def see(self, pixels: np.ndarray) -> np.ndarray:
        """float32 [n, 3, S, S] -> [n, image tokens, hidden]."""
        return self.vision.infer({"pixel_values": pixels})["last_hidden_state"].copy()

    def embed(self, ids: list[int]) -> np.ndarray:
        return self.text.infer({"input": np.array([ids], np.int64)})["inputs_embeds"].copy()

    def merge(self, ids: list[int], pixels: np.ndarray | None) -> np.ndarray:
        """The prompt's embeddings [1, n, hidden], the pictures' rows in the placeholders' places."""
        merged = self.embed(ids)
        if pixels is not None:
            rows = self.see(pixels)
            merged[0, np.array(ids) == self.placeholder] = rows.reshape(-1, rows.shape[-1])
        return merged

    def logits(self, embeds: np.ndarray, start: int = 0) -> np.ndarray:
        """float32 [n, vocab]; `start` continues after that many cached positions."""
        if start == 0:
            self.language.reset_state()
        n = embeds.shape[1]
        feed = {
            "inputs_embeds": embeds,
            "attention_mask": np.ones((1, start + n), np.int64),
            "position_ids": np.arange(start, start + n, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        return self.language.infer(feed)["logits"][0].copy()


def all_constants(folder: Path) -> dict[str, Constants]:
    return {name: constants(folder / name) for name in ALL}


def all_weights(folder: Path) -> dict[str, np.ndarray]:
    """De-quantized, of all three; a table that two of them hold is the same in both."""
    found: dict[str, np.ndarray] = {}
    for name in ALL:
        for tensor, value in weights(folder / name).items():
            assert tensor not in found or np.array_equal(found[tensor], value), tensor
            found[tensor] = value
    return found


def torch_vision_model(folder: Path, replaced: dict[str, np.ndarray] | None = None) -> Any:
    """The checkpoint in float32, optionally holding other weights."""
    from edgeconv.convert.families.glm_edge_v_model import load

    model = load(folder, attn_implementation="eager")
    return holding(model, replaced) if replaced else model
