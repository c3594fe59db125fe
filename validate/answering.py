"""The suite's prompts, answered by the artifact and by its user's own pipeline, and what the reference makes of the answers."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from ..core.errors import ArtifactError
from ..core.progress import Progress
from ..runtimes.base import Runtime
from ..runtimes.turns import Turn
from . import budget
from .checks import generation, pipelines
from .checks.answer import Answer
from .checks.token_texts import stops_of
from .passes import TorchPasses
from .record import Record
from .suite import Suite
from .target import ValidationTarget

NEW_TOKENS = 64
"""Tokens of each greedy answer."""
PIPELINE_PROMPTS = 2
"""Prompts that the user's own pipeline answers too."""


class Answering:
    """Asks the pipeline first, then the artifact's runtime; each is loaded once in a validation."""

    def __init__(self, pair: ValidationTarget, suite: Suite, tokenizer: Any, progress: Progress, found: Record) -> None:
        """`tokenizer` is the reference's."""
        self._pair, self._suite, self._tokenizer, self._progress, self._found = pair, suite, tokenizer, progress, found
        self._turns: list[Turn] = []
        self._failed: ArtifactError | None = None
        self._answers: list[Answer] = []
        self._again: list[Answer] = []

    def ask_pipeline(self, device: str) -> None:
        """Let the user's pipeline answer; if it cannot, that is told once everything else is measured."""
        artifact = self._pair.artifact
        prompts = [[message.turn for message in prompt] for prompt in self._suite.prompts[:PIPELINE_PROMPTS]]
        begun = datetime.now()
        try:
            with self._found.timed(artifact.pipeline):
                self._turns = artifact.answers(device, prompts, NEW_TOKENS)
        except ArtifactError as error:
            self._failed = error
        self._answered = (begun, datetime.now())

    def ask(self, runtime: Runtime) -> None:
        """Let the artifact answer, at reference precision, and hold the pipeline's answers against it."""
        stop = self._pair.stop_ids
        task = self._progress.task("Generating", len(self._suite.prompts))
        for prompt in self._suite.prompts:
            messages = [message.turn for message in prompt]
            ids = generation.prompt_ids(self._tokenizer, messages)
            self._answers.append(Answer(messages, ids, runtime.generate(ids, NEW_TOKENS, stop)))
            task.advance(1)
        task.finish()
        artifact = self._pair.artifact
        self._again = pipelines.of_turns(self._turns, artifact.pipeline, runtime, self._expected())
        if artifact.pipeline_accurate:
            self._again = pipelines.as_they_compute(self._again, runtime)

    def ask_defaults(self, runtime: Runtime) -> None:
        """Hold the answers of a pipeline that computes as the device does by default against a runtime that does, too."""
        if not self._pair.artifact.pipeline_accurate:
            self._again = pipelines.as_they_compute(self._again, runtime)

    def judge(self, passes: TorchPasses) -> None:
        """Run the reference over all answers, and add the check.

        Raises:
            ArtifactError: the user's pipeline does not run the artifact.
        """
        if self._failed:
            raise self._failed
        started, found = time.perf_counter(), self._found
        everything = [*self._answers, *self._again]
        with found.timed("reference over the answers"):
            reference = passes.reference([a.ids for a in everything], "float32", "reference over the answers")
        noise = found.noise_of_bfloat16()
        found.generations = generation.pairs(everything, reference.head, reference.states, passes.text, noise)
        seconds = time.perf_counter() - started
        found.rungs.append(
            generation.judge(
                found.generations,
                self._answers,
                self._again,
                seconds,
                noise=max(noise, found.noise_of_defaults()),
                tie=budget.limit(self._pair.artifact.graph, "decode"),
                listed=any(check.defects for check in found.rungs if check.name in ("template", "tokens")),
                decode=passes.text,
            )
        )

    def _expected(self) -> pipelines.Expected:
        """What the checkpoint itself makes of the pipeline's conversations."""
        checkpoint = self._pair.checkpoint
        stops = stops_of(checkpoint.generation_config) or stops_of(checkpoint.config)

        def prompts(messages: list[dict[str, str]]) -> list[list[int]]:
            return [generation.prompt_ids(self._tokenizer, messages, moment) for moment in self._answered]

        return pipelines.Expected(prompts, stops, NEW_TOKENS)
