"""Every family that is streamed, in OpenVINO and in ONNX: logits of each position beside transformers' in float32.

Prefilled, in chunks and step by step, in texts longer than the windows and than the length at which long rope changes.
"""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert import conversion, families
from edgeconv.convert.claims import unused
from edgeconv.core.mended_models import mended
from edgeconv.quantize.scheme import Request

from ..models import tiny
from .onnx.reading import continued

LENGTH = 120
PIECES = ([LENGTH], [40, 1, 1, 30, 1, 47], [70, *[1] * 50])
"""A text in pieces: all at once; chunks and steps; a prompt and steps."""


CACHELESS = ("granitemoehybrid-attention", "falcon_h1-normed", "falcon_h1-behind")
"""Checkpoints of which transformers 5.5 makes no cache, for its class looks for a layer that scans, or steps of two rows wrong:
behind Falcon-H1's norm they lose an axis, and each row gets the sum of both."""


@pytest.fixture(scope="module", params=tiny.STREAMED)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder of a checkpoint, ids, and transformers' logits for each way to cut the text."""
    import torch
    from transformers import AutoModelForCausalLM

    name = request.param
    model_type, _, _ = name.partition("-")
    folder = tiny.make(model_type, tmp_path_factory.mktemp(name) / "model", dtype="float32", **tiny.STREAMED[name])
    model = mended(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    )
    ids = np.random.default_rng(3).integers(3, model.config.vocab_size, (2, LENGTH))
    states = families.decoder(json.loads((folder / "config.json").read_text())).states
    kept = next(name for name in ("cache_params", "past_key_values") if name in signature(model.forward).parameters)
    expected: list[np.ndarray] = []
    for pieces in PIECES:
        if name in CACHELESS or (states and any(size > 1 for size in pieces[1:])):
            # transformers forgets the states of a layer that reads a chunk behind a prompt
            expected.append(expected[0] if expected else whole(model, ids))
            continue
        cache, found, start = None, [], 0
        for size in pieces:
            with torch.no_grad():
                out = model(torch.tensor(ids[:, start : start + size]), **{kept: cache}, use_cache=True)
            cache, start = out[kept], start + size
            found.append(out.logits.numpy())
        expected.append(np.concatenate(found, 1))
    return folder, ids, expected


def whole(model: Any, ids: np.ndarray) -> np.ndarray:
    """transformers' logits of all positions at once, without a cache."""
    import torch

    with torch.no_grad():
        return model(torch.tensor(ids), use_cache=False).logits.numpy()


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.isfinite(found).all()
    assert float(expected.std()) > 0.1
    assert float(np.abs(found - expected).max()) < 1e-3


VALUES_NORMED = ("gemma3n_text", "gemma4_text")
"""Families whose values are normalized, without a weight."""


def fused(compiled: Any) -> tuple[int, int, int]:
    """How many norms, attentions and delta rules the runtime's graph has as one operation each."""
    kinds = [str(node.get_rt_info()["layerType"].astype(str)) for node in compiled.get_runtime_model().get_ops()]
    return (
        kinds.count("RMS") + kinds.count("MVN"),
        kinds.count("ScaledDotProductAttention"),
        kinds.count("GatedDeltaNet"),
    )


def fusible(folder: Path) -> tuple[int, int, int]:
    """How many there are: the runtime's attention has no cap for scores, and no keys and values that further layers read."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "np") as file:
        names = list(file.keys())
    config = json.loads((folder / "config.json").read_text())
    names = [name.replace("language_model.", "") for name in names]
    names = [name for name in names if not unused.is_passed_over(name, config)]
    outputs = ("self_attn.o_proj.weight", "self_attn.out_proj.weight", "self_attn.dense.weight")
    attentions = sum(name.endswith(outputs) for name in names)
    if shared := config.get("num_kv_shared_layers"):
        attentions -= shared + len(set(config["layer_types"][-shared:]))
    norms = sum("norm" in name and name.endswith(".weight") for name in names)
    norms += sum(name.endswith("router_norm.weight") for name in names)  # before a layer and behind it
    if config["model_type"] in VALUES_NORMED:
        norms += sum(name.endswith("k_proj.weight") for name in names)
    rules = sum(name.endswith("linear_attn.A_log") for name in names)
    return norms, 0 if config.get("attn_logit_softcapping") else attentions, rules


def test_openvino(case: Any, tmp_path: Path) -> None:
    import openvino as ov

    folder, ids, expected = case
    made = conversion.run(conversion.Job(str(folder), Request("fp32"), output=tmp_path / "out"))
    assert made.manifest.engine == "stream"
    config = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    compiled = ov.Core().compile_model(made.path / "openvino_model.xml", "CPU", config)
    assert fused(compiled) == fusible(folder)
    request = compiled.create_infer_request()
    for pieces, wanted in zip(PIECES, expected, strict=True):
        request.reset_state()
        found, start = [], 0
        for size in pieces:
            end = start + size
            positions = np.broadcast_to(np.arange(start, end), (2, size))
            given = {"input_ids": ids[:, start:end], "attention_mask": np.ones((2, end), np.int64),
                     "position_ids": positions, "beam_idx": np.arange(2, dtype=np.int32)}  # fmt: skip
            found.append(np.array(request.infer(given)["logits"]))
            start = end
        close(np.concatenate(found, 1), wanted)


def test_onnx(case: Any, tmp_path: Path) -> None:
    import onnxruntime

    folder, ids, expected = case
    made = conversion.run(conversion.OnnxJob(str(folder), Request("fp32"), output=tmp_path / "out"))
    assert made.manifest.engine == "stream"
    session = onnxruntime.InferenceSession(made.path / "model.onnx", providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    caches = [one for one in session.get_inputs() if one.name.startswith("past_")]
    for pieces, wanted in zip(PIECES, expected, strict=True):
        cache = {
            one.name: np.zeros([2, *(0 if d == "past" else d for d in one.shape[1:])], np.float32) for one in caches
        }
        found, start = [], 0
        for size in pieces:
            end = start + size
            positions = np.broadcast_to(np.arange(start, end), (2, size)).copy()
            given = {
                "input_ids": ids[:, start:end],
                "attention_mask": np.ones((2, end), np.int64),
                "position_ids": positions,
            }
            outputs = dict(zip(names, session.run(None, {**given, **cache}), strict=True))
            found.append(outputs["logits"])
            cache = {name: outputs[continued(name)] for name in cache}
            start = end
        close(np.concatenate(found, 1), wanted)


def test_a_window_that_is_one_position_off_would_be_seen(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = tiny.make("mistral", tmp_path / "model", dtype="float32", sliding_window=17)
    ids = torch.arange(3, 3 + LENGTH)[None]
    found = []
    for window in (17, 18):
        model = AutoModelForCausalLM.from_pretrained(folder, sliding_window=window, attn_implementation="eager").eval()
        with torch.no_grad():
            found.append(model(ids).logits.numpy())
    apart = np.abs(found[0] - found[1]).max(-1)[0]
    assert (apart[:17] < 1e-5).all()
    assert (apart[17:] > 1e-2).all()
