"""The IRs of an artifact: one of a text model, three or more of a vision-language model, named as optimum-intel names them."""

from __future__ import annotations

from pathlib import Path

from ..convert.openvino.stream_ir import LANGUAGE, TEXT, TEXT_EMBEDDINGS, VISION_EMBEDDINGS
from ..convert.program.vision import Graph
from ..core import limits
from ..core.errors import ArtifactError

TALKING = (LANGUAGE, TEXT_EMBEDDINGS)
"""What a vision-language model needs for words."""
VISION_PARTS = (LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS)
_FURTHER = "openvino_*_model.xml"
"""How the other graphs of a vision encoder of several, and its projector's, are called (`vision_file`)."""


def takes_images(folder: Path) -> bool:
    """True if the artifact has an IR for pictures."""
    return (folder / f"{VISION_EMBEDDINGS}.xml").is_file()


def names(folder: Path) -> tuple[str, ...]:
    """Return the files of the graphs, the one that generates first.

    Raises:
        ArtifactError: the folder holds no converted model.
    """
    if (folder / f"{TEXT}.xml").is_file():
        return (f"{TEXT}.xml",)
    if not (folder / f"{LANGUAGE}.xml").is_file():
        raise absent(folder)
    known = tuple(f"{name}.xml" for name in VISION_PARTS)
    return known + tuple(sorted(path.name for path in folder.glob(_FURTHER) if path.name not in known))


def vision_file(graph: Graph) -> str:
    """Return the file of one of the vision encoder's graphs."""
    return f"openvino_{graph.name}_model.xml"


def absent(path: Path) -> ArtifactError:
    """Return the error for a path that holds no converted model."""
    return ArtifactError(
        f"{path} holds neither {TEXT}.xml nor {LANGUAGE}.xml, nor a .gguf.",
        "Give what `edgeconv openvino` or `edgeconv gguf` wrote.",
    )


def require_state(folder: Path) -> None:
    """Refuse a graph that keeps no cache: neither a chat nor a measurement can run it one token after the other.

    Raises:
        ArtifactError: the graph that generates has no state.
    """
    xml = folder / names(folder)[0]
    if not stateful(xml):
        raise ArtifactError(
            f"{xml} has no state: it was exported without a cache, or with one that the caller keeps.",
            "Export it for text-generation-with-past and without --disable-stateful, or use `edgeconv openvino`.",
        )


def stateful(xml: Path) -> bool:
    """Tell whether an IR keeps a cache itself, by its operations. What cannot be read is for others to refuse."""
    try:
        return b'type="ReadValue"' in limits.read_bytes(xml, limits.GRAPH, ArtifactError)
    except OSError:
        return True
