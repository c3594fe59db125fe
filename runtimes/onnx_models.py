"""The models of an ONNX artifact: one of a text model, three of a vision-language model."""

from __future__ import annotations

from pathlib import Path

from ..convert.onnx.names import CACHE, MODEL, VISION_EMBEDDINGS, VISION_PARTS


def takes_images(folder: Path) -> bool:
    """True if the artifact has a model for pictures."""
    return (folder / f"{VISION_EMBEDDINGS}.onnx").is_file()


def names(folder: Path) -> tuple[str, ...]:
    """Return the files of the graphs, the one that generates first; they need not be there."""
    return tuple(f"{name}.onnx" for name in VISION_PARTS) if takes_images(folder) else (MODEL,)


def encodes(folder: Path) -> bool:
    """True if the model is an encoder: it keeps nothing from one call to the next, and no position is given to it."""
    import onnx

    graph = onnx.load_model(folder / MODEL, format="protobuf", load_external_data=False).graph
    return not any(value.name == "position_ids" or CACHE.fullmatch(value.name) for value in graph.input)


def remains(folder: Path) -> bool:
    """True if a folder holds ONNX models, or what is left of them."""
    return any(path.suffix in (".onnx", ".onnx_data") for path in folder.glob("*.onnx*"))
