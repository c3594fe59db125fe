"""OpenVINO: a folder with IRs, tokenizer and configs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.manifest import Manifest
from ...core.progress import Progress
from .format import Format
from .openvino_plan import Job
from .smoke import Runner

if TYPE_CHECKING:
    from ..program.task import Task
    from .conflicts import Collector
    from .openvino_prepare import Prepared
    from .source import OpenedSource


class OpenVINO(Format[Job, "Prepared"]):
    """Implements `Format`."""

    name, title, hub_library = "openvino", "OpenVINO IR", "openvino"
    runner = Runner("openvino_genai", "openvino-genai", 2.0)
    runs_code = True
    precedence = 1

    def require(self, config: dict[str, Any], names: Collection[str], sentence: Task | None = None) -> None:
        """Ask both engines."""
        from ..openvino.choose import chosen

        chosen(config, names=names, sentence=sentence)

    def holds(self, path: Path) -> bool:
        """Know a folder by the graph that generates."""
        from ..openvino.stream_ir import LANGUAGE, TEXT

        return any((path / f"{name}.xml").is_file() for name in (TEXT, LANGUAGE))

    def consents(self, job: Job) -> bool:
        """Tokenizers and configs of a checkpoint may need its code."""
        return job.trust_remote_code

    def prepare(
        self, job: Job, opened: OpenedSource, collector: Collector, progress: Progress | None = None
    ) -> Prepared:
        """Choose engine and schemes."""
        from .openvino_prepare import prepare

        return prepare(job, opened, collector, self.runner)

    def write(self, ready: Prepared, job: Job, opened: OpenedSource, folder: Path, progress: Progress) -> Manifest:
        """Write graphs and tokenizers."""
        from .openvino_write import convert

        return convert(ready, job, opened, folder, progress)

    def published(self, job: Job, open_headers: Callable[[], OpenedSource], planned: Any | None) -> tuple[str, ...]:
        """Name graphs, configs, and what is copied."""
        from ..openvino.stream_ir import LANGUAGE, TEXT, TEXT_EMBEDDINGS, VISION_EMBEDDINGS
        from ..openvino.tokenizer import FILES
        from .small_files import names

        models = (*(f"{name}.xml" for name in (TEXT, LANGUAGE, TEXT_EMBEDDINGS, VISION_EMBEDDINGS)), *FILES)
        weights = (f"{name.removesuffix('.xml')}.bin" for name in models)
        return (*names(open_headers().checkpoint.folder), *models, *weights, "openvino_config.json")


OPENVINO = OpenVINO()
