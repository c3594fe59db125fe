"""The layered reference over every decoder that a trace engine converts, whatever its parts are called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.families import registry, traced
from edgeconv.convert.native_config import read_config
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import ConversionError
from edgeconv.core.progress import Silent
from edgeconv.validate import self_check
from edgeconv.validate.loaded_names import as_loaded
from edgeconv.validate.module_weights import checkpoint_tensors
from edgeconv.validate.reference import LayeredReference

from ..convert.onnx import traced_models
from ..models import tiny
from .test_reference import DOCUMENTS, whole

STREAMED = {one.model_type for one in registry.every() if one.streamed}
TYPES = sorted((traced.SUPPORTED | traced.TRACED) - STREAMED)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "falcon, alibi": ("falcon", {"alibi": True, "new_decoder_architecture": False}),
    "falcon, new": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "gpt_neox, one after another": ("gpt_neox", {"use_parallel_residual": False}),
    "opt, projections": ("opt", {"word_embed_proj_dim": 32, "do_layer_norm_before": False}),
    "opt, untied": ("opt", {"tie_word_embeddings": False}),
    "gpt2, untied": ("gpt2", {"tie_word_embeddings": False}),
    "gpt_neo, windows": ("gpt_neo", {"attention_types": [[["global", "local"], 1]], "window_size": 16}),
    "starcoder2, windows": ("starcoder2", {"sliding_window": 16, "num_key_value_heads": 2}),
}
TWO = {"num_hidden_layers": 2}
SIZES: dict[str, dict[str, Any]] = {
    "biogpt": {**traced_models.USUAL, **TWO},
    "seed_oss": {**traced_models.USUAL, **TWO, "num_key_value_heads": 2, "head_dim": 16},
    "codegen": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512, "rotary_dim": 8},
    "falcon": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_hidden_size": 128},
    "gpt_bigcode": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "helium": {**traced_models.USUAL, **TWO, "num_key_value_heads": 2, "head_dim": 16},
    "ministral": {**traced_models.USUAL, **TWO, "num_key_value_heads": 2, "head_dim": 16},
    "gpt_neo": {
        "hidden_size": 64, "num_layers": 2, "num_heads": 4, "attention_types": [[["global"], 2]],
        "max_position_embeddings": 512,
    },
    "gptj": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512, "rotary_dim": 8},
    "mpt": {"d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 512},
    "opt": {**traced_models.USUAL, "num_hidden_layers": 2, "ffn_dim": 128, "word_embed_proj_dim": 64},
    "xglm": {"d_model": 64, "num_layers": 2, "attention_heads": 4, "ffn_dim": 128, "max_position_embeddings": 4200},
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            kind, fields = VARIANTS.get(name, (name, {}))
            folder = tmp_path_factory.mktemp("model") / "m"
            if kind in tiny.FAMILIES | tiny.FURTHER:
                made[name] = tiny.make(kind, folder, dtype="float32", **fields)
            else:
                known = SIZES.get(kind) or traced_models.CONFIGS.get(kind) or {**traced_models.USUAL, **TWO}
                made[name] = traced_models.make(kind, folder, base=known, **fields)
        return made[name]

    return make


@pytest.mark.parametrize("name", [*TYPES, *VARIANTS])
def test_it_is_the_whole_model(name: str, checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint(name)
    model = LayeredReference(folder, checkpoint_tensors(as_loaded(open_checkpoint(folder))))
    head = model.head()
    made = [head.logits(states) for states in model.hidden_states(DOCUMENTS, Silent(), "test")]
    for expected, found in zip(whole(folder, "float32", "eager"), made, strict=True):
        assert expected.std() > 0.01
        assert np.abs(expected - found).max() <= 1e-4
    assert model.depth == len(model.peaks) == 2


@pytest.mark.parametrize("name", [*TYPES, *VARIANTS])
def test_the_self_check_passes(name: str, checkpoint: Callable[[str], Path]) -> None:
    assert self_check.difference(read_config(checkpoint(name))) <= 1e-4


def test_states_that_change_between_layers_are_refused(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import GPT2Model
    from transformers.modeling_outputs import BaseModelOutput

    def halved(self: Any, input_ids: Any, use_cache: bool) -> Any:
        states = self.wte(input_ids)
        for layer in self.h:
            states = layer(states / 2)
        return BaseModelOutput(last_hidden_state=self.ln_f(states))

    folder = checkpoint("gpt2")
    model = LayeredReference(folder, checkpoint_tensors(as_loaded(open_checkpoint(folder))))
    monkeypatch.setattr(GPT2Model, "forward", halved)
    with pytest.raises(ConversionError, match="states are changed between its layers"):
        model.hidden_states(DOCUMENTS, Silent(), "test")


def test_names_without_the_model_s_prefix(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """GPT-2's own checkpoints say h.0.attn, as those of a model without a head do."""
    import shutil

    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "m"
    shutil.copytree(checkpoint("gpt2"), folder)
    tensors = load_file(folder / "model.safetensors")
    save_file({name.removeprefix("transformer."): one for name, one in tensors.items()}, folder / "model.safetensors")
    assert not any(name.startswith("transformer.") for name in open_checkpoint(folder).names)
    loaded = as_loaded(open_checkpoint(folder))
    states = LayeredReference(folder, checkpoint_tensors(loaded)).hidden_states(DOCUMENTS[:1], Silent(), "test")
    other = LayeredReference(checkpoint("gpt2"), checkpoint_tensors(as_loaded(open_checkpoint(checkpoint("gpt2")))))
    assert np.array_equal(states[0], other.hidden_states(DOCUMENTS[:1], Silent(), "test")[0])
    assert json.loads((folder / "config.json").read_text())["model_type"] == "gpt2"
