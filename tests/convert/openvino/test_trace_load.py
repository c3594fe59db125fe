"""A loaded model is the mapped file, and the process is as it was afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino.trace_load import load
from edgeconv.convert.openvino.trace_quiet import tracing
from edgeconv.core.errors import CheckpointError


@pytest.mark.parametrize("model_type", ["glm", "phi3", "gemma3_text"])
def test_parameters_are_views_of_the_shards(model_type: str, tiny_model: Callable[..., Path]) -> None:
    checkpoint = open_checkpoint(tiny_model(model_type, max_shard_size="300KB"))
    with tracing():
        model = load(checkpoint)
    addresses = {name: checkpoint.tensor(name).ctypes.data for name in checkpoint.names}
    assert {name: parameter.data_ptr() for name, parameter in model.named_parameters()} == addresses
    assert not model.training


def test_code_of_the_checkpoint_is_not_run_for_a_known_type(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    import json
    import shutil

    folder = shutil.copytree(tiny_model("glm"), tmp_path / "custom")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('this code ran')")
    checkpoint = open_checkpoint(folder, trust_remote_code=True)
    with tracing():
        assert type(load(checkpoint)).__name__ == "GlmForCausalLM"


def test_an_unknown_type_is_refused(tiny_model: Callable[..., Path]) -> None:
    checkpoint = open_checkpoint(tiny_model("glm"))
    checkpoint.config["model_type"] = "nobody_knows"
    with tracing(), pytest.raises(CheckpointError, match="does not know model_type 'nobody_knows'"):
        load(checkpoint)


def test_tracing_puts_everything_back() -> None:
    import gc

    import torch
    import transformers

    before = torch.get_num_threads(), gc.isenabled(), transformers.logging.get_verbosity()
    with pytest.raises(ZeroDivisionError), tracing():
        assert torch.get_num_threads() == 1
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert (torch.get_num_threads(), gc.isenabled(), transformers.logging.get_verbosity()) == before
