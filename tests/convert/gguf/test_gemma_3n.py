"""Gemma 3n in llama.cpp, whose graph has the numbers of E2B and E4B built in, and computes two things in its own way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families.gemma3n_gguf import BUDGETS
from edgeconv.convert.gguf import describe, write
from edgeconv.core.errors import CheckpointError

from ...models import tiny
from .samples import write_gguf
from .test_llama_cpp import IDS, llama_cpp, torch_logits, torch_model


def calmed(folder: Path) -> Path:
    """Give its queries the length that trained ones have, for scores are not divided: with random ones each error grows."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    scaled = {name: one * 0.25 if name.endswith("q_norm.weight") else one for name, one in tensors.items()}
    save_file(scaled, path, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fields = tiny.LIKE_E2B | {"sliding_window": 17}
    return calmed(tiny.make("gemma3n_text", tmp_path_factory.mktemp("e2b") / "m", dtype="float32", **fields))


@pytest.fixture(scope="module")
def in_llama_cpp(source: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = tmp_path_factory.mktemp("gguf") / "a.gguf"
    write_gguf(source, path, "f32")
    return np.asarray(llama_cpp.logits(path, IDS))


def as_llama_cpp(model: Any, patch: pytest.MonkeyPatch) -> Any:
    """Let torch take GELU from a table of float16, and divide the squares of gates by one less than their number."""
    import torch

    class Gelu(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            table = torch.nn.functional.gelu(x.half().float(), approximate="tanh").half().float()
            return torch.where(x <= -10, torch.zeros_like(x), torch.where(x >= 10, x, table))

    for layer in model.model.layers:
        layer.mlp.act_fn = layer.act_fn = Gelu()
    plain = torch.std
    patch.setattr(torch, "std", lambda x, dim, keepdim, unbiased: plain(x, dim=dim, keepdim=keepdim, unbiased=True))
    return model


def test_it_is_the_model_but_for_what_llama_cpp_rounds(
    source: Path, in_llama_cpp: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = torch_logits(torch_model(source), IDS)
    assert reference.std() > 0.3
    assert np.abs(in_llama_cpp - reference).max() < BUDGETS["conversion"][0]
    same = torch_logits(as_llama_cpp(torch_model(source), monkeypatch), IDS)
    assert np.abs(in_llama_cpp - same).max() < 0.03
    assert np.abs(same - reference).max() > 0.05  # what the two ways to compute make


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_kv_shared_layers": 4}, "21 layers have keys and values of their own"),
        ({"activation_sparsity_pattern": [0.9] * 10 + [0.0] * 15}, "gates are sparse are others"),
        ({"activation_sparsity_pattern": [0.95] * 9 + [0.0] * 16}, "gates are sparse are others"),
        ({"laurel_rank": 32}, "LAuReL's rank is 32"),
        ({"hidden_size_per_layer_input": 128}, "own input is 128 wide"),
        ({"altup_num_inputs": 3}, "AltUp has 3 streams"),
        ({"altup_active_idx": 1}, "active stream is 1"),
        ({"final_logit_softcapping": 20.0}, "capped at 20.0"),
        ({"intermediate_size": 512}, "less than 1,024 wide"),
        ({"layer_types": ["full_attention", *["sliding_attention"] * 4] * 5}, "not a local and a global one"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_llama_cpp_computes_otherwise_is_refused(fields: dict[str, Any], says: str) -> None:
    config = {"model_type": "gemma3n_text", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
              "head_dim": 16, "vocab_size": 4096, **tiny.LIKE_E2B}  # fmt: skip
    describe.describe(config | {"vocab_size_per_layer_input": 4096})
    with pytest.raises(CheckpointError, match=says):
        describe.describe(config | {"vocab_size_per_layer_input": 4096} | fields)


def test_a_fault_of_the_file_is_seen(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three matrices of AltUp in another order are another model."""
    rows: Callable[..., Any] = write._rows

    def turned(checkpoint: Any, tensor: Any, *rest: Any) -> Any:
        made = rows(checkpoint, tensor, *rest)
        return made[::-1] if "altup_predict_coef" in str(tensor) else made

    monkeypatch.setattr(write, "_rows", turned)
    write_gguf(source, tmp_path / "a.gguf", "f32")
    reference = torch_logits(torch_model(source), IDS)
    assert np.abs(llama_cpp.logits(tmp_path / "a.gguf", IDS) - reference).max() > 3 * BUDGETS["conversion"][0]
