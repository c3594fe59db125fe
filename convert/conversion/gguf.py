"""GGUF: a folder with file and manifest, or one file with its manifest beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ArtifactError
from ...core.manifest import MANIFEST_NAME, Manifest, sidecar
from ...core.progress import Progress
from ...core.staging import staged, staged_files
from .conflicts import Collector
from .format import Format
from .gguf_plan import SUFFIX, GgufJob, GgufPlan, check_place
from .smoke import Runner

if TYPE_CHECKING:
    from ..gguf.recipe import Recipe
    from ..program.task import Task
    from .gguf_prepare import Prepared
    from .source import OpenedSource

_IMPORTANCE = "imatrix"
PROJECTOR = "mmproj"


class Gguf(Format[GgufJob, "Prepared"]):
    """Implements `Format`."""

    name, title, hub_library = "gguf", "GGUF", "gguf"
    runner = Runner("cyllama", "llama.cpp (cyllama)", 1.5)
    shares_repository = True
    precedence = 2

    def require(self, config: dict[str, Any], names: Collection[str], sentence: Task | None = None) -> None:
        """Ask whether llama.cpp has the architecture."""
        from ..gguf.describe import describe_as_claimed

        describe_as_claimed(config, names, sentence)

    def holds(self, path: Path) -> bool:
        """Know files by their ending."""
        return path.suffix == SUFFIX if not path.is_dir() else any(path.glob(f"*{SUFFIX}"))

    def model(self, path: Path) -> Path:
        """Return a file as it is, and of a folder the only language model, by its first part."""
        from ..gguf.read import parts

        if not path.is_dir():
            return path
        whole = {parts(file)[0] for file in path.glob(f"*{SUFFIX}") if not file.name.startswith(PROJECTOR)}
        if len(whole) > 1:
            raise ArtifactError(
                f"{path} holds {len(whole)} GGUF models.", f"Name one: {', '.join(sorted(p.name for p in whole)[:3])}."
            )
        if not whole:
            raise ArtifactError(f"{path} has the GGUF of a projector alone.", "Put the language model beside it.")
        return whole.pop()

    def check_output(self, job: GgufJob) -> None:
        """A file of the user's name stands beside others in its folder."""
        if job.output is not None:
            check_place(job.output, [job.output.name], force=job.force)

    def prepare(
        self, job: GgufJob, opened: OpenedSource, collector: Collector, progress: Progress | None = None
    ) -> Prepared:
        """Lay the file out, byte by byte."""
        from .gguf_prepare import prepare

        return prepare(job, opened, collector, progress, self.runner)

    def variant(self, job: GgufJob) -> str:
        """llama.cpp's name of the mix of types."""
        return job.recipe.file_type

    def stage(self, ready: Prepared, job: GgufJob, progress: Progress) -> AbstractContextManager[Path]:
        """A single output is moved file by file."""
        stage = staged_files if ready.plan.single else staged
        return stage(ready.plan.output, force=job.force, progress=progress)

    def write(self, ready: Prepared, job: GgufJob, opened: OpenedSource, folder: Path, progress: Progress) -> Manifest:
        """Write the files."""
        from .gguf_write import convert

        return convert(ready, opened, folder, progress)

    def manifest_name(self, ready: Prepared) -> str:
        """A single file's manifest has its name."""
        return sidecar(ready.plan.output).name if ready.plan.single else MANIFEST_NAME

    def path(self, ready: Prepared) -> Path:
        """Of a split file the first part."""
        plan = ready.plan
        return plan.output.with_name(plan.files[0]) if plan.single else plan.output

    def loaded(self, manifest: Manifest, folder: Path) -> list[Path]:
        """The first file of the language model, and the mmproj."""
        files = sorted(name for name in manifest.outputs if name.endswith(SUFFIX))
        language = [folder / name for name in files if not name.startswith(f"{PROJECTOR}-")]
        projector = [folder / name for name in files if name.startswith(f"{PROJECTOR}-")]
        return [*language[:1], *projector[:1]]

    def published(self, job: GgufJob, open_headers: Callable[[], OpenedSource], planned: Any | None) -> tuple[str, ...]:
        """Name what the plan lays out."""
        if not isinstance(planned, GgufPlan):
            planned = self.prepare(job, open_headers(), Collector(stops=False)).plan
        return tuple(planned.files)

    def scheme(self, fields: Mapping[str, Any]) -> Recipe:
        """Return the recipe; an importance matrix is not part of it."""
        from ..gguf.recipe import Recipe

        own = {name: value for name, value in fields.items() if name != _IMPORTANCE}
        return Recipe(**{**own, "tensor_types": tuple(map(tuple, own.get("tensor_types", ())))})

    def describe(self, fields: Mapping[str, Any], weighed_by: str = "importance") -> str:
        """Name the importance matrix too."""
        matrix = fields.get(_IMPORTANCE)
        return self.scheme(fields).describe() + (f", {weighed_by} {matrix['file']}" if matrix else "")


GGUF = Gguf()
