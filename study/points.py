"""One way of compressing a model, in a recipe's words: what a frontier draws and a search chooses among."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..convert.conversion.gguf_plan import GgufJob
from ..convert.conversion.onnx_plan import OnnxJob
from ..convert.conversion.openvino_plan import Job
from ..convert.gguf.recipe import ALIASES, FILE_TYPES, recipe
from ..core.errors import UsageError
from ..quantize.scheme import PRECISIONS, Request
from .calibration import OWN

Format = Literal["openvino", "gguf", "onnx"]
_REQUEST = {one.name for one in fields(Request)} - {"precision", "tensor_precision"}
_RULES = ("tensor_type", "tensor_precision")
_GGUF = {"pure", "output_type", "token_embedding_type", "tensor_type", "imatrix"}
_ONNX = {"group_size", "group_size_fallback", "ratio", "sym", "backup_precision", "all_layers", "accuracy_level"}


@dataclass(frozen=True)
class Point:
    """A way of compressing.

    Attributes:
        format: of the artifact.
        options: fields of a recipe's target, by their names and with their values.
    """

    format: Format
    options: dict[str, Any] = field(hash=False)

    @property
    def label(self) -> str:
        """A short name: the precision and what else was said."""
        rest = {name: value for name, value in self.options.items() if name not in ("precision", "type", *_RULES)}
        words = [_LABELS.get(name, "{name}={value}").format(name=name, value=value) for name, value in rest.items()]
        count = sum(len(self.options.get(name, ())) for name in _RULES)
        words += [f"{count} rule{'s' if count > 1 else ''}"] if count else []
        return " ".join([self.head, *(word for word in words if word)])

    @property
    def head(self) -> str:
        """The precision, or llama.cpp's name of the mix."""
        return str(self.options.get("type") or self.options["precision"])

    def target(self) -> dict[str, Any]:
        """Return the target of a recipe."""
        return {"format": self.format, **self.options}

    def command(self, model: str, output: str) -> str:
        """Return the command line that makes it."""
        words = ["edgeconv", self.format, "--model", model]
        for name, value in self.options.items():
            flag = "--" + name.replace("_", "-")
            for one in value if isinstance(value, list) else [value]:
                words += [flag] if one is True else [f"--no-{flag[2:]}"] if one is False else [flag, str(one)]
        return shlex.join([*words, "--output", output])

    def job(self, model: str, output: Path, *, local_files_only: bool = False) -> Job | GgufJob | OnnxJob:
        """Return what the pipeline is asked.

        Raises:
            UsageError: an option that cannot work.
        """
        common: dict[str, Any] = {"output": output, "local_files_only": local_files_only, "keeps_digests": True}
        made: Job | GgufJob | OnnxJob = _JOBS[self.format](model, dict(self.options), common)
        return made


def _openvino(model: str, options: dict[str, Any], common: dict[str, Any]) -> Job:
    return Job(model=model, request=_request(options), calibrator=OWN, **common)


def _onnx(model: str, options: dict[str, Any], common: dict[str, Any]) -> OnnxJob:
    own = {name: options.pop(name) for name in ("accuracy_level",) if name in options}
    return OnnxJob(model=model, request=_request(options), **own, **common)


def _gguf(model: str, options: dict[str, Any], common: dict[str, Any]) -> GgufJob:
    imatrix = options.pop("imatrix", None)
    rules = tuple(tuple(rule.rpartition("=")[::2]) for rule in options.pop("tensor_type", ()))
    chosen = recipe(options.pop("type"), tensor_types=rules, **options)
    return GgufJob(model=model, recipe=chosen, imatrix=Path(imatrix) if imatrix else None, calibrator=OWN, **common)


def _request(options: dict[str, Any]) -> Request:
    return Request(**{**options, "tensor_precision": tuple(options.get("tensor_precision", ()))})


_JOBS: dict[str, Callable[[str, dict[str, Any], dict[str, Any]], Any]] = {
    "openvino": _openvino, "gguf": _gguf, "onnx": _onnx,
}  # fmt: skip
"""How a format's options become a job."""
_LABELS = {
    "group_size": "g{value}", "group_size_fallback": "", "ratio": "r{value}", "calibration": "", "awq": "AWQ",
    "scale_estimation": "SE", "gptq": "GPTQ", "lora_correction": "LoRA", "backup_precision": "backup {value}",
    "all_layers": "all layers", "pure": "", "accuracy_level": "level {value}",
}  # fmt: skip


def parse(text: str) -> Point:
    """Read PRECISION or TYPE, with further fields of a recipe's target behind a colon: "int4_sym:group_size=64,ratio=0.8".

    Of a precision OpenVINO is meant, of a type GGUF; a format before a slash says another: "onnx/int8".

    Raises:
        UsageError: an unknown format, precision or field, or a value that is none.
    """
    head, _, rest = text.strip().partition(":")
    format_, slash, name = (piece.strip().lower() for piece in head.rpartition("/"))
    if not slash:
        format_ = "openvino" if name in PRECISIONS and name not in FILE_TYPES else "gguf"
    if format_ == "gguf":
        if ALIASES.get(name, name) not in FILE_TYPES:
            known = ", ".join([*PRECISIONS, *FILE_TYPES])
            raise UsageError(f"{head!r} is neither a precision nor a type of GGUF.", f"One of: {known}.")
        return Point("gguf", {"type": name, **_fields(rest, _GGUF, text)})
    if format_ not in _PRECISE:
        raise UsageError(f"{text}: unknown format {format_!r}.", f"One of: {', '.join(_JOBS)}.")
    if name not in PRECISIONS:
        raise UsageError(f"{text}: unknown precision {name!r}.", f"One of: {', '.join(PRECISIONS)}.")
    point = Point(_PRECISE[format_][0], {"precision": name, **_fields(rest, _PRECISE[format_][1], text)})
    if "group_size" in point.options and "group_size_fallback" not in point.options:
        # points of many models: a row that a group does not divide is not an error
        point.options["group_size_fallback"] = "adjust"
    return point


_PRECISE: dict[str, tuple[Format, set[str]]] = {"openvino": ("openvino", _REQUEST), "onnx": ("onnx", _ONNX)}
"""Formats whose points are precisions, and the fields that they take."""


def _fields(text: str, known: set[str], whole: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in known:
            raise UsageError(f"{whole}: unknown field {name!r}.", f"One of: {', '.join(sorted(known))}.")
        found[name] = _value(value) if equals else True
    return found


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"\d*\.\d+", text) else text
