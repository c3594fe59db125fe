"""ONNX: a folder with models for onnxruntime, tokenizer and configs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.manifest import Manifest
from ...core.progress import Progress
from .format import Format
from .onnx_plan import OnnxJob
from .smoke import Runner

if TYPE_CHECKING:
    from ..program.task import Task
    from .conflicts import Collector
    from .onnx_prepare import Prepared
    from .source import OpenedSource


class Onnx(Format[OnnxJob, "Prepared"]):
    """Implements `Format`."""

    name, title, hub_library = "onnx", "ONNX", "onnx"
    runner = Runner("onnxruntime", "onnxruntime", 3.0)
    precedence = 0

    def require(self, config: dict[str, Any], names: Collection[str], sentence: Task | None = None) -> None:
        """Ask both engines."""
        from ..onnx.choose import chosen

        chosen(config, names, sentence=sentence)

    def holds(self, path: Path) -> bool:
        """Know a folder by the model that generates."""
        from ..onnx.names import MODEL, VISION_EMBEDDINGS, VISION_PARTS

        model = f"{VISION_PARTS[0]}.onnx" if (path / f"{VISION_EMBEDDINGS}.onnx").is_file() else MODEL
        return (path / model).is_file()

    def prepare(
        self, job: OnnxJob, opened: OpenedSource, collector: Collector, progress: Progress | None = None
    ) -> Prepared:
        """Choose engine and schemes."""
        from .onnx_prepare import prepare

        return prepare(job, opened, collector, self.runner)

    def write(self, ready: Prepared, job: OnnxJob, opened: OpenedSource, folder: Path, progress: Progress) -> Manifest:
        """Write models and tokenizer files."""
        from .onnx_write import convert

        return convert(ready, opened, folder, progress)

    def published(self, job: OnnxJob, open_headers: Callable[[], OpenedSource], planned: Any | None) -> tuple[str, ...]:
        """Name models, configs, and what is copied."""
        from ..onnx.names import GENAI, TEXT, VISION_PARTS
        from .small_files import names

        models = tuple(f"{name}.onnx" for name in (TEXT, *VISION_PARTS))
        return (*names(open_headers().checkpoint.folder), *models, *(f"{name}_data" for name in models), GENAI)


ONNX = Onnx()
