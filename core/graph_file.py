"""Read the graph of an OpenVINO IR that a stranger may have written.

OpenVINO's reader is C++ in this process. What is known to end the process there, or to leave it otherwise than by an error of its
own, is looked for before: the fuzz target `ir` has found it (openvino 2026.4).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.parsers import expat

from . import limits
from .errors import ArtifactError
from .openvino_core import openvino_core

_STATES = ("ReadValue", "Assign")
_DEEPEST = 100
"""Elements within each other; sound files have 7, and OpenVINO's XML reader calls itself for each."""


def read_graph(xml: Path) -> Any:
    """Return the `openvino.Model` of an .xml and the .bin beside it, its constants mapped.

    Raises:
        ArtifactError: one of the two is missing, or openvino cannot read them.
    """
    for path in (xml, xml.with_suffix(".bin")):
        if not path.is_file():
            raise ArtifactError(f"{path} is missing.", "The .xml needs the .bin of the same name beside it.")
    try:
        _look_through(limits.read_bytes(xml, limits.GRAPH, ArtifactError))
        return openvino_core().read_model(xml)
    except (expat.ExpatError, UnicodeDecodeError) as error:  # the second: pybind11, of OpenVINO's own words
        said = str(error) if isinstance(error, expat.ExpatError) else "it quotes bytes that are not text"
        raise _unreadable(xml, said) from error
    except RuntimeError as error:
        raise _unreadable(xml, str(error).strip().splitlines()[-1].rstrip(".")) from error


def _unreadable(xml: Path, why: str) -> ArtifactError:
    return ArtifactError(f"openvino cannot read {xml.name}: {why}.", "Convert the checkpoint again.")


def _look_through(content: bytes) -> None:
    """Go through the XML once.

    Raises:
        ExpatError: it is not well-formed.
        RuntimeError: it holds what OpenVINO does not survive; the words are those that follow "cannot read".
    """
    inside: list[str] = []
    unnamed: list[str] = []  # states whose attribute has not come yet

    def begin(tag: str, attributes: dict[str, str]) -> None:
        inside.append(tag)
        if len(inside) > _DEEPEST:
            raise RuntimeError(f"its elements are nested more than {_DEEPEST} deep")
        if tag == "layer" and attributes.get("type") in _STATES:
            unnamed.append(attributes.get("name", ""))
        elif tag == "data" and unnamed and "variable_id" in attributes:
            unnamed.pop()

    def end(tag: str) -> None:
        inside.pop()
        if tag == "layer" and unnamed:
            raise RuntimeError(f"the state {unnamed[0]!r} has no variable_id")

    def declared(*_: object) -> None:
        raise RuntimeError("it declares a document type, which no IR needs")

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = declared
    parser.Parse(content, True)
