"""`--calibration`: the text of a job as samples for its graph."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from ..convert.openvino.choose import Choice
from ..convert.openvino.data_aware import Calibration
from ..core.errors import UsageError
from ..core.manifest import CalibrationFacts, FileDigest
from ..core.progress import Progress
from ..quantize.scheme import Scheme
from .calibration_pictures import embedder, of_file

if TYPE_CHECKING:
    from ..convert.checkpoint import Checkpoint

_BASE, _LAYER, _COPIES, _TEXT = 640_000_000, 6_000_000, 3.0, 8
"""Bytes that anonymous memory needs: NNCF, torch and transformers; a layer's nodes; float32 copies of all weights, which OpenVINO
makes when it compiles the graph that is measured; float32 activations of all samples, which GPTQ keeps from layer to layer.

Measured beside mapped files: 706 MB for the built-in model (forecast: 746), 2,497 for SmolLM2-135M (2,434; with statistics that
are kept from an earlier run 1,200 to 2,100). The forecast is that of a first run.
"""
SAMPLE = 256
"""Tokens of a sample. NNCF averages over a sample's tokens: many short samples tell it more than a few long ones."""


def read(calibration: str | None, scheme: Scheme, checkpoint: Checkpoint, choice: Choice) -> Calibration | None:
    """Read a scheme's text and cut it into samples, or return None; of the checkpoint only the tokenizer is needed.

    Raises:
        UsageError: it cannot be read, is too short, is in part what the validator measures on, or the model has no graph for it.
    """
    if calibration is None or scheme.calibration is None or scheme.num_samples is None:
        return None
    if choice.several:
        raise UsageError(
            "--calibration is for text models and GLM-Edge-V; the parts of this model are traced one by one.",
            "Compress it without data.",
        )
    from ..validate.calibration import pieces, require_long, spread, text_of
    from ..validate.rungs import pixels
    from ..validate.suite import Suite
    from ..validate.tokenizer import open_tokenizer

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
    samples = spread(
        [*zip(shown, pictures.values(), strict=True), *((piece, None) for piece in cut)], scheme.num_samples
    )
    seen = {place: picture for place, (_, picture) in enumerate(samples) if picture}
    digest = " ".join([text.digest, *(picture.sha256 for picture in pictures.values())])
    return Calibration(
        scheme.calibration,
        hashlib.sha256(digest.encode()).hexdigest() if pictures else text.digest,
        [ids for ids, _ in samples],
        seen,
    )


def facts(calibration: Calibration | None) -> CalibrationFacts | None:
    """Return what the manifest says of it."""
    if calibration is None:
        return None
    return CalibrationFacts(
        name=calibration.name,
        sha256=calibration.digest,
        samples=len(calibration.documents),
        tokens=sum(map(len, calibration.documents)),
        pictures=len(calibration.pictures),
    )


def memory_bytes(calibration: Calibration | None, scheme: Scheme, checkpoint: Checkpoint) -> int:
    """Forecast the peak of anonymous memory, which grows with the model: the graph is run in float32 while it is measured."""
    if calibration is None:
        return 0
    config = checkpoint.config.get("text_config") or checkpoint.config
    hidden, layers = (int(config.get(key) or 0) for key in ("hidden_size", "num_hidden_layers"))
    kept = _TEXT * 4 * hidden * sum(map(len, calibration.documents)) if scheme.gptq else 0
    return int(_BASE + layers * _LAYER + _COPIES * 4 * checkpoint.parameters + kept)


def of_weights(
    calibration: Calibration | None,
    checkpoint: Checkpoint,
    choice: Choice,
    files: dict[str, FileDigest],
    progress: Progress,
) -> Calibration | None:
    """Bind a calibration to the weights it is for.

    By their digests statistics that are kept can be told apart; a model that sees begins at the embeddings, which they give.
    """
    if calibration is None:
        return None
    names = sorted({"config.json", *checkpoint.shards} & set(files))
    embed = embedder(calibration, checkpoint, choice.vision.boi_token_id, progress) if choice.vision else None
    return replace(calibration, weights=" ".join(files[name].sha256 for name in names), embed=embed)
