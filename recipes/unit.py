"""A recipe's targets as independent units: each has its job, its output, and what its result is held to.

`edgeconv run` carries them out one after the other; a CI matrix takes one each (`--only`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..convert.conversion.jobs import AnyJob, Circumstances, job
from ..convert.options import OF_FORMAT, Options
from ..core.digest import sha256_file
from ..core.errors import UsageError
from ..core.option import declared, files_of, into, made, of
from ..core.paths import own_file
from ..study.calibration import OWN
from ..validate import budget
from ..validate.options import ValidateOptions
from ..validate.parity import Ask
from ..validate.suite import load
from .model import Recipe, Target


@dataclass(frozen=True)
class Consent:
    """What the person who runs a recipe admits by an option: a file cannot give itself powers.

    Attributes:
        trust_remote_code: Python code that comes with the checkpoint may run.
        allow_unvalidated: what nobody measured may be published; None: nothing is published, so it does not matter.
    """

    trust_remote_code: bool = False
    allow_unvalidated: bool | None = None


NO_CONSENT = Consent()


@dataclass(frozen=True)
class Unit:
    """One target.

    Attributes:
        name: RECIPE/TARGET.
        target: as the recipe has it.
        asked: what the command of the format would be asked for it.
        job: what the conversion is asked.
        output: folder of the artifact.
        suite: file of the texts to measure on; None: edgeconv's own.
        recipe: SHA-256 of the recipe's file.
    """

    name: str
    target: Target
    asked: Options
    job: AnyJob
    output: Path
    suite: Path | None
    recipe: str = ""

    @property
    def record(self) -> Path:
        """Where the resolved recipe of this unit is kept, beside the artifact."""
        return self.output.with_name(f"{self.output.name}.recipe.json")

    def conversion(self) -> dict[str, Any]:
        """Return what decides on the artifact: every option, defaults too, the source as it was named, its files by content.

        Raises:
            UsageError: a file cannot be read any more.
        """
        options = self.target.model_dump(mode="json", exclude=_BEHIND)
        made = {"name": self.name, "model": self.job.model, "revision": self.job.revision, "options": options}
        return made | ({"files": {name: self._digest(path) for name, path in self.files.items()}} if self.files else {})

    @property
    def files(self) -> dict[str, Path]:
        """Return the files that the artifact is made of beside the source, by the field of the target that names them."""
        return files_of(self.asked)

    def _digest(self, path: Path) -> str:
        try:
            return sha256_file(path)
        except OSError as error:
            raise UsageError(f"{self.name}: {path} cannot be read: {error.strerror}.", "Put it back.") from error

    def measurement(self) -> dict[str, Any]:
        """Return what decides on the verdict, beside the artifact; of a suite what it holds, for a name says nothing.

        Raises:
            UsageError: the suite cannot be read.
        """
        stated = self.target.model_dump(mode="json", include=set(MEASURED))
        return stated | ({"suite_sha256": load(self.suite).digest} if self.suite else {})

    def ask(self) -> Ask:
        """Return what the validator is asked."""
        stated = {name: getattr(self.target, name) for name in MEASURED}
        asked = made(ValidateOptions, stated | {"artifact": self.output, "suite": self.suite})
        return Ask(**into(asked, Ask), budgets=asked.budget, recipe=self.recipe)


MEASURED = tuple(of(ValidateOptions, "own"))
"""Fields of a target that say how it is measured, and against what."""
_BEHIND = {"output", "smoke_test", "parity", "junit", "publish", *MEASURED}
"""Fields of a target that do not change the artifact."""


def units(
    recipe: Recipe,
    path: Path,
    out: Path,
    *,
    only: Sequence[str] = (),
    model: str | None = None,
    local_files_only: bool = False,
    files: Path | None = None,
    consent: Consent = NO_CONSENT,
) -> list[Unit]:
    """Resolve a recipe's targets, and refuse what cannot work before anything is fetched.

    Args:
        recipe: as loaded.
        path: its file, beside which its own files lie (suite, calibration text, importance matrix).
        out: folder for all results.
        only: names of the targets to take; empty: all.
        model: a folder or an id in the place of the recipe's source.
        local_files_only: ask the Hub nothing.
        files: folder of the recipe's own files; None: the one that it lies in.
        consent: what the person who runs it admits.

    Raises:
        UsageError: an unknown target, contradictory options, a budget on no figure, a file that is absent or lies outside of the
            folder, a power that nobody gave it.
    """
    for name in only:
        if name not in recipe.targets:
            raise UsageError(f"{path} has no target {name}.", f"It has {', '.join(recipe.targets)}.")
    chosen = [name for name in recipe.targets if not only or name in only]
    _require_consent(recipe, chosen, path, consent)
    digest = sha256_file(path)
    beside = files or path.parent
    found = [
        replace(_unit(recipe, name, beside, out, model, local_files_only=local_files_only), recipe=digest)
        for name in chosen
    ]
    outputs = [unit.output.resolve() for unit in found]
    for unit, output in zip(found, outputs, strict=True):
        if outputs.count(output) > 1:
            raise UsageError(f"{unit.name}: another target has the output {unit.output} too.", "Name another output.")
    return found


def _unit(recipe: Recipe, name: str, beside: Path, out: Path, model: str | None, *, local_files_only: bool) -> Unit:
    target = recipe.targets[name]
    where = f"{recipe.name}/{name}"
    output = _inside(out, target.output or f"{recipe.name}-{name}", where)
    try:
        asked = _asked(recipe, target, beside, output, model, local_files_only=local_files_only)
        found = job(asked, Circumstances(OWN, target.smoke_test, keeps_digests=True))
        _check_parity(target, found)
        suite = _file(beside, target.suite) if target.suite else None
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", error.hint) from error
    return Unit(where, target, asked, found, output, suite)


def _require_consent(recipe: Recipe, chosen: list[str], path: Path, consent: Consent) -> None:
    if recipe.source.trust_remote_code and not consent.trust_remote_code:
        raise UsageError(
            f"{path} asks to run Python code that comes with the checkpoint (trust_remote_code), and you did not allow it.",
            "Read that code, then run the recipe with --trust-remote-code; or take the line out.",
        )
    if consent.allow_unvalidated is not False:
        return
    for name in chosen:
        to = recipe.targets[name].publish
        if to and to.allow_unvalidated:
            raise UsageError(
                f"{path} asks to publish {name} though nobody measures it (allow_unvalidated), and you did not allow it.",
                "Run it with --allow-unvalidated, or take the line out.",
            )


def _inside(out: Path, named: str, where: str) -> Path:
    """Refuse an output that is not below the run's folder: recipes are passed around."""
    parts = PurePosixPath(named).parts
    if not parts or PurePosixPath(named).is_absolute() or ".." in parts or "\0" in named:
        raise UsageError(
            f"{where}: its output {named!r} is not in the folder of the run.",
            "Name a folder below it; --output moves all.",
        )
    return out / named


