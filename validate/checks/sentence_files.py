"""Check 0 of an encoder: the files that say how its states become vectors are the checkpoint's."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ...convert import sentence
from ...convert.checkpoint import Checkpoint
from ...convert.program.encoder import Encoder, output_of
from ...core.digest import sha256_file
from ...core.errors import CheckpointError
from .weights import Findings


def graph(encoder: Encoder, inputs: Collection[str], outputs: Collection[str], found: Findings) -> None:
    """Compare the names of a graph's inputs and outputs with those that the encoder has; `found` takes what is wrong."""
    if set(inputs) != set(encoder.inputs) or list(outputs) != [output_of(encoder)]:
        wanted = f"{output_of(encoder)} of {', '.join(encoder.inputs)}"
        found.failures.append(
            f"The graph makes {', '.join(outputs)} of {', '.join(inputs)}; this encoder makes {wanted}."
        )


def check(folder: Path, encoder: Encoder, checkpoint: Checkpoint, found: Findings) -> None:
    """Compare an artifact's folder with the checkpoint's.

    Args:
        folder: the artifact.
        encoder: the checkpoint's description.
        checkpoint: the reference.
        found: takes what is wrong.
    """
    if encoder.task.kind != "embed":
        return
    try:
        own = sentence.read(folder)
    except CheckpointError as error:
        found.failures.append(f"{folder.name}: {error.message}")
        return
    wanted = checkpoint.sentence
    if own != wanted:
        said = [task.describe() if task else "nothing" for task in (own, wanted)]
        found.failures.append(f"The files of sentence-transformers say: {said[0]}; in the checkpoint: {said[1]}.")
        return
    for layer in wanted.dense if wanted else ():
        sides = [place / layer.folder / "model.safetensors" for place in (folder, checkpoint.origin)]
        if not sides[0].is_file():
            found.failures.append(f"{layer.folder}/model.safetensors is missing.")
        elif sha256_file(sides[0]) != sha256_file(sides[1]):
            found.failures.append(f"{layer.folder}/model.safetensors is not the checkpoint's.")
