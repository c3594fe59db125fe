"""`edgeconv search`: the smallest artifact within a KL, or the best within a size; predicted, then made and measured.

What each matrix costs in each precision is estimated once. Predictions choose, measurements decide: each artifact that is made
corrects what is expected of the next, until one keeps the budget and nothing smaller is expected to.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...convert.conversion.artifact import versions
from ...core.errors import UsageError
from ...core.format_names import FormatName
from ...core.progress import Progress, Silent
from ...core.units import size
from ..trial import Bench, Trial
from .model import Search, SearchTrial
from .space import NEAR, Guess, Learned, Space
from .spaces import SPACES

TRIALS = 6
"""Artifacts that are made at most."""
ESTIMATED = 2048
"""Tokens that the estimate is made on."""
VERSIONS = ("edgeconv", "openvino", "nncf", "torch", "transformers")


@dataclass(frozen=True)
class SearchJob:
    """What a user asks; one of `max_kl` and `max_bytes`.

    Attributes:
        model: a Hub id or a folder.
        max_kl: mean KL in nats per token that the artifact may have, as a validation judges it: by the worse end of the interval.
        max_bytes: size that it may have, all files counted.
        format: of the artifact.
        calibration: a text, or "suite": OpenVINO's methods that need one are tried too.
        suite: a file of texts to measure on; None: edgeconv's own.
        tokens: how many of its tokens; None: all.
        trials: artifacts that are made at most.
        revision: of the Hub's repository.
        local_files_only: ask the Hub nothing.
    """

    model: str
    max_kl: float | None = None
    max_bytes: int | None = None
    format: FormatName = "gguf"
    calibration: str | None = None
    suite: Path | None = None
    tokens: int | None = None
    trials: int = TRIALS
    revision: str | None = None
    local_files_only: bool = False


def run(job: SearchJob, progress: Progress | None = None) -> Search:
    """Search; what an earlier run estimated and measured is taken from the cache.

    Raises:
        UsageError: neither a KL nor a size is given, or both, or a calibration for a GGUF.
        EdgeconvError: any of the family.
    """
    from ..sensitivity import estimate
    from ..sensitivity.subject import open_subject

    _check(job)
    progress = progress or Silent()
    bench = Bench(
        job.model,
        revision=job.revision,
        suite=job.suite,
        tokens=job.tokens,
        local_files_only=job.local_files_only,
        progress=progress,
    )
    subject = open_subject(
        bench.opened.checkpoint,
        bench.opened.name,
        progress,
        suite=job.suite,
        tokens=min(ESTIMATED, job.tokens or ESTIMATED),
        window=estimate.WINDOW,
    )
    return _Search(job, bench, SPACES[job.format].open(bench, subject, job.calibration), progress).run()


def _check(job: SearchJob) -> None:
    if (job.max_kl is None) == (job.max_bytes is None):
        raise UsageError("A search needs --max-kl or --max-size, one of them.", "For example --max-kl 0.05.")
    if job.max_kl is not None and not job.max_kl > 0:
        raise UsageError(f"--max-kl must be positive, not {job.max_kl:g}.", "For example --max-kl 0.05.")
    if job.format not in SPACES:
        raise UsageError(f"Unknown format {job.format!r}.", f"One of: {', '.join(SPACES)}.")
    if job.calibration and not SPACES[job.format].calibrates:
        able = " and ".join(name for name, searched in SPACES.items() if searched.calibrates)
        raise UsageError(f"--calibration is for --format {able}.", "Leave it out.")


class _Search:
    def __init__(self, job: SearchJob, bench: Bench, space: Space, progress: Progress) -> None:
        self._job, self._bench, self._space, self._progress = job, bench, space, progress
        self._learned = Learned()
        self._trials: list[SearchTrial] = []
        self._found: list[Trial] = []

    def run(self) -> Search:
        choose = self._by_kl if self._job.max_bytes is None else self._by_size
        while len(self._trials) < self._job.trials and (guess := choose()) is not None:
            self._try(guess)
        if self._job.max_kl is not None and not self._kept():
            self._try_once(self._space.finest)
        if self._job.max_bytes is not None and not self._trials:
            self._try_once(self._space.smallest)
        return self._result()

    def _by_kl(self) -> Guess | None:
        """Return the smallest way that is expected to keep the budget and is smaller than what keeps it already."""
        max_kl = self._job.max_kl or 0.0
        best = min((trial.bytes for trial in self._kept()), default=None)
        if best is not None and self._space.dense and max(t.judged_kl for t in self._kept()) > NEAR * max_kl:
            return None
        guesses = self._space.smallest_within(max_kl, self._learned)
        return next((g for g in guesses if not self._tried(g) and (best is None or g.bytes < best)), None)

    def _by_size(self) -> Guess | None:
        """Return the way of the lowest expected KL that fits, if it is expected to be better than what was measured."""
        best = min((trial.judged_kl for trial in self._kept()), default=None)
        guesses = self._space.best_within(self._job.max_bytes or 0, self._learned)
        return next(
            (g for g in guesses if not self._tried(g) and (best is None or self._learned.kl(g) < NEAR * best)), None
        )

    def _try_once(self, make: Callable[[], Guess]) -> None:
        guess = make()
        if not self._tried(guess):
            self._try(guess)

    def _tried(self, guess: Guess) -> bool:
        return any(trial.options == guess.point.options for trial in self._trials)

    def _try(self, guess: Guess) -> None:
        expected = self._learned.kl(guess)
        self._progress.note(
            f"trial {len(self._trials) + 1}: {guess.point.label}, expected {size(guess.bytes)} and KL {expected:.3g}"
        )
        made = self._bench.run(guess.point)
        self._learned.learn(guess, made.judged_kl, self._job.max_kl)
        trial = SearchTrial(
            label=guess.point.label,
            options=guess.point.options,
            summed_kl=guess.raw,
            expected_kl=expected,
            mean_kl=made.mean_kl,
            judged_kl=made.judged_kl,
            top1=made.top1,
            expected_bytes=guess.bytes,
            bytes=made.bytes,
            keeps=self._keeps(made),
        )
        self._trials.append(trial)
        self._found.append(made)
        self._progress.note(f"measured {size(made.bytes)} and KL {_kl(made)}")

    def _keeps(self, made: Trial) -> bool:
        job = self._job
        if job.max_kl is not None:
            return made.judged_kl <= job.max_kl
        return made.bytes <= (job.max_bytes or 0)

    def _kept(self) -> list[SearchTrial]:
        return [trial for trial in self._trials if trial.keeps]

    def _result(self) -> Search:
        job, trials = self._job, self._trials
        by_kl = job.max_kl is not None
        order = sorted(range(len(trials)), key=lambda i: trials[i].bytes if by_kl else trials[i].judged_kl)
        winner = next((i for i in order if trials[i].keeps), None)
        nearest = None
        if winner is None:
            nearest = min(order, key=lambda i: trials[i].judged_kl if by_kl else trials[i].bytes)
        return Search(
            model=self._bench.opened.name,
            format=job.format,
            max_kl=job.max_kl,
            max_bytes=job.max_bytes,
            suite=self._bench.suite.name,
            suite_digest=self._bench.suite.digest,
            tokens=job.tokens,
            trials=trials,
            winner=winner,
            nearest=nearest,
            reason=self._reason(winner, nearest),
            recipe=None if winner is None else self._recipe(self._found[winner]),
            versions=versions(VERSIONS),
        )

    def _reason(self, winner: int | None, nearest: int | None) -> str:
        job = self._job
        asked = f"a mean KL of {job.max_kl:g}" if job.max_kl is not None else size(job.max_bytes or 0)
        if winner is not None:
            trial = self._trials[winner]
            return f"{trial.label} keeps {asked}: {size(trial.bytes)}, KL {_kl(trial)}."
        near = self._trials[nearest or 0]
        return f"Nothing that was tried keeps {asked}. The nearest is {near.label}: {size(near.bytes)}, KL {_kl(near)}."

    def _recipe(self, made: Trial) -> dict[str, Any]:
        """Return the winner as a recipe, with budgets that it keeps."""
        job, opened = self._job, self._bench.opened
        name = re.sub(r"[^a-z0-9._-]+", "-", opened.base_name.lower()).strip("-.") or "model"
        kl = job.max_kl if job.max_kl is not None else float(f"{made.judged_kl * 1.1:.3g}")
        measured: dict[str, Any] = {"budget": {"mean_kl": kl, "top1": _below(made.judged_top1)}}
        if job.suite:
            measured["suite"] = str(job.suite.resolve())
        if job.tokens:
            measured["max_tokens"] = job.tokens
        source: dict[str, Any] = {"model": opened.repo_id or str(Path(job.model).resolve())}
        if opened.commit:
            source["revision"] = opened.commit
        words = f"Found by edgeconv search: {size(made.bytes)}, KL {_kl(made)} nats."
        target = {**made.point.target(), **measured}
        return {"recipe": 1, "name": name, "description": words, "source": source, "targets": {job.format: target}}


def _kl(made: Trial | SearchTrial) -> str:
    return f"{made.mean_kl.value:.3g} (at most {made.judged_kl:.3g})"


def _below(share: float) -> float:
    """A bound on top-1 agreement that leaves room for another machine's rounding."""
    return max(0.0, round(share - 0.02, 3))
