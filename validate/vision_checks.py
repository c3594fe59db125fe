"""The checks of a vision-language model: pixels → tower → merged embeddings → logits → captions, each on its own.

Torch runs the vision part, and the language model layer by layer over words among which pictures stand; the artifact's graphs,
IRs or ONNX models, run after it, so that both are never in memory together. What a kind of model has of its own lies in `eyes`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.program.vision import Arrays, Rows
from ..core.errors import EdgeconvError
from ..core.progress import Progress
from ..runtimes.base import VisionLanguageRuntime
from ..runtimes.layout import Layout, lay_out
from ..runtimes.splice import splice
from . import described
from .checks import generation, pixels, vision
from .checks.answer import Answer
from .formats.base import VisionArtifact
from .multimodal.conversations import conversations, extremes
from .multimodal.processor import Made
from .passes import TorchPasses
from .report.model import BudgetLine, Check, Deviation, GenerationPair
from .scores import Scores
from .suite import Picture
from .vision_models import open_vision_reference
from .vision_models.processing import Processing

Array = npt.NDArray[Any]
NEW_TOKENS = 48
"""Tokens of each caption."""


@dataclass(frozen=True)
class VisionScores:
    """What came of it.

    Attributes:
        checks: the four.
        conversion: scores of that comparison.
        quantization: likewise.
        captions: beside the reference's choices.
        name: of the runtime.
        runtime: scores of the device's defaults, where they were measured.
        lines: budgets that are on other figures than logits.
        deviations: of the runtime from the model.
    """

    checks: list[Check]
    conversion: list[Scores]
    quantization: list[Scores]
    captions: list[GenerationPair]
    name: str
    runtime: list[Scores] = field(default_factory=list)
    lines: list[BudgetLine] = field(default_factory=list)
    deviations: list[Deviation] = field(default_factory=list)


@dataclass(frozen=True)
class _Laid:
    """A conversation on the artifact's side.

    Attributes:
        ids: of its tokens, by the checkpoint's files.
        own: by the artifact's; empty if they make none.
        embeddings: float32 [n, hidden], the rows of pictures among them.
        layout: where the tokens stand.
    """

    ids: list[int]
    own: list[int]
    embeddings: Array
    layout: Layout


class VisionChecks:
    """The vision checks of one validation."""

    def __init__(
        self,
        artifact: VisionArtifact,
        pictures: Sequence[Picture],
        passes: TorchPasses,
        device: str,
        progress: Progress,
    ) -> None:
        """`artifact` is that of the passes' pair."""
        self.artifact = artifact
        self.pair, self.passes = passes.pair, passes
        self.device, self.progress = device, progress
        self.vision: Any = described.vision(passes.pair.checkpoint)
        self.eyes, self.processing = open_vision_reference(passes), Processing(passes.pair.folder)
        self.conversations = conversations(pictures)
        self.names = [one.name for one in self.conversations]

    def look(self, *, noise: float) -> VisionScores:
        """Climb. `noise` is what bfloat16 alone does to the difference of two logits; a gap below it is a near tie."""
        shown = {one.name: one.pictures[0] for one in self.conversations if one.is_single} | extremes()
        checks = [pixels.check(shown, self.processing.pixels, self.eyes.pixels)]
        prompts = [self.eyes.process(one) for one in self.conversations]
        own, reference = (self.eyes.look(prompts, own=one) for one in (True, False))
        alone = [[self.eyes.pixels(picture) for picture in one.pictures] for one in self.conversations]
        rows = self._tower(alone)
        sides = ([_joined(one) for one in rows], [one.rows for one in own], [one.rows for one in reference])
        checks.append(vision.tower(*sides, self.names, self.artifact.tower_bits))
        entering = self.eyes.entering(prompts, own, own=True)
        with contextlib.closing(self._runtime()) as runtime:
            name = runtime.name
            laid = [self._lay(runtime, *one) for one in zip(prompts, self._own_ids(), alone, rows, strict=True)]
            checks.append(self._merged(laid, prompts, entering))
            answers = self._captions(runtime, laid)
        # teacher-force the captions through torch, on both sets of weights, and through the artifact
        tails = [answer.made for answer in answers]
        read = [self.eyes.read(prompts, tails, own, own=True), self.eyes.read(prompts, tails, reference, own=False)]
        conversion, quantization = self._scores(laid, tails, read)
        captions = generation.pairs(answers, read[1].head, read[1].states, self.passes.text, noise)
        judged = generation.judge(captions, answers, [], 0.0)
        checks.append(judged.model_copy(update={"name": "captions"}))
        return VisionScores(checks, conversion, quantization, captions, name)

    def _runtime(self) -> VisionLanguageRuntime:
        return self.artifact.runtime(self.device, self.progress, accurate=True)

    def _own_ids(self) -> list[list[int]]:
        """Ids of each conversation by the artifact's files; empty if they make none."""
        found = []
        for one in self.conversations:
            try:
                found.append(self.processing.prompt(one))
            except EdgeconvError as error:
                self.progress.note(error.message)
                found.append([])
        return found

    def _tower(self, alone: Sequence[Sequence[Arrays]]) -> list[list[Rows]]:
        """Run the artifact's vision part over each picture of each conversation; over each picture once."""
        task = self.progress.task("Running the artifact's tower", sum(map(len, alone)))
        seen: dict[int, Rows] = {}
        found = []
        with contextlib.closing(self.artifact.tower(self.device)) as tower:
            for one, made in zip(self.conversations, alone, strict=True):
                for picture, arrays in zip(one.pictures, made, strict=True):
                    if id(picture) not in seen:
                        seen[id(picture)] = tower(arrays)
                    task.advance(1)
                found.append([seen[id(picture)] for picture in one.pictures])
        task.finish()
        return found

    def _lay(
        self, runtime: VisionLanguageRuntime, prompt: Made, own: list[int], alone: list[Arrays], rows: list[Rows]
    ) -> _Laid:
        layout = lay_out(self.vision, prompt.ids, alone, rows)
        embeddings = splice(prompt.ids, runtime.embed(prompt.ids), _joined(rows).rows, self.vision.placeholder)
        return _Laid(prompt.ids, own, embeddings, layout)

    def _merged(self, laid: Sequence[_Laid], prompts: Sequence[Made], entering: Sequence[Array]) -> Check:
        made = [vision.Prompt(one.own, one.embeddings, one.layout.positions, one.layout.types) for one in laid]
        own = [
            vision.Prompt(one.ids, states, self.eyes.positions(one), one.types)
            for one, states in zip(prompts, entering, strict=True)
        ]
        return vision.merged(made, own, self.names)

    def _captions(self, runtime: VisionLanguageRuntime, laid: Sequence[_Laid]) -> list[Answer]:
        task = self.progress.task("Captioning", len(laid))
        answers = []
        for conversation, one in zip(self.conversations, laid, strict=True):
            caption = runtime.generate(one.ids, NEW_TOKENS, self.pair.stop_ids, one.embeddings, one.layout)
            answers.append(Answer(conversation.plain, one.ids, self.eyes.words(caption)))
            task.advance(1)
        task.finish()
        return answers

    def _scores(self, laid: Sequence[_Laid], tails: Sequence[list[int]], sides: list[Any]) -> list[list[Scores]]:
        """Score the positions behind each conversation, where the model speaks."""
        task = self.progress.task("Comparing logits behind pictures", len(laid))
        scores: list[list[Scores]] = [[Scores() for _ in laid] for _ in sides]
        with contextlib.closing(self._runtime()) as runtime:
            for d, (one, tail) in enumerate(zip(laid, tails, strict=True)):
                embeddings = np.concatenate([one.embeddings, runtime.embed(tail)])
                ids = [*one.ids, *tail]
                (logits,) = runtime.logits(ids, embeddings=embeddings, layout=one.layout.then(len(tail)))
                start = len(one.ids) - 1
                following = np.array(tail, np.int64)
                for side, own in zip(sides, scores, strict=True):
                    own[d].add(side.head.logits(side.states[d][start:]), logits[start:], following)
                task.advance(1)
        task.finish()
        return scores


def _joined(pictures: Sequence[Rows]) -> Rows:
    """Return the rows of several pictures, one behind another."""
    deep = [one.deep for one in pictures if one.deep is not None]
    return Rows(np.concatenate([one.rows for one in pictures]), np.concatenate(deep, 1) if deep else None)
