"""A tiny vision-language model, an artifact of it, and the checks of pictures alone, on two pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgeconv.convert.conversion import Job, OnnxJob, run
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request
from edgeconv.validate.passes import TorchPasses
from edgeconv.validate.suite import load
from edgeconv.validate.target import open_pair
from edgeconv.validate.tokenizer import open_tokenizer
from edgeconv.validate.vision_checks import VisionChecks, VisionScores

from ..models import tiny_vlm

JOBS: dict[str, Any] = {"openvino": Job, "onnx": OnnxJob}
PICTURES = [one for one in load().pictures if one.name in ("shapes-wide", "shapes-tall")]


@dataclasses.dataclass(frozen=True)
class Sound:
    """A tiny checkpoint and an artifact of it."""

    kind: str
    model: Path
    artifact: Path

    def look(self, artifact: Path | None = None) -> VisionScores:
        """Run the checks of pictures."""
        pair = open_pair(artifact or self.artifact, str(self.model), Silent())
        weights = pair.artifact.weights(pair.checkpoint)
        passes = TorchPasses(pair, weights, open_tokenizer(pair.checkpoint.folder, parts=True), Silent())
        opened: Any = pair.artifact
        return VisionChecks(opened, PICTURES, passes, "CPU", Silent()).look(noise=0.1)


def converted(kind: str, form: str, folder: Path) -> Sound:
    """Make a checkpoint, and convert it."""
    model = tiny_vlm.make(kind, folder / "model")
    return Sound(kind, model, run(JOBS[form](str(model), Request("int8"), output=folder / "out")).path)


def structure(sound: Sound) -> Any:
    """Check 0 of it."""
    pair = open_pair(sound.artifact, str(sound.model), Silent())
    return pair.artifact.structure(pair.checkpoint, pair.artifact.weights(pair.checkpoint), Silent())


def failed(scores: VisionScores) -> set[str]:
    return {check.name for check in scores.checks if check.status == "failed"}


def apart(scores: VisionScores) -> float:
    """The largest difference of two logits behind pictures from the artifact's own weights."""
    return max(float(part.max()) for one in scores.conversion for part in one.max_abs)
