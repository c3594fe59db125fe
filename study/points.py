"""One way of compressing a model, in a recipe's words: what a frontier draws and a search chooses among."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..convert.conversion.gguf_plan import GgufJob
from ..convert.conversion.openvino_plan import Job
from ..convert.gguf.recipe import ALIASES, FILE_TYPES, recipe
from ..core.errors import UsageError
from ..quantize.scheme import PRECISIONS, Request
from .calibration import OWN

Format = Literal["openvino", "gguf"]
_REQUEST = {one.name for one in fields(Request)} - {"precision", "tensor_precision"}
_RULES = ("tensor_type", "tensor_precision")
_GGUF = {"pure", "output_type", "token_embedding_type", "tensor_type", "imatrix"}


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

    def job(self, model: str, output: Path, *, local_files_only: bool = False) -> Job | GgufJob:
        """Return what the pipeline is asked.

        Raises:
            UsageError: an option that cannot work.
        """
        common: dict[str, Any] = {
            "output": output,
            "local_files_only": local_files_only,
            "keeps_digests": True,
            "calibrator": OWN,
        }
        if self.format == "openvino":
            rules = tuple(self.options.get("tensor_precision", ()))
            return Job(model=model, request=Request(**{**self.options, "tensor_precision": rules}), **common)
        given = dict(self.options)
        imatrix = given.pop("imatrix", None)
        rules = tuple(tuple(rule.rpartition("=")[::2]) for rule in given.pop("tensor_type", ()))
        chosen = recipe(given.pop("type"), tensor_types=rules, **given)
        return GgufJob(model=model, recipe=chosen, imatrix=Path(imatrix) if imatrix else None, **common)


_LABELS = {
    "group_size": "g{value}", "group_size_fallback": "", "ratio": "r{value}", "calibration": "", "awq": "AWQ",
    "scale_estimation": "SE", "gptq": "GPTQ", "lora_correction": "LoRA", "backup_precision": "backup {value}",
    "all_layers": "all layers", "pure": "",
}  # fmt: skip


def parse(text: str) -> Point:
    """Read PRECISION or TYPE, with further fields of a recipe's target behind a colon: "int4_sym:group_size=64,ratio=0.8".

    Raises:
        UsageError: an unknown precision or field, or a value that is none.
    """
    head, _, rest = text.strip().partition(":")
    name = head.strip().lower()
    if name in PRECISIONS and name not in FILE_TYPES:
        point = Point("openvino", {"precision": name, **_fields(rest, _REQUEST, text)})
        options = point.options
        if "group_size" in options and "group_size_fallback" not in options:
            options["group_size_fallback"] = (
                "adjust"  # points of many models: a row that a group does not divide is not an error
            )
        return point
    if ALIASES.get(name, name) not in FILE_TYPES:
        known = ", ".join([*PRECISIONS, *FILE_TYPES])
        raise UsageError(f"{head!r} is neither a precision nor a type of GGUF.", f"One of: {known}.")
    return Point("gguf", {"type": name, **_fields(rest, _GGUF, text)})


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
