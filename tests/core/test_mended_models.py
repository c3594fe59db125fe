"""Models of transformers after mending: what its versions, before and since, and the makers' own code compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.mended_models import mended
from edgeconv.core.progress import Silent
from edgeconv.validate.loaded_names import as_loaded
from edgeconv.validate.module_weights import checkpoint_tensors
from edgeconv.validate.reference import LayeredReference

from ..models import tiny

IDS = np.random.default_rng(0).integers(5, 4000, 90).tolist()
WINDOWS = {"layer_types": ["sliding_attention"] * 2, "sliding_window": 32}


def logits(folder: Path, *, mend: bool = True) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model = mended(mended(model)) if mend else model  # once is enough
    with torch.no_grad():
        return model(input_ids=torch.tensor([IDS])).logits[0].numpy()


def test_windows_of_olmo_3_know_nothing_of_yarn(tiny_model: Callable[..., Path]) -> None:
    plain = logits(tiny_model("olmo3", **WINDOWS), mend=False)
    scaled = tiny_model("olmo3", **WINDOWS, rope_parameters=tiny.LATENT_YARN)
    assert np.abs(logits(scaled) - plain).max() < 1e-4


def test_layers_of_olmo_3_without_a_window_are_scaled(tiny_model: Callable[..., Path]) -> None:
    kinds = {"layer_types": ["full_attention"] * 2}
    scaled = tiny_model("olmo3", **kinds, rope_parameters=tiny.LATENT_YARN)
    assert np.abs(logits(scaled) - logits(scaled, mend=False)).max() == 0
    assert np.abs(logits(scaled) - logits(tiny_model("olmo3", **kinds))).max() > 0.1


@pytest.mark.parametrize(
    ("family", "fields"),
    [("olmo3", {"sliding_window": 32, "rope_parameters": tiny.LATENT_YARN}), ("deepseek_v2", {})],
)
def test_the_layered_reference_is_mended_too(
    family: str, fields: dict[str, Any], tiny_model: Callable[..., Path]
) -> None:
    folder = tiny_model(family, **fields)
    reference = LayeredReference(folder, checkpoint_tensors(as_loaded(open_checkpoint(folder))), "float32")
    (states,) = reference.hidden_states([IDS], Silent(), "test")
    assert np.abs(reference.head().logits(states) - logits(folder)).max() < 1e-4


def test_scores_of_deepseek_v2_are_those_of_v3() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    models = []
    for kind in ("deepseek_v2", "deepseek_v3"):
        fields = tiny.COMMON | tiny.FURTHER[kind] | {"rope_parameters": tiny.LATENT_YARN | {"mscale_all_dim": 0.7}}
        with torch.device("meta"):
            models.append(mended(AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, vocab_size=64, **fields))))
    scales = [model.model.layers[0].self_attn.scaling for model in models]
    assert scales[0] == pytest.approx(scales[1])
