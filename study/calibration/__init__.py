"""What a conversion learns from a text: an importance matrix for GGUF, samples for data-aware compression of an IR."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...convert.checkpoint import Checkpoint
    from ...convert.gguf.imatrix import ImportanceFile
    from ...convert.openvino.choose import Choice
    from ...convert.openvino.data_aware import Calibration
    from ...core.manifest import FileDigest
    from ...core.progress import Progress
    from ...quantize.scheme import Scheme


class _Calibrator:
    """The project's own `convert.conversion.calibrator.Calibrator`; torch comes with the first call."""

    def importance(self, text: Path, checkpoint: Checkpoint, progress: Progress | None) -> ImportanceFile:
        from . import gguf

        return gguf.of_text(text, checkpoint, progress)

    def samples(self, text: str, scheme: Scheme, checkpoint: Checkpoint, choice: Choice) -> Calibration:
        from . import openvino

        return openvino.samples(text, scheme, checkpoint, choice)

    def of_weights(
        self,
        calibration: Calibration,
        checkpoint: Checkpoint,
        choice: Choice,
        files: Mapping[str, FileDigest],
        progress: Progress,
    ) -> Calibration:
        from . import openvino

        return openvino.of_weights(calibration, checkpoint, choice, files, progress)


OWN = _Calibrator()
