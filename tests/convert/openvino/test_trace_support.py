"""The table of model types beside the registry of the installed optimum-intel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection
from typing import Any

import pytest

from edgeconv.convert.openvino.trace_support import (
    CAPPED,
    LIFTED,
    SUPPORTED,
    supported,
)

ENCODER_DECODERS = {"bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart", "pegasus"}
"""Their decoders alone can be language models, but no checkpoint of that kind is about."""


def registry(task: str, known: Collection[str]) -> dict[str, str | None]:
    """Model type → the newest transformers that optimum-intel exports it under for a task (None: no cap)."""
    from edgeconv.core.telemetry import silence_telemetry

    silence_telemetry()
    import optimum.exporters.openvino  # noqa: F401 - registers its configurations
    import transformers
    from optimum.exporters.tasks import TasksManager
    from packaging.version import Version

    found = {}
    for kind, exporters in TasksManager._SUPPORTED_MODEL_TYPE.items():
        constructor: Any = exporters.get("openvino", {}).get(task)
        if constructor is None or kind not in known:
            continue
        newest = getattr(constructor.func, "MAX_TRANSFORMERS_VERSION", None)
        capped = newest is not None and Version(str(newest)) < Version(transformers.__version__)
        found[kind] = str(newest) if capped else None
    return found


def test_the_tables_of_decoders_are_the_registry() -> None:
    from optimum.exporters.openvino.utils import MULTI_MODAL_TEXT_GENERATION_MODELS
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    decoders = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - ENCODER_DECODERS - set(MULTI_MODAL_TEXT_GENERATION_MODELS)
    found = registry("text-generation-with-past", decoders)
    assert {kind for kind, cap in found.items() if cap is None} == SUPPORTED
    assert {kind: cap for kind, cap in found.items() if cap is not None} == CAPPED | LIFTED


@pytest.mark.parametrize("kind", ["llama", "glm", "gemma3_text"])
def test_supported(kind: str) -> None:
    assert supported({"model_type": kind}) is None


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "lfm2"}, "only under transformers up to 5.4.0"),
        ({"model_type": "vit"}, "no text-generation export for vit"),
        ({"model_type": "llama", "is_encoder_decoder": True}, "encoder-decoder"),
    ],
)
def test_reasons(config: dict[str, Any], reason: str) -> None:
    assert reason in (supported(config) or "")


def test_asking_imports_nothing_heavy() -> None:
    """The import of the engine, and its answer, must not cost the seconds of torch."""
    code = (
        "import sys; from edgeconv.convert.openvino.trace import supported; supported({'model_type': 'llama'});"
        "print(sorted({'torch', 'transformers', 'optimum', 'openvino', 'nncf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
