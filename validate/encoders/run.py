"""The checks of an encoder, in order: structure, tokens, states and vectors (or scores), padding, the user's pipeline."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert.program.encoder import Encoder
from ...core.errors import ArtifactError
from ...core.progress import Progress
from ...runtimes.encoder import EncoderRuntime, Text
from .. import verdict
from ..ask import Ask
from ..budget import Budget, judge, override
from ..checks import tokenizer_pair
from ..checks.runtime_defects import as_failures
from ..formats.encoders import EncoderArtifact
from ..formats.pooling import Pooler
from ..module_weights import Tensors, checkpoint_tensors
from ..record import Record
from ..report.model import Check, CheckName, Comparison, ComparisonName, Report
from ..suite import Suite
from ..target import ValidationTarget
from ..tokenizer import open_tokenizer
from . import budgets, figures, texts
from .reference import EncoderReference

Array = npt.NDArray[Any]
ORDER: tuple[CheckName, ...] = ("structure", "tokens", "encoding", "padding", "pipeline")
SLOW: tuple[CheckName, ...] = ("padding", "pipeline")
"""What a quick validation leaves out."""
QUICK = 4096
"""Tokens of a quick validation, about."""
BATCH = 8
"""Texts of a batch."""
_PIPELINE = 1e-3
"""What a number of a vector, or a score, may differ by from the runtime's own; 2e-7 was measured."""


def validate(ask: Ask, pair: ValidationTarget, encoder: Encoder, suite: Suite, progress: Progress) -> Report:
    """Climb. Raises as `parity.validate`."""
    run = _Run(ask, pair, encoder, suite, progress)
    run.run()
    pair.require_unchanged()
    if ask.strict:
        run.found.rungs = [as_failures(one) for one in run.found.rungs]
    chosen = run.texts.all
    return verdict.report(
        pair, suite, [], run.budgets, dtype=ask.reference_dtype, found=run.found, recipe=ask.recipe, expected=ORDER,
        counted=(len(chosen), run.texts.tokens),
    )  # fmt: skip


