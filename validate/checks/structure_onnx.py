"""Check 0 for an ONNX model: files, config, the graph's inputs and outputs, and every weight against its source."""

from __future__ import annotations

import time
from pathlib import Path

from ...convert import encoders, families
from ...convert.checkpoint import Checkpoint
from ...convert.onnx import sizes
from ...convert.onnx.names import past
from ...convert.onnx.sizes import HasSizes
from ...convert.parallel import in_order
from ...convert.program.decoder import Decoder
from ...convert.program.reading import UnsupportedArchitecture
from ...core.errors import ArtifactError, CheckpointError
from ...core.manifest import Manifest
from ...core.progress import Progress
from ...runtimes import onnx_models
from ..report.model import Check
from ..weights.fit import compare
from ..weights.onnx import OnnxWeights
from ..weights.stored import untrue
from . import fields, fields_genai, rotary, sentence_files, windows
from . import weights as common
from .weights import Findings


def check(
    folder: Path, manifest: Manifest | None, checkpoint: Checkpoint, weights: OnnxWeights | None, progress: Progress
) -> Check:
    """Check an ONNX model against its checkpoint.

    Args:
        folder: the artifact.
        manifest: its manifest, if there is one.
        checkpoint: the reference.
        weights: the opened artifact; None: it is opened here, and one that cannot be opened fails the check.
        progress: reports the bytes compared.
    """
    started = time.perf_counter()
    found = Findings()
    if manifest:
        common.files(folder, manifest, found, progress, others=True)
    else:
        found.warnings.append("There is no manifest, so the files' digests cannot be checked.")
    try:
        weights = weights or OnnxWeights(folder, checkpoint)
    except ArtifactError as error:
        found.failures.append(error.message)
    else:
        fields.config(folder, checkpoint, found, takes_images=onnx_models.takes_images(folder))
        fields.generation(folder, checkpoint, found)
        encoder = encoders.describe(checkpoint.config, checkpoint.names, checkpoint.sentence)
        if encoder is None:
            _decoder(folder, checkpoint, weights, found)
        else:
            sentence_files.graph(encoder, weights.graph.inputs, weights.graph.outputs, found)
            sentence_files.check(folder, encoder, checkpoint, found)
        if manifest:
            common.untrue(untrue(manifest, weights.matched), found)
        _weights(checkpoint, weights, found, progress)
    return found.as_check(time.perf_counter() - started)


def _decoder(folder: Path, checkpoint: Checkpoint, weights: OnnxWeights, found: Findings) -> None:
    fields_genai.check(folder, checkpoint, weights.graph, found)
    windows.judge(windows.of_onnx(weights.graph.proto), checkpoint.config, found)
    _graph(checkpoint, weights, found)


def _graph(checkpoint: Checkpoint, weights: OnnxWeights, found: Findings) -> None:
    decoder, reason = _described(checkpoint)
    expected = decoder or sizes.of_config(checkpoint.config)
    if expected is None:
        found.warnings.append(f"The cache, the vocabulary and rotary frequencies were not checked: {reason}.")
        return
    columns = weights.graph.dimension("logits", -1)
    if columns is not None and columns != expected.vocab_size:
        found.failures.append(f"The logits have {columns} columns; by the config {expected.vocab_size}.")
    _caches(expected, weights, found)
    if decoder:
        rotary.check(decoder, checkpoint, weights, found)
    else:
        found.warnings.append(f"Rotary frequencies, or what encodes positions, were not checked: {reason}.")


def _caches(expected: HasSizes, weights: OnnxWeights, found: Findings) -> None:
    layers = expected.remembering
    caches = sum(name.startswith("past_key_values.") for name in weights.graph.inputs)
    if caches != 2 * len(layers):
        found.failures.append(f"The graph takes {caches} keys and values; {len(layers)} layers have {2 * len(layers)}.")
    for state in expected.states:
        shape = weights.graph.shapes.get(past(state))
        if shape is None or list(shape[1:]) != list(state.shape):
            found.failures.append(f"The graph's {past(state)} is {shape}; by the config [batch, {state.shape}].")


def _described(checkpoint: Checkpoint) -> tuple[Decoder | None, str]:
    """Return the description of a family whose block is known, else why it is not."""
    try:
        return families.decoder(checkpoint.config), ""
    except (UnsupportedArchitecture, CheckpointError) as error:
        return None, str(error)


def compare_all(checkpoint: Checkpoint, weights: OnnxWeights, found: Findings, progress: Progress) -> None:
    """Compare every weight with its tensor, and the tables of rotary frequencies; `found` takes what is wrong."""
    decoder, _ = _described(checkpoint)
    if decoder:
        rotary.check(decoder, checkpoint, weights, found)
    _weights(checkpoint, weights, found, progress)


def _weights(checkpoint: Checkpoint, weights: OnnxWeights, found: Findings, progress: Progress) -> None:
    rotary.compressed(weights, found)
    task, pairs = common.pairs(checkpoint, weights, found, progress)
    fits = list(in_order((compare, name, match, checkpoint, task) for name, match in pairs))
    task.finish()
    common.judge(fits, lambda fit: fit.over > 0, weights.lookalike, found)
