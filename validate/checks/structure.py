"""Check 0: every file opens, counts and shapes fit the config, and every weight is its source's within its scheme.

Cheap (the weights are read once, no model runs), and it says which tensor is wrong.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from ...convert import encoders, families
from ...convert.checkpoint import Checkpoint
from ...convert.openvino.tokenizer import FILES
from ...convert.parallel import in_order
from ...convert.program.decoder import Decoder
from ...convert.program.encoder import Encoder
from ...convert.program.reading import UnsupportedArchitecture
from ...core.errors import ArtifactError, CheckpointError
from ...core.graph_file import read_graph
from ...core.manifest import MANIFEST_NAME, Manifest, read_manifest
from ...core.mapped_pages import mappings, releasing
from ...core.progress import Progress
from ...runtimes import irs
from ..report.model import Check
from ..weights import ArtifactWeights, stacks
from ..weights.fit import Fit, compare
from ..weights.stored import untrue
from . import fields, rotary, sentence_files, windows
from . import weights as common
from .weights import Findings

_COARSE = 0.002
"""Share of a weight that scale estimation may lose to scales that are far too large; NNCF 3.4 was seen to lose 0.001."""


def check(folder: Path, checkpoint: Checkpoint, weights: ArtifactWeights | None, progress: Progress) -> Check:
    """Check an OpenVINO artifact against its checkpoint.

    Args:
        folder: the artifact.
        checkpoint: the reference.
        weights: the opened artifact; None: it is opened here, and one that cannot be opened fails the check.
        progress: reports the bytes compared.
    """
    started = time.perf_counter()
    found = Findings()
    manifest = None
    if (folder / MANIFEST_NAME).is_file():
        manifest = _files(folder, found, progress)
    else:
        found.warnings.append(f"There is no {MANIFEST_NAME}, so the files' digests cannot be checked.")
    _tokenizers(folder, found)
    try:
        weights = weights or ArtifactWeights(folder, checkpoint)
    except ArtifactError as error:
        found.failures.append(error.message)
    else:
        _config(folder, checkpoint, weights, found)
        if manifest:
            common.untrue(untrue(manifest, weights.matched), found)
        check_weights(checkpoint, weights, found, progress)
    return found.as_check(time.perf_counter() - started)


def _files(folder: Path, found: Findings, progress: Progress) -> Manifest | None:
    try:
        manifest = read_manifest(folder)
    except ArtifactError as error:
        found.failures.append(error.message)
        return None
    common.files(folder, manifest, found, progress, others=True)
    return manifest


def _tokenizers(folder: Path, found: Findings) -> None:
    import openvino_tokenizers  # noqa: F401 - registers its operations with openvino

    for name in FILES:
        if not (folder / name).is_file():
            found.failures.append(f"{name} is missing: openvino_genai cannot run this folder.")
            continue
        try:
            read_graph(folder / name)
        except ArtifactError as error:
            found.failures.append(error.message)


def _config(folder: Path, checkpoint: Checkpoint, weights: ArtifactWeights, found: Findings) -> None:
    """Configs, counts and shapes: what a runtime obeys, its vocabulary, its states, its rotary frequencies."""
    fields.config(folder, checkpoint, found, takes_images=irs.takes_images(folder))
    fields.generation(folder, checkpoint, found)
    fields.runtime_options(weights.model, found)
    encoder = encoders.describe(checkpoint.config, checkpoint.names, checkpoint.sentence)
    if encoder is not None:
        _encoder(folder, encoder, checkpoint, weights, found)
        return
    windows.judge(windows.of_ir(weights.model), checkpoint.config, found)
    try:
        irs.require_state(folder)
    except ArtifactError as error:
        found.failures.append(error.message)
    try:
        decoder = families.decoder(checkpoint.config)
    except (UnsupportedArchitecture, CheckpointError) as error:
        found.warnings.append(f"States, vocabulary and rotary frequencies were not checked: {error}.")
        return
    _graph(decoder, checkpoint, weights, found)


def _encoder(folder: Path, encoder: Encoder, checkpoint: Checkpoint, weights: ArtifactWeights, found: Findings) -> None:
    """Inputs, output and the files of sentence-transformers."""
    inputs, outputs = ([port.get_any_name() for port in side] for side in (weights.model.inputs, weights.model.outputs))
    sentence_files.graph(encoder, inputs, outputs, found)
    if irs.stateful(folder / irs.names(folder)[0]):
        found.failures.append("The graph keeps a state, which no encoder has.")
    sentence_files.check(folder, encoder, checkpoint, found)


def _graph(decoder: Decoder, checkpoint: Checkpoint, weights: ArtifactWeights, found: Findings) -> None:
    vocabulary = weights.model.output(0).get_partial_shape()[-1]
    if vocabulary.is_static and vocabulary.get_length() != decoder.vocab_size:
        found.failures.append(f"The logits have {vocabulary.get_length()} columns; by the config {decoder.vocab_size}.")
    states = sum(node.get_type_name() == "ReadValue" for node in weights.model.get_ops())
    wanted = 2 * len(decoder.remembering) + len(decoder.states)
    if states not in (0, wanted):
        found.failures.append(f"The graph has {states} states; {decoder.num_layers} layers have {wanted}.")
    rotary.check(decoder, checkpoint, weights, found)


def compare_all(checkpoint: Checkpoint, weights: ArtifactWeights, found: Findings, progress: Progress) -> None:
    """Compare every weight with its tensor, and the tables of rotary frequencies; `found` takes what is wrong."""
    with contextlib.suppress(UnsupportedArchitecture, CheckpointError):  # then a table is known by nothing
        rotary.check(families.decoder(checkpoint.config), checkpoint, weights, found)
    check_weights(checkpoint, weights, found, progress)


def check_weights(checkpoint: Checkpoint, weights: ArtifactWeights, found: Findings, progress: Progress) -> None:
    """Compare every weight with its tensor; `found` takes what is wrong."""
    rotary.compressed(weights, found)
    task, pairs = common.pairs(checkpoint, weights, found, progress)
    with releasing(mappings(weights.folder.glob("*.bin"))):  # `weights` holds the mappings
        fits = list(in_order((compare, name, match, checkpoint, task, weights.methods) for name, match in pairs))
    task.finish()
    coarse = sorted(fit.name for fit in fits if 0 < fit.coarse <= _COARSE)
    if coarse:
        found.warnings.append(
            f"Scale estimation gave single groups of {len(coarse)} weights scales far above their range, so that they are nearly "
            f"zero: {common.some(coarse)}"
        )
    common.judge(fits, _is_wrong, weights.lookalike, found)
    found.failures += stacks.misplaced(weights.matched)


def _is_wrong(fit: Fit) -> bool:
    return fit.over > 0 or (fit.corrected or 0) > 1 or fit.coarse > _COARSE