class _Run:
    def __init__(self, ask: Ask, pair: ValidationTarget, encoder: Encoder, suite: Suite, progress: Progress) -> None:
        self.ask, self.pair, self.encoder, self.progress = ask, pair, encoder, progress
        self.scores = encoder.task.kind == "score"
        self.artifact: EncoderArtifact = pair.artifact.encoder()
        table = budgets.table(pair.artifact.bits, scores=self.scores, graph=self.artifact.graph_budgets(encoder))
        self.budgets: list[Budget] = override(table, ask.budgets)
        longest = min(encoder.positions, encoder.task.max_length or encoder.positions, texts.LONGEST)
        limit = ask.max_tokens or (QUICK if ask.quick else None)
        tokenizer = open_tokenizer(pair.checkpoint.folder)
        self.texts = texts.of_suite(suite, tokenizer, scores=self.scores, longest=longest, limit=limit)
        self.samples = self.texts.all
        self.found = Record([one.group for one in self.samples])
        self.found.notes.append(f"Texts are cut at {longest:,} tokens; the longest of the measurement has as many.")

    def run(self) -> None:
        """Run as far as the artifact allows; what could not run is a failed check."""
        try:
            weights = self._structure()
            self._encoding(weights)
            if self.ask.quick:
                self.found.rungs += [Check(name=n, status="skipped", summary="left out by --quick") for n in SLOW]
        except ArtifactError as error:
            done = {one.name for one in self.found.rungs}
            self.found.rungs += [
                Check(name=name, status="failed", summary="could not run", failures=[error.message])
                for name in ORDER
                if name not in done
            ]

    def _structure(self) -> Any:
        artifact, checkpoint = self.pair.artifact, self.pair.checkpoint
        weights, problem = None, None
        with self.found.timed("structure and tokens"):
            try:
                weights = artifact.weights(checkpoint)
            except ArtifactError as error:
                problem = error
            structure = artifact.structure(checkpoint, weights, self.progress)
            self.found.rungs += [structure, artifact.tokens(checkpoint, self.progress)]
        if weights is None:
            raise problem or ArtifactError(f"The weights of {artifact.path} cannot be read.")
        tokenizer_pair.forget()
        self.pair.release()
        return weights

    def _encoding(self, weights: Any) -> None:
        checkpoint, dtype = self.pair.checkpoint, self.ask.reference_dtype
        sources = checkpoint_tensors(checkpoint)
        with self.found.timed("reference"):
            reference = self._torch(sources, dtype, f"Running the reference in {dtype}")
        with self.found.timed("the artifact's own weights"):
            label, table = "Running torch on the artifact's own weights", getattr(weights, "gelu_table", False)
            own = self._torch(_own(weights, sources), "float32", label, gelu_table=table)
        alone = [[one.text] for one in self.samples]
        with self._runtime(accurate=True) as runtime:
            with self.found.timed("artefact"):
                made = self._made(runtime, alone, "Running the artifact")
            self._compare("conversion", "torch float32 on the artifact's weights", runtime.name, own, made)
            self._compare("quantisation", f"torch {dtype} on the checkpoint", runtime.name, reference, made)
            self.found.rungs.append(self._judged())
            if self.ask.quick:
                return
            with self.found.timed("padding"):
                self.found.rungs.append(self._padding(runtime, made))
        with self.found.timed("defaults"), self._runtime(accurate=False) as runtime:
            default = self._made(runtime, alone, "Running the device's defaults")
        self._compare("runtime", "reference precision", f"defaults of {self.ask.device}", made, default)
        with self.found.timed("pipeline"):
            self.found.rungs.append(self._pipeline(made))

    def _torch(self, tensors: Tensors, dtype: str, label: str, *, gelu_table: bool = False) -> list[Array]:
        model = EncoderReference(self.pair.checkpoint, self.encoder, tensors, dtype)
        return model.run([one.text for one in self.samples], self.progress, label, gelu_table=gelu_table)

    @contextlib.contextmanager
    def _runtime(self, *, accurate: bool) -> Iterator[EncoderRuntime]:
        runtime = self.artifact.runtime(self.ask.device, self.progress, accurate=accurate)
        try:
            yield runtime
        finally:
            runtime.close()

    def _made(self, runtime: EncoderRuntime, batches: Sequence[Sequence[Text]], label: str) -> list[Array]:
        task = self.progress.task(label, len(batches))
        made = []
        for batch in batches:
            made += runtime.run(batch)
            task.advance(1)
        task.finish()
        return made

    def _compare(
        self, name: ComparisonName, reference: str, artifact: str, one: list[Array], other: list[Array]
    ) -> None:
        """Compare two sides' states, or scores; vectors are made of them by what each side's own files say."""
        sides = figures.Sides(name, reference, artifact, [sample.group for sample in self.samples])
        if self.scores:
            shape = (len(self.texts.pairs), len(self.texts.pairs[0]), -1)
            pair = np.stack(one).reshape(shape), np.stack(other).reshape(shape)
            self.found.comparisons.append(figures.scores(sides, pair, self.texts.tokens))
            return
        wanted = Pooler(self.encoder.task, self.pair.checkpoint.origin)
        own = self.artifact.pooler(self.encoder.task)
        vectors = (own if name == "runtime" else wanted)(one), own(other)
        states = (one if name == "runtime" else self.artifact.seen(one, wanted)), other
        self.found.comparisons.append(figures.embeddings(sides, states, vectors, len(self.texts.questions)))

    def _judged(self) -> Check:
        failures = [
            f"{line.metric} is {line.value:.3g}, the budget {line.limit:g} ({line.reason})"
            for line in judge(self.budgets, self.found.comparisons)
            if not line.passed and line.metric.startswith("conversion.")
        ]
        by_name: dict[str, Comparison] = {one.name: one for one in self.found.comparisons}
        seen, own = by_name["quantisation"].figures, by_name["conversion"].figures
        if self.scores:
            summary = f"largest difference of a score {seen['max_abs_logit'].value:.3g}"
            alone = own["max_abs_logit"].value
        else:
            summary = f"mean cosine {seen['cosine'].value:.6f}"
            alone = own["max_abs_state"].value
        summary += f", rank correlation {seen['rank'].value:.4f}; conversion alone: at most {alone:.2g} off"
        return Check(name="encoding", status="failed" if failures else "passed", summary=summary, failures=failures)

    def _padding(self, runtime: EncoderRuntime, alone: list[Array]) -> Check:
        """Run texts of different lengths in one batch: each has to give what it gives alone."""
        started = time.perf_counter()
        order = sorted(range(len(self.samples)), key=lambda i: len(self.samples[i].text.ids))
        mixed = [order[start :: -(-len(order) // BATCH)] for start in range(-(-len(order) // BATCH))]
        worst, where = 0.0, 0
        for batch in mixed[:: max(1, len(mixed) // 6)]:
            for i, made in zip(batch, runtime.run([self.samples[i].text for i in batch]), strict=True):
                apart = float(np.abs(made - alone[i]).max()) if np.isfinite(made).all() else float("inf")
                worst, where = max((worst, where), (apart, i))
        limit = next(
            one.limit for one in self.budgets if one.comparison == "conversion" and one.metric.startswith("max_")
        )
        summary = (
            f"in batches of {BATCH} texts of different lengths, none is further than {worst:.2g} from itself alone"
        )
        failures = []
        if worst > limit:
            length = len(self.samples[where].text.ids)
            failures.append(
                f"A text of {length} tokens gives other numbers in a batch than alone, by {worst:.3g}: what fills it up is seen."
            )
        seconds = time.perf_counter() - started
        return Check(
            name="padding", status="failed" if failures else "passed", summary=summary, failures=failures,
            figures={"max_abs": worst}, seconds=seconds,
        )  # fmt: skip

    def _pipeline(self, made: list[Array]) -> Check:
        """Let the pipeline that users run make the same of words."""
        started = time.perf_counter()
        reason = self.artifact.no_pipeline(self.encoder)
        if reason:
            return Check(name="pipeline", status="skipped", summary=reason)
        if self.scores:
            rows = self.texts.pairs[:2]
            found = np.concatenate(
                [self.artifact.reranked(self.ask.device, [one.words for one in row]) for row in rows]
            )
            wanted = 1 / (1 + np.exp(-np.stack(made[: len(found)])[:, 0].astype(np.float64)))
        else:
            some = [i for i, one in enumerate(self.samples) if one.words][:: max(1, len(self.samples) // 24)]
            task = self.encoder.task
            found = self.artifact.embedded(self.ask.device, task, [self.samples[i].words[0] for i in some])
            wanted = self.artifact.pooler(task, dense=False)([made[i] for i in some])
        worst = float(np.abs(found - wanted).max()) if np.isfinite(found).all() else float("inf")
        what = "score" if self.scores else "number of a vector"
        summary = f"{self.artifact.pipeline}: no {what} is further than {worst:.2g} from the runtime's own"
        failures = (
            []
            if worst <= _PIPELINE
            else [f"{self.artifact.pipeline} gives other numbers for the same words, by {worst:.3g}."]
        )
        return Check(
            name="pipeline", status="failed" if failures else "passed", summary=summary, failures=failures,
            figures={"max_abs": worst}, seconds=time.perf_counter() - started,
        )  # fmt: skip


def _own(weights: Any, sources: Tensors) -> Tensors:
    """Give weights as the artifact holds them; one that it folded away, as the checkpoint does."""
    import torch

    def get(name: str) -> Any:
        return torch.from_numpy(weights.tensor(name)) if name in weights.matched else sources(name)

    return get
