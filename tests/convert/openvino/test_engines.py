"""Both engines make the same model of a checkpoint: the same constants, and logits that differ by rounding at most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.families import decoder, find, streamed
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import stream, trace
from edgeconv.convert.openvino.trace_support import supported
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve

from ...ir import Runner, constants

IDS = np.random.default_rng(11).integers(5, 4000, 80).tolist()
SIZE = {"hidden_size": 256, "intermediate_size": 384, "head_dim": 64}


BOTH = [
    kind for kind in streamed() if not supported({"model_type": kind}) and getattr(find(kind), "experts", None) is None
]
"""Families that optimum-intel exports, too; a trace has experts under other names: test_stream_experts.py."""
OWN = {"phi": {"num_key_value_heads": 4}}
"""Sizes without which optimum-intel's export fails: it takes Phi's queries and keys to have as many heads."""


@pytest.mark.parametrize("model_type", BOTH)
def test_engines_agree(model_type: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    source = tiny_model(model_type, **SIZE, **OWN.get(model_type, {}))
    scheme = resolve(Request("int4_sym", group_size=64, ratio=0.8))
    checkpoint = open_checkpoint(source)
    paths = {name: tmp_path / name for name in ("stream", "trace")}
    for path in paths.values():
        path.mkdir()
    stream.export(checkpoint, decoder(checkpoint.config), scheme, paths["stream"], progress=Silent())
    trace.export(checkpoint, scheme, paths["trace"], progress=Silent())
    ours, theirs = (constants(path / "openvino_model.xml") for path in paths.values())
    quantized = {name: value for name, value in theirs.items() if value[0] in ("i4", "u8")}
    assert quantized == {name: value for name, value in ours.items() if value[0] in ("i4", "u8")}
    assert any(kind == "i4" for kind, _, _ in quantized.values())
    logits = [Runner(path / "openvino_model.xml").logits(IDS) for path in paths.values()]
    assert np.abs(logits[0] - logits[1]).max() < 1e-4
