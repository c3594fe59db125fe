"""A refusal's hint names another command only if that command would take the checkpoint; over every type of transformers."""

import re
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert import alternatives, claims
from edgeconv.convert.checkpoint import Checkpoint
from edgeconv.convert.claims import native
from edgeconv.convert.gguf import describe as gguf
from edgeconv.convert.onnx import choose as onnx
from edgeconv.convert.openvino import choose as openvino
from edgeconv.core.errors import EdgeconvError

from .claims.real_configs import OTHERS, SIZES, STREAMED, TRAINED, names_of, whole

COMMANDS = ("openvino", "gguf", "onnx")
NAMED = re.compile(r"`edgeconv (\w+)`")


def refusal(command: str, config: dict[str, Any]) -> EdgeconvError | None:
    """Ask a command as its conversion does."""
    names = names_of(config)
    try:
        if command == "openvino":
            openvino.choose(config, names=names)
        elif command == "onnx":
            with alternatives.named("onnx", config, names):
                onnx.chosen(config, names)
        else:
            with alternatives.named("gguf", config, names):
                gguf.describe_as_claimed(config, names)
    except EdgeconvError as error:
        return error
    return None


def check(config: dict[str, Any]) -> set[str]:
    """Compare what hints say with what commands do; return the commands that take the config."""
    errors = {command: refusal(command, config) for command in COMMANDS}
    taking = {command for command, error in errors.items() if error is None}
    for command, error in errors.items():
        named = set(NAMED.findall(f"{error.message} {error.hint}")) if error else set()
        assert named <= taking, (command, config["model_type"], error)
        if error and "No other format" in (error.hint or ""):
            assert not taking
        if error and taking and isinstance(error.__cause__, alternatives.InexpressibleError):
            assert named == taking, (command, config["model_type"], error.hint)
        if error and "--engine trace tries it" in (error.hint or ""):
            onnx.choose(Checkpoint(Path("none"), config, {}), "trace")
    return taking


def test_every_type_of_transformers() -> None:
    from transformers import CONFIG_MAPPING

    taken = {kind: check({**SIZES, **TRAINED, "model_type": kind}) for kind in CONFIG_MAPPING}
    assert sum(map(bool, taken.values())) > 50
    assert sum(not commands for commands in taken.values()) > 100


@pytest.mark.parametrize("name", [*STREAMED, *OTHERS])
def test_real_configs(name: str) -> None:
    config = STREAMED[name] if name in STREAMED else OTHERS[name][1]
    expected = COMMANDS if name in STREAMED else OTHERS[name][0]
    assert check(whole(config)) == set(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 16}},
        {"hidden_act": "gelu"},
        {"head_dim": 24},
        {"sliding_window": 64, "model_type": "mistral"},
        {"is_causal": False},
        {"num_attention_heads": 3},
    ],
)
def test_fields_that_some_formats_lack(fields: dict[str, Any]) -> None:
    check(whole(STREAMED["Llama-3.2-1B-Instruct"] | fields))


def test_the_table_of_generators_is_that_of_transformers() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert native._generators() == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert claims.native.generates("llama")
