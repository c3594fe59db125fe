"""What a format is to everything above it: one value of this class each, in one registry (`formats`).

Nothing else asks which format it has before it: a job names its own, a manifest too, and what they differ in stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from ...core.manifest import MANIFEST_NAME, Manifest
from ...core.progress import Progress
from ...core.staging import check_output, staged
from .smoke import Runner

if TYPE_CHECKING:
    from ...quantize.scheme import Scheme
    from ..gguf.recipe import Recipe
    from ..program.task import Task
    from .artifact import Planned
    from .conflicts import Collector
    from .source import OpenedSource

PlanT = TypeVar("PlanT", bound="Planned")
PlanT_co = TypeVar("PlanT_co", bound="Planned", covariant=True)
JobT = TypeVar("JobT", bound="BaseJob[Any]")
PreparedT = TypeVar("PreparedT", bound="Prepared")


class BaseJob(Generic[PlanT_co]):
    """What every job has: a format by name, a source, an output. It becomes a `PlanT_co`."""

    format: ClassVar[str]

    @property
    def unmeasured(self) -> str:
        """Why the parity of a result cannot be measured; empty if it can."""
        return ""

    if TYPE_CHECKING:  # a dataclass would take a property of its base for a field's default

        @property
        def model(self) -> str:
            """A Hub id, a folder or a GGUF."""

        @property
        def revision(self) -> str | None:
            """Of the Hub's repository."""

        @property
        def output(self) -> Path | None:
            """None: a folder named after the model."""

        @property
        def force(self) -> bool:
            """Replace what is there."""

        @property
        def local_files_only(self) -> bool:
            """Ask the Hub nothing."""

        @property
        def keeps_digests(self) -> bool:
            """A folder's files that were hashed before, and have not changed since, are not hashed again."""

        @property
        def smoke_test(self) -> bool | None:
            """Let the runtime make a token of the result; None: as the environment says, else yes."""


class Prepared(Protocol):
    """A plan, and whatever else carrying it out needs."""

    @property
    def plan(self) -> Planned:
        """The plan."""


class Format(ABC, Generic[JobT, PreparedT]):
    """One format.

    Attributes:
        name: as commands, recipes and manifests have it.
        title: for people.
        hub_library: as the Hub's model cards name it (`library_name`).
        runner: what the smoke test loads a result in.
        runs_code: converting may run Python code that comes with the checkpoint, if the user consents; else it never does, and
            needs no consent.
        precedence: where a folder holds models of several formats, that of the lowest number is taken.
        shares_repository: artifacts of several schemes of one source may lie in one repository, as llama.cpp's tools expect.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    hub_library: ClassVar[str]
    runner: ClassVar[Runner]
    runs_code: ClassVar[bool] = False
    precedence: ClassVar[int]
    shares_repository: ClassVar[bool] = False

    @abstractmethod
    def require(self, config: dict[str, Any], names: Collection[str], sentence: Task | None = None) -> None:
        """Check that the format can express a checkpoint.

        Args:
            config: its config.json.
            names: of its tensors.
            sentence: what the files of sentence-transformers beside it say, if there are any.

        Raises:
            CheckpointError: it cannot.
        """

    @abstractmethod
    def holds(self, path: Path) -> bool:
        """Tell whether a path is, or has, a model of this format, by the names of files."""

    def model(self, path: Path) -> Path:
        """Return the model that a path holds: a folder, or a file.

        Raises:
            ArtifactError: it has several, of which one must be named, or not the whole of one.
        """
        return path

    @abstractmethod
    def prepare(
        self, job: JobT, opened: OpenedSource, collector: Collector, progress: Progress | None = None
    ) -> PreparedT:
        """Plan a conversion; no weight is read, unless a job has a text to calibrate on and there is a `progress`.

        Raises:
            EdgeconvError: any of the family; what the collector holds is in the plan.
        """

    @abstractmethod
    def write(self, ready: PreparedT, job: JobT, opened: OpenedSource, folder: Path, progress: Progress) -> Manifest:
        """Write all files of a plan into a staging folder, and return the manifest that describes them."""

    @abstractmethod
    def published(self, job: JobT, open_headers: Callable[[], OpenedSource], planned: Any | None) -> tuple[str, ...]:
        """Return the names of a result's files on the Hub; of graphs also those of a model of another kind.

        Args:
            job: of the conversion.
            open_headers: opens the source, if that is needed.
            planned: the job's plan, if there is one already.

        Raises:
            EdgeconvError: any of the family: the source cannot be opened, or not be converted.
        """

    def variant(self, job: JobT) -> str:
        """Return what tells a result from others of its source in one repository, where `shares_repository`."""
        return ""

    def consents(self, job: JobT) -> bool:
        """Tell whether the user lets the checkpoint's own code run."""
        return False

    def check_output(self, job: JobT) -> None:
        """Refuse an output that cannot be written, before anything is fetched. Raises OutputError."""
        if job.output is not None:
            check_output(job.output, force=job.force)

    def stage(self, ready: PreparedT, job: JobT, progress: Progress) -> AbstractContextManager[Path]:
        """Return the folder that becomes the output when all is written."""
        return staged(ready.plan.output, force=job.force, progress=progress)

    def manifest_name(self, ready: PreparedT) -> str:
        """Return what the manifest is called."""
        return MANIFEST_NAME

    def path(self, ready: PreparedT) -> Path:
        """Return where the finished artifact lies."""
        return ready.plan.output

    def loaded(self, manifest: Manifest, folder: Path) -> list[Path]:
        """Return what the smoke test opens."""
        return [folder]

    def scheme(self, fields: Mapping[str, Any]) -> Scheme | Recipe:
        """Return a manifest's scheme as the value that it was written from. Raises TypeError for fields that are unknown."""
        from ...quantize.scheme import Scheme

        return Scheme(**fields)

    def describe(self, fields: Mapping[str, Any], weighed_by: str = "importance") -> str:
        """Put a manifest's scheme into a line; raises as `scheme`. `weighed_by` stands before an importance matrix's name."""
        return self.scheme(fields).describe()