def _check_parity(target: Target, made: AnyJob) -> None:
    budget.check(target.budget)
    if target.parity and made.unmeasured:
        raise UsageError(made.unmeasured, "Its weights are the same; or say parity: false.")
    given = [name for name in (*MEASURED, "junit") if name in target.model_fields_set]
    if not target.parity and given:
        raise UsageError(f"{', '.join(given)} without parity measures nothing.", "Leave parity: false out.")
    if not target.parity and target.publish and not target.publish.allow_unvalidated:
        raise UsageError(
            "what is not measured cannot be published.", "Leave parity: false out, or say allow_unvalidated: true."
        )


def _asked(
    recipe: Recipe, target: Target, beside: Path, output: Path, model: str | None, *, local_files_only: bool
) -> Options:
    """Put target and source together, into what the command of the format would have been asked."""
    kind = OF_FORMAT[target.format]
    given = {name: getattr(target, name) for name in of(kind, "own")}
    given |= {name: getattr(recipe.source, name) for name in of(kind, "source")}
    if model:
        given |= {"model": model, "revision": None}
    for name, one in declared(kind).items():
        if one.option.file and given[name] is not None and given[name] not in one.option.words:
            given[name] = _file(beside, given[name])
    return made(kind, given | {"output": output, "local_files_only": local_files_only})


def _file(beside: Path, name: str) -> Path:
    hint = "Files of a recipe lie in its folder; `edgeconv run --files DIR` says that they lie in another."
    return own_file(beside, name, UsageError, whose="the recipe", hint=hint, absolute=True)
