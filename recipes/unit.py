"""A recipe's targets as independent units: each has its job, its output, and what its result is held to.

`edgeconv run` carries them out one after the other; a CI matrix takes one each (`--only`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..convert.conversion import GgufJob, Job, OnnxJob
from ..convert.gguf.recipe import recipe as gguf_recipe
from ..core.digest import sha256_file
from ..core.errors import UsageError
from ..core.paths import own_file
from ..quantize.data_aware import FIELDS, SUITE
from ..quantize.scheme import Request
from ..study.calibration import OWN
from ..validate import budget
from ..validate.parity import Ask
from ..validate.suite import load
from .model import Gguf, Onnx, OpenVINO, Recipe, Target
from .options import byte_count, tensor_type


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
        job: what the pipeline is asked.
        output: folder of the artifact.
        suite: file of the texts to measure on; None: edgeconv's own.
        recipe: SHA-256 of the recipe's file.
    """

    name: str
    target: Target
    job: Job | GgufJob | OnnxJob
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
        if isinstance(self.job, GgufJob):
            return {"imatrix": self.job.imatrix} if self.job.imatrix else {}
        text = self.job.request.calibration
        return {"calibration": Path(text)} if text not in (None, SUITE) else {}

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
        target = self.target
        return Ask(
            self.output,
            suite=self.suite,
            recipe=self.recipe,
            budgets=target.budget,
            max_tokens=target.max_tokens,
            reference_dtype=target.reference_dtype,
            device=target.device,
            quick=target.quick,
            strict=target.strict,
        )


MEASURED = ("budget", "suite", "max_tokens", "quick", "strict", "reference_dtype", "device")
"""Fields of a target that say how it is measured, and against what."""
_BEHIND = {"output", "smoke_test", "parity", "junit", "publish", *MEASURED}
"""Fields of a target that do not change the artifact."""


def units(
    recipe: Recipe,
    path: Path,
    out: Path,
    *,
    only: list[str] | None = None,
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
        only: names of the targets to take; None: all.
        model: a folder or an id in the place of the recipe's source.
        local_files_only: ask the Hub nothing.
        files: folder of the recipe's own files; None: the one that it lies in.
        consent: what the person who runs it admits.

    Raises:
        UsageError: an unknown target, contradictory options, a budget on no figure, a file that is absent or lies outside of the
            folder, a power that nobody gave it.
    """
    for name in only or []:
        if name not in recipe.targets:
            raise UsageError(f"{path} has no target {name}.", f"It has {', '.join(recipe.targets)}.")
    chosen = [name for name in recipe.targets if not only or name in only]
    _require_consent(recipe, chosen, path, consent)
    digest = sha256_file(path)
    made = [replace(_unit(recipe, name, files or path.parent, out, model), recipe=digest) for name in chosen]
    found = [
        replace(
            u,
            job=replace(u.job, local_files_only=local_files_only, keeps_digests=True, smoke_test=u.target.smoke_test),
        )
        for u in made
    ]
    outputs = [unit.output.resolve() for unit in found]
    for unit, output in zip(found, outputs, strict=True):
        if outputs.count(output) > 1:
            raise UsageError(f"{unit.name}: another target has the output {unit.output} too.", "Name another output.")
    return found


def _unit(recipe: Recipe, name: str, beside: Path, out: Path, model: str | None) -> Unit:
    target = recipe.targets[name]
    where = f"{recipe.name}/{name}"
    output = _inside(out, target.output or f"{recipe.name}-{name}", where)
    try:
        _check_parity(target)
        job = _job(recipe, target, beside, output, model)
        suite = _file(beside, target.suite) if target.suite else None
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", error.hint) from error
    return Unit(where, target, job, output, suite)


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


def _check_parity(target: Target) -> None:
    budget.check(target.budget)
    given = [name for name in (*MEASURED, "junit") if name in target.model_fields_set]
    if not target.parity and given:
        raise UsageError(f"{', '.join(given)} without parity measures nothing.", "Leave parity: false out.")
    if not target.parity and target.publish and not target.publish.allow_unvalidated:
        raise UsageError(
            "what is not measured cannot be published.", "Leave parity: false out, or say allow_unvalidated: true."
        )
    if target.parity and isinstance(target, OpenVINO) and target.layout != "optimum":
        raise UsageError("parity is measured on the optimum layout.", "Its weights are the same; or say parity: false.")


def _job(recipe: Recipe, target: Target, beside: Path, output: Path, model: str | None) -> Job | GgufJob | OnnxJob:
    source = recipe.source
    revision = None if model else source.revision
    if isinstance(target, Gguf):
        return _gguf(target, model or source.model, revision, beside, output)
    if isinstance(target, Onnx):
        return OnnxJob(
            model=model or source.model,
            request=_request(target),
            revision=revision,
            output=output,
            engine=target.engine,
            accuracy_level=target.accuracy_level,
            vision_precision=target.vision_precision,
        )
    return Job(
        model=model or source.model,
        request=replace(_request(target), **_data_aware(target, beside)),
        revision=revision,
        output=output,
        trust_remote_code=source.trust_remote_code,
        engine=target.engine,
        compressor=target.compressor,
        rope=target.rope,
        vision_precision=target.vision_precision,
        layout=target.layout,
        calibrator=OWN,
    )


def _request(target: OpenVINO | Onnx) -> Request:
    return Request(
        precision=target.precision,
        group_size=target.group_size,
        group_size_fallback=target.group_size_fallback,
        ratio=target.ratio,
        sym=target.sym,
        backup_precision=target.backup_precision,
        all_layers=target.all_layers,
        tensor_precision=tuple(target.tensor_precision),
    )


def _data_aware(target: OpenVINO, beside: Path) -> dict[str, Any]:
    given = {name: getattr(target, name) for name in (*FIELDS, "target", "kv_cache")}
    if target.calibration not in (None, SUITE):
        given["calibration"] = str(_file(beside, str(target.calibration)))
    return given


def _gguf(target: Gguf, model: str, revision: str | None, beside: Path, output: Path) -> GgufJob:
    if target.precision and target.type:
        raise UsageError("precision and type contradict each other.", "Pass one of them.")
    chosen = gguf_recipe(
        target.type or target.precision or "int4",
        pure=target.pure,
        leave_output=target.leave_output_tensor,
        output_type=target.output_type,
        token_embedding_type=target.token_embedding_type,
        tensor_types=tuple(map(tensor_type, target.tensor_type)),
    )
    return GgufJob(
        model=model,
        recipe=chosen,
        revision=revision,
        output=output,
        imatrix=_file(beside, target.imatrix) if target.imatrix else None,
        vision_precision=target.vision_precision,
        split_max_size=byte_count(target.split_max_size),
        pre=target.pre,
        calibrator=OWN,
    )


def _file(beside: Path, name: str) -> Path:
    hint = "Files of a recipe lie in its folder; `edgeconv run --files DIR` says that they lie in another."
    return own_file(beside, name, UsageError, whose="the recipe", hint=hint, absolute=True)
