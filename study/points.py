"""One way of compressing a model, in a recipe's words: what a frontier draws and a search chooses among."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..convert.conversion.jobs import AnyJob, Circumstances, job
from ..convert.gguf.recipe import ALIASES, FILE_TYPES
from ..convert.options import OF_FORMAT, Options, declared
from ..core.errors import UsageError
from ..core.format_names import FormatName
from ..core.option import made, of
from ..quantize.scheme import PRECISIONS
from .calibration import OWN

_RULES = ("tensor_type", "tensor_precision")


@dataclass(frozen=True)
class Point:
    """A way of compressing.

    Attributes:
        format: of the artifact.
        options: fields of a recipe's target, by their names and with their values.
    """

    format: FormatName
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
        known = declared(OF_FORMAT[self.format])
        words = [word for name, value in self.options.items() for word in known[name].spelled(value)]
        return shlex.join(["edgeconv", self.format, "--model", model, *words, "--output", output])

    def job(self, model: str, output: Path, *, local_files_only: bool = False) -> AnyJob:
        """Return what a conversion is asked.

        Raises:
            UsageError: an option that cannot work.
        """
        source = {"model": model, "output": output, "local_files_only": local_files_only}
        asked = made(OF_FORMAT[self.format], self.options | source)
        return job(asked, Circumstances(OWN, keeps_digests=True))


_LABELS = {
    "group_size": "g{value}", "group_size_fallback": "", "ratio": "r{value}", "calibration": "", "awq": "AWQ",
    "scale_estimation": "SE", "gptq": "GPTQ", "lora_correction": "LoRA", "backup_precision": "backup {value}",
    "all_layers": "all layers", "pure": "", "accuracy_level": "level {value}",
}  # fmt: skip


@dataclass(frozen=True)
class Head:
    """How a point of one format begins, in a user's words.

    Attributes:
        field: of the format's options that the word states.
        known: the words that there are, as a hint lists them.
        also: further spellings of these.
        bare: words that mean this format where none is said.
        versions: of packages that make another artifact or another measurement of it, beside those of every format.
    """

    field: str
    known: Collection[str]
    also: Collection[str] = ()
    bare: Collection[str] = ()
    versions: tuple[str, ...] = ()


HEADS: Mapping[FormatName, Head] = {
    "openvino": Head("precision", PRECISIONS, bare=[name for name in PRECISIONS if name not in FILE_TYPES]),
    "gguf": Head("type", FILE_TYPES, also=ALIASES, bare=[*FILE_TYPES, *ALIASES]),
    "onnx": Head("precision", PRECISIONS, versions=("onnx", "onnxruntime")),
}


def parse(text: str) -> Point:
    """Read PRECISION or TYPE, with further fields of a recipe's target behind a colon: "int4_sym:group_size=64,ratio=0.8".

    Of a precision OpenVINO is meant, of a type GGUF; a format before a slash says another: "onnx/int8".

    Raises:
        UsageError: an unknown format, precision or field, or a value that is none.
    """
    start, _, rest = text.strip().partition(":")
    said, slash, name = (piece.strip().lower() for piece in start.rpartition("/"))
    format_ = _format(said, text) if slash else _meant(name)
    head = HEADS[format_]
    if name not in (*head.known, *head.also):
        raise UsageError(f"{text}: unknown {head.field} {name!r}.", f"One of: {', '.join(head.known)}.")
    options = {head.field: name, **fields(OF_FORMAT[format_], rest, text)}
    if "group_size" in options and "group_size_fallback" not in options:
        # points of many models: a row that a group does not divide is not an error
        options["group_size_fallback"] = "adjust"
    return Point(format_, options)


def _format(said: str, text: str) -> FormatName:
    found = next((one for one in HEADS if one == said), None)
    if found is None:
        raise UsageError(f"{text}: unknown format {said!r}.", f"One of: {', '.join(HEADS)}.")
    return found


def _meant(name: str) -> FormatName:
    """Return the format that a word means by itself."""
    found = next((one for one, head in HEADS.items() if name in head.bare), None)
    if found is None:
        known = dict.fromkeys(word for head in HEADS.values() for word in head.known)
        raise UsageError(f"{name!r} is neither a precision nor a type of GGUF.", f"One of: {', '.join(known)}.")
    return found


def fields(options: type[Options], text: str, whole: str) -> dict[str, Any]:
    """Read NAME or NAME=VALUE, with commas between them; what may be repeated becomes a list.

    Args:
        options: of the format.
        text: of the fields.
        whole: the point that they belong to, for messages.

    Raises:
        UsageError: an unknown field, one that is there twice, or a value that it cannot have.
    """
    known = {name: one for name, one in of(options, "own").items() if one.option.point}
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in known:
            raise UsageError(f"{whole}: unknown field {name!r}.", f"One of: {', '.join(sorted(known))}.")
        one = known[name]
        if name in found and not one.repeatable:
            raise UsageError(f"{whole}: {name} is there twice.", "Leave one of them out.")
        try:
            read = one.read(value if equals else None)
        except UsageError as error:
            raise UsageError(f"{whole}: {error.message}", error.hint) from error
        found[name] = [*found.get(name, ()), read] if one.repeatable else read
    return found
