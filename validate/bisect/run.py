"""The bisection: run the artifact once and see inside, then go through the reference layer by layer."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ...core.errors import UsageError
from ...core.progress import Progress, Silent
from ...runtimes.inner import Inner
from .. import gelu_table, self_check
from ..checks.weights import Findings
from ..formats import Artifact, Weights
from ..module_weights import Tensors, checkpoint_tensors
from ..parity import Ask
from ..reference import LayeredReference
from ..suite import encode, load, require
from ..target import ValidationTarget, open_pair
from ..tokenizer import open_tokenizer
from . import halves
from .judge import judge, sentence
from .measure import Measured, Sides, measure
from .model import Bisection

TOKENS = 384
"""What is run if nothing else is asked: an error in an operation shows in each of its tokens."""
WINDOW = 128
"""Tokens of one text: positions enough for a wrong rotary embedding to show."""
LONGEST = 512
"""The same where more tokens are asked for; llama.cpp computes as many at once."""


def bisect(ask: Ask, progress: Progress | None = None) -> Bisection:
    """Find the first operation that departs.

    Raises:
        ArtifactError: the folder is not an artifact or not one of this reference, or its graph has another form than a decoder's.
        ConversionError: the reference cannot be run layer by layer.
        UsageError: as `parity.validate`.
    """
    progress = progress or Silent()
    if ask.reference_dtype != "float32":
        raise UsageError("A bisection compares in float32.", "Leave --reference-dtype out.")
    suite = load(ask.suite)
    pair = open_pair(ask.artifact, ask.reference, progress)
    artifact, folder = pair.artifact, pair.checkpoint.folder
    artifact.require_device(ask.device)
    if pair.encoder is not None:
        raise UsageError(
            "--bisect runs models that make text; this one is an encoder.", "Validate it without --bisect."
        )
    self_check.require(folder, progress)
    documents = texts(encode(suite, open_tokenizer(folder, parts=pair.parts), window=_window(ask)), ask.max_tokens)
    weights = artifact.weights(pair.checkpoint)
    found = Findings()
    artifact.compare(pair.checkpoint, weights, found, progress)
    model = LayeredReference(folder, checkpoint_tensors(pair.checkpoint), "float32")
    name, inner = _inside(artifact, ask.device, model.depth, documents, progress)
    bits = halves.FLOAT16 if all(one.single for one in inner) else halves.BFLOAT16
    own = _own(weights, checkpoint_tensors(pair.checkpoint))
    sides = Sides(model, own, documents, getattr(weights, "frequencies", None), bits)
    operations = judge(_measured(pair, weights, sides, inner, progress), found.wrong)
    pair.require_unchanged()
    first = next((one for one in operations if one.departs), None)
    return Bisection(
        verdict="departs" if first else "sound",
        sentence=sentence(operations),
        first=first,
        artifact=artifact.path.resolve().name,
        stored_as=artifact.mode,
        reference=pair.reference_name,
        runtime=name,
        texts=len(documents),
        tokens=sum(map(len, documents)),
        operations=operations,
    )


def _window(ask: Ask) -> int:
    return LONGEST if ask.max_tokens and ask.max_tokens > TOKENS else WINDOW


def texts(windows: Sequence[Any], asked: int | None) -> list[list[int]]:
    """Choose windows that stand evenly spread over the suite.

    Args:
        windows: all of the suite (`EncodedDocument`).
        asked: tokens; None: TOKENS, or fewer where the suite has fewer.

    Raises:
        UsageError: the suite has fewer than were asked for.
    """
    wanted = asked or TOKENS
    if asked:
        require(windows, asked)
    size = max(len(window.ids) for window in windows)
    whole = [window.ids for window in windows if len(window.ids) > size // 2]
    if sum(map(len, whole)) < wanted:
        whole = [window.ids for window in windows]
    count = min(len(whole), -(-wanted // (size // 2)))
    if count * (size // 2) < wanted:
        count = len(whole)
    chosen: list[list[int]] = []
    for number in range(count):
        left = wanted - sum(map(len, chosen))
        if left > 0:
            chosen.append(list(whole[number * len(whole) // count][:left]))
    return chosen


def _inside(
    artifact: Artifact, device: str, layers: int, documents: Sequence[Sequence[int]], progress: Progress
) -> tuple[str, list[Inner]]:
    """Run the artifact; it is closed again before the reference is loaded."""
    task = progress.task("Looking into the artifact", len(documents))
    made = []
    with contextlib.closing(artifact.inner(device, layers, progress)) as runtime:
        for ids in documents:
            made.append(runtime.layer_outputs(ids))
            task.advance(1)
        name = runtime.name
    task.finish()
    return name, made


def _measured(
    pair: ValidationTarget, weights: Weights, sides: Sides, inner: Sequence[Inner], progress: Progress
) -> list[Measured]:
    task = progress.task("Running the reference layer by layer", sides.model.depth)
    looks_up = bool(getattr(weights, "gelu_table", False))
    found = list(measure(sides, inner, task, pair.release, gelu_table.looking_up if looks_up else None))
    task.finish()
    return found


def _own(weights: Weights, source: Tensors) -> Tensors:
    """Give a weight as the artifact holds it; one that it folded away, as the checkpoint does."""
    import torch

    def get(name: str) -> Any:
        return torch.from_numpy(weights.tensor(name)) if name in weights.matched else source(name)

    return get
