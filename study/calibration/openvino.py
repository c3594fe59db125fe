"""`--calibration`: the text of a job as samples for its graph."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ...convert.families.glm_edge_v import GlmEdgeVision
from ...convert.openvino.choose import Choice
from ...convert.openvino.data_aware import Calibration
from ...core.errors import UsageError
from ...core.manifest import FileDigest
from ...core.progress import Progress
from ...quantize.scheme import Scheme
from .pictures import embedder, of_file

if TYPE_CHECKING:
    from ...convert.checkpoint import Checkpoint

SAMPLE = 256
"""Tokens of a sample. NNCF averages over a sample's tokens: many short samples tell it more than a few long ones."""


def samples(calibration: str, scheme: Scheme, checkpoint: Checkpoint, choice: Choice) -> Calibration:
    """Read a scheme's text and cut it into samples; of the checkpoint only the tokenizer is needed.

    Raises:
        UsageError: it cannot be read, is too short, is in part what the validator measures on, or the model has no graph for it.
    """
    if scheme.calibration is None or scheme.num_samples is None:
        raise UsageError("This scheme takes no calibration text.")
    if choice.vision and not isinstance(choice.vision, GlmEdgeVision):
        raise UsageError(
            "--calibration is for text models and GLM-Edge-V; of another model with pictures no samples are made yet.",
            "Compress it without data.",
        )
    from ...validate.checks import pixels
    from ...validate.suite import Suite
    from ...validate.tokenizer import open_tokenizer
    from .texts import pieces, require_long, spread, text_of

    text = text_of(calibration)
    pictures = of_file(calibration)
    if pictures and choice.vision is None:
        raise UsageError(f"{calibration} has pictures, and {checkpoint.name} sees none.", "Leave their lines out.")
    shown = pixels.prompts(checkpoint.folder, list(pictures.values())) if pictures else []
    lines = {f"{text.name}/{number}" for number in pictures}
    rest = Suite(name=text.name, documents=tuple(d for d in text.documents if d.name not in lines), prompts=())
    tokenizer = open_tokenizer(checkpoint.folder, parts=choice.vision is not None)
    cut = pieces(rest, tokenizer, SAMPLE) if rest.documents else []
    require_long([*shown, *cut], calibration, "calibration")
    taken = spread([*zip(shown, pictures.values(), strict=True), *((piece, None) for piece in cut)], scheme.num_samples)
    seen = {place: picture for place, (_, picture) in enumerate(taken) if picture}
    digest = " ".join([text.digest, *(picture.sha256 for picture in pictures.values())])
    return Calibration(
        scheme.calibration,
        hashlib.sha256(digest.encode()).hexdigest() if pictures else text.digest,
        [ids for ids, _ in taken],
        seen,
    )


def of_weights(
    calibration: Calibration,
    checkpoint: Checkpoint,
    choice: Choice,
    files: Mapping[str, FileDigest],
    progress: Progress,
) -> Calibration:
    """Bind a calibration to the weights it is for.

    By their digests statistics that are kept can be told apart; of a vision-language model they give the embeddings.
    """
    names = sorted({"config.json", *checkpoint.shards} & set(files))
    embed = embedder(calibration, checkpoint, choice.vision.placeholder, progress) if choice.vision else None
    return replace(calibration, weights=" ".join(files[name].sha256 for name in names), embed=embed)
