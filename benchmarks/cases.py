"""Every benchmark by name, with what it aims at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from . import disk, full_size, gguf, growth, openvino, outcome, profile, startup, validate
from .published import published
from .published_vision import published_vision
from .result import Result, Target
from .setting import Setting

Case = Callable[[Setting, str], Result]

_INT4 = {
    "wall": Target(at_least=4), "cpu": Target(at_least=4), "anonymous": Target(at_most=0.6),
}  # fmt: skip
_RATIO1 = {"wall": Target(at_least=5), "cpu": Target(at_least=5), "anonymous": Target(at_most=0.6)}
_TRACE = {"wall": Target(at_least=1.8), "anonymous": Target(at_least=2)}
_GGUF = {
    "wall": Target(at_least=4), "cpu": Target(at_least=5), "anonymous": Target(at_least=3), "written": Target(at_least=4),
}  # fmt: skip
_BARE = {"wall": Target(at_least=1 / 1.2)}
_FLAT = {"anonymous": Target(at_most=0.6)}
_NO_OPTIMUM_ONNX = "Alone: optimum-onnx is not in the environments of the peers."
_NO_VISION = "Alone: the peers' conversions of the same families are in docs/coverage.md, on tiny checkpoints."
PICTURE = Path(__file__).parents[1] / "validate" / "suite" / "data" / "pictures" / "rocket.jpg"
_NO_FAMILY = "Alone: optimum-cli 2.2 refuses this model type under transformers 5.5 (docs/coverage.md)."


def _beside_optimum(size: str, scheme: str, targets: Mapping[str, Target], engine: str = "stream") -> Case:
    return lambda setting, name: openvino.beside_optimum(setting, name, size, scheme, targets, engine=engine)


def _alone(size: str, why: str) -> Case:
    return lambda setting, name: openvino.alone(setting, name, size, "int4", _FLAT, why=why)


def _every_format(size: str) -> Case:
    return lambda setting, name: full_size.full_size(setting, name, size, full_size.INT4, flat=0.5, why=_NO_FAMILY)


def _with_pictures(size: str) -> Case:
    return lambda setting, name: full_size.full_size(
        setting, name, size, full_size.INT4, flat=0.5, why=_NO_VISION, picture=PICTURE
    )


CASES: Mapping[str, Case] = {
    "disk": disk.disk,
    "openvino-int4": _beside_optimum("1.5b", "int4", _INT4),
    "openvino-int4-ratio1": _beside_optimum("1.5b", "int4-ratio1", _RATIO1),
    "openvino-int8": _beside_optimum("1.5b", "int8", _INT4),
    "openvino-bf16": _beside_optimum("1.5b", "bf16", _INT4),
    "openvino-trace": _beside_optimum("llama-1b", "int4-ratio1", _TRACE, "trace"),
    "openvino-4b": _alone("4b", "optimum-cli needs more memory than the model's size (8.7 GB) here."),
    "openvino-4b-2gib": lambda setting, name: openvino.within_a_limit(setting, name, "4b", 2 << 30),
    "openvino-v-2b": _alone("v-2b", "optimum-cli does not know GLM-Edge-V."),
    "gguf-q4_k_m": lambda setting, name: gguf.random_weights(setting, name, "1.5b", "q4_k_m", _GGUF),
    "onnx": lambda setting, name: full_size.full_size(
        setting, name, "1.5b", full_size.ONNX, flat=0.6, why=_NO_OPTIMUM_ONNX
    ),
    **{size: _every_format(size) for size in published()},
    **{size: _with_pictures(size) for size in published_vision()},
    "validate": lambda setting, name: validate.beside_bare_passes(setting, name, _BARE, quick=False),
    "validate-quick": lambda setting, name: validate.beside_bare_passes(setting, name, _BARE, quick=True),
    "validate-quick-words": lambda setting, name: validate.beside_bare_passes(
        replace(setting, max_tokens=1000), name, {"wall": Target(at_least=1 / 1.3)}, quick=True
    ),
    "help": startup.show_help,
    "growth": growth.grow,
    "profile": lambda setting, name: profile.profile(setting, name, "1.5b"),
    "outcome-int8": lambda setting, name: outcome.quality(setting, name, "int8"),
    "outcome-int4": lambda setting, name: outcome.quality(setting, name, "int4-group64"),
    "outcome-gguf": lambda setting, name: outcome.gguf_speed(setting, name, "1.5b", "q4_k_m"),
    "rope": lambda setting, name: outcome.rope(setting, name, "1.5b"),
}
"""Names are those of the files in docs/benchmarks."""
