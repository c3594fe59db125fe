"""A codec gives what an artifact holds, bit for bit, and knows what it weighs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert import conversion
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import UsageError
from edgeconv.quantize.scheme import Request
from edgeconv.study.sensitivity.codec import Codec, codec
from edgeconv.validate.formats import open_artifact

HEAD, DOWN = "lm_head.weight", "model.layers.0.mlp.down_proj.weight"


@pytest.mark.parametrize("mode", ["int4_sym", "int4_asym"])
def test_what_an_ir_holds(mode: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    model = tiny_model("llama")
    made = conversion.run(conversion.Job(str(model), Request(mode, group_size=32), output=tmp_path / "out"))
    checkpoint = open_checkpoint(model)
    weights = open_artifact(made.path).weights(checkpoint)
    sizes = {entry.name: entry.bytes for entry in made.manifest.tensors}
    for name, one in ((DOWN, Codec(mode, 32)), (HEAD, Codec("int8_asym"))):
        assert np.array_equal(one.held(checkpoint.tensor(name)), weights.tensor(name)), name
        assert one.bytes(*checkpoint.info(name).shape) == sizes[name]


@pytest.mark.parametrize("kind", ["q5_1", "iq4_nl", "q4_k"])
def test_what_a_gguf_holds(kind: str, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    """Also where llama-quantize's rules put another type in the place of one that does not fit."""
    model = tiny_model("llama")
    chosen = recipe({"q4_k": "q4_k_s"}.get(kind, kind), pure=True)
    made = conversion.run(conversion.GgufJob(str(model), chosen, output=tmp_path / "out"))
    checkpoint = open_checkpoint(model)
    weights = open_artifact(made.path).weights(checkpoint)
    tensor = checkpoint.tensor(DOWN)
    one = codec(kind).fitted(tensor.shape[1])
    assert np.array_equal(one.held(tensor), weights.tensor(DOWN))
    (entry,) = (e for e in made.manifest.tensors if e.name == "blk.0.ffn_down.weight")
    assert (entry.precision, entry.bytes) == (one.name, one.bytes(*tensor.shape))


def test_rows_that_a_group_does_not_divide() -> None:
    assert codec("int4", 128).fitted(576) == Codec("int4_asym", 64)
    assert codec("int4", 128).fitted(100) == Codec("int8_asym")
    assert codec("q6_k").fitted(576) == Codec("q8_0")
    assert codec("INT8") == Codec("int8_asym")


@pytest.mark.parametrize(("name", "group"), [("int5", None), ("q4_k_m", None), ("q8_0", 32), ("int4", 0)])
def test_refusals(name: str, group: int | None) -> None:
    with pytest.raises(UsageError):
        codec(name, group)
