"""What a conversion asks of whoever runs the model over a text: `study.calibration`, which converting never imports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...core.errors import UsageError
from ...core.manifest import CalibrationFacts, FileDigest
from ...core.progress import Progress
from ...quantize.scheme import Scheme

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..gguf.imatrix import ImportanceFile
    from ..openvino.choose import Choice
    from ..openvino.data_aware import Calibration

TEXTS = (".txt", ".md", ".jsonl", ".yaml", ".yml")
"""Endings of files that are taken for text, or for chats."""
CHUNK = 512
"""Tokens of a piece of text for an importance matrix, as llama-imatrix takes by default."""
_BASE, _LAYER, _COPIES, _TEXT = 640_000_000, 6_000_000, 3.0, 8
"""Bytes that anonymous memory needs: NNCF, torch and transformers; a layer's nodes; float32 copies of all weights, which OpenVINO
makes when it compiles the graph that is measured; float32 activations of all samples, which GPTQ keeps from layer to layer.

Measured beside mapped files: 706 MB for the built-in model (forecast: 746), 2,497 for SmolLM2-135M (2,434; with statistics that
are kept from an earlier run 1,200 to 2,100). The forecast is that of a first run.
"""


class Calibrator(Protocol):
    """Reads texts, and runs the checkpoint over them."""

    def importance(self, text: Path, checkpoint: Checkpoint, progress: Progress | None) -> ImportanceFile:
        """Compute an importance matrix; `progress` None: for a plan, which needs to know only for which tensors.

        Raises:
            UsageError: the text cannot be read, is too short, or is in part what the validator measures on.
        """
        ...

    def samples(self, text: str, scheme: Scheme, checkpoint: Checkpoint, choice: Choice) -> Calibration:
        """Cut a text into samples; of the checkpoint only the tokenizer is needed.

        Raises:
            UsageError: as above, or it has pictures and the model sees none.
        """
        ...

    def of_weights(
        self,
        calibration: Calibration,
        checkpoint: Checkpoint,
        choice: Choice,
        files: Mapping[str, FileDigest],
        progress: Progress,
    ) -> Calibration:
        """Bind samples to the weights they are for."""
        ...


def require(calibrator: Calibrator | None) -> Calibrator:
    """Return it.

    Raises:
        UsageError: the job came without one.
    """
    if calibrator is None:
        raise UsageError("This job has a text and no calibrator.", "Pass calibrator=edgeconv.study.calibration.OWN.")
    return calibrator


def facts(calibration: Calibration | None) -> CalibrationFacts | None:
    """Return what the manifest says of samples."""
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
