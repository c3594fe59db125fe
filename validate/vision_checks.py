"""The checks of a vision-language model: pixels → tower → merged embeddings → logits → captions, each on its own.

Torch runs the tower layer by layer, and the language model over embeddings in which the pictures stand; the artifact's graphs,
IRs or ONNX models, run after it, so that both are never in memory together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.families.glm_edge_v_model.facts import PLACEHOLDER
from ..convert.program.vision import PIXELS
from ..core.errors import EdgeconvError
from ..core.progress import Progress
from ..runtimes.base import VisionLanguageRuntime
from ..runtimes.splice import splice
from .checks import generation, pixels, vision
from .checks.answer import Answer
from .formats.base import VisionArtifact
from .passes import TorchPasses
from .report.model import BudgetLine, Check, Deviation, GenerationPair
from .scores import Scores
from .suite import Picture

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
        self.pair, self.pictures, self.passes = passes.pair, pictures, passes
        self.device, self.progress = device, progress
        self.names = [picture.name for picture in pictures]

    def look(self, *, noise: float) -> VisionScores:
        """Climb. `noise` is what bfloat16 alone does to the difference of two logits; a gap below it is a near tie."""
        expected = pixels.reference(self.pair.checkpoint.folder, self.pictures)
        checks = [pixels.check(self.pair.folder, expected, self.pictures)]
        prompts = self._prompts()
        ids = [wanted for _, wanted in prompts]
        reference_rows = self.passes.features(expected, own=False)
        own_rows = self.passes.features(expected, own=True)
        rows = self._tower(expected)
        bits = self.artifact.tower_bits
        checks.append(vision.tower(rows, own_rows, reference_rows, self.names, bits))
        own = self._merge(ids, self.passes.embed(ids, own=True), own_rows)
        reference = self._merge(ids, self.passes.embed(ids, own=False), reference_rows)
        with contextlib.closing(self._runtime()) as runtime:
            name = runtime.name
            made = self._merge(ids, [runtime.embed(one) for one in ids], rows)
            checks.append(vision.merged(made, own, prompts, self.names))
            answers = self._captions(runtime, ids, made)
        # teacher-force the captions through torch, on both sets of weights, and through the artifact
        documents = [answer.ids for answer in answers]
        tails = [answer.made for answer in answers]
        sides = [
            self.passes.own(documents, _extended(own, self.passes.embed(tails, own=True))),
            self.passes.merged(documents, _extended(reference, self.passes.embed(tails, own=False)), "float32"),
        ]
        conversion, quantization = self._scores(documents, made, tails, sides)
        captions = generation.pairs(answers, sides[1].head, sides[1].states, self.passes.text, noise)
        judged = generation.judge(captions, answers, [], 0.0)
        checks.append(judged.model_copy(update={"name": "captions"}))
        return VisionScores(checks, conversion, quantization, captions, name)

    def _runtime(self) -> VisionLanguageRuntime:
        return self.artifact.runtime(self.device, self.progress, accurate=True)

    def _prompts(self) -> list[tuple[list[int], list[int]]]:
        """Token ids of each picture's question: by the artifact's files (empty if they make none), and by the checkpoint's."""
        wanted = pixels.prompts(self.pair.checkpoint.folder, self.pictures)
        try:
            found = pixels.prompts(self.pair.folder, self.pictures)
        except EdgeconvError as error:
            self.progress.note(error.message)
            found = [[] for _ in wanted]
        return list(zip(found, wanted, strict=True))

    def _merge(self, ids: list[list[int]], embeddings: list[Array], rows: list[Array]) -> list[Array]:
        placeholder = self.passes.tokenizer.convert_tokens_to_ids(PLACEHOLDER)
        return [splice(*one, placeholder) for one in zip(ids, embeddings, rows, strict=True)]

    def _tower(self, expected: list[Array]) -> list[Array]:
        task = self.progress.task("Running the artifact's tower", len(expected))
        rows = []
        with contextlib.closing(self.artifact.tower(self.device)) as tower:
            for picture in expected:
                rows.append(tower({PIXELS: picture[None]}).rows)
                task.advance(1)
        task.finish()
        return rows

    def _captions(self, runtime: VisionLanguageRuntime, ids: list[list[int]], made: list[Array]) -> list[Answer]:
        task = self.progress.task("Captioning", len(ids))
        answers = []
        for picture, prompt, embeddings in zip(self.pictures, ids, made, strict=True):
            messages = [{"role": "user", "content": f"[{picture.name}] {picture.question}"}]
            caption = runtime.generate(prompt, NEW_TOKENS, self.pair.stop_ids, embeddings)
            answers.append(Answer(messages, prompt, caption))
            task.advance(1)
        task.finish()
        return answers

    def _scores(
        self, documents: list[list[int]], made: list[Array], tails: list[list[int]], sides: list[Any]
    ) -> list[list[Scores]]:
        """Score the positions behind each picture, where the model speaks."""
        task = self.progress.task("Comparing logits behind pictures", len(documents))
        scores: list[list[Scores]] = [[Scores() for _ in documents] for _ in sides]
        with contextlib.closing(self._runtime()) as runtime:
            for d, ids in enumerate(documents):
                embeddings = np.concatenate([made[d], runtime.embed(tails[d])])
                (logits,) = runtime.logits(ids, embeddings=embeddings)
                start = len(ids) - len(tails[d]) - 1
                following = np.array(ids[start + 1 :], np.int64)
                for side, own in zip(sides, scores, strict=True):
                    own[d].add(side.head.logits(side.states[d][start:]), logits[start:], following)
                task.advance(1)
        task.finish()
        return scores


def _extended(prompts: list[Array], tails: list[Array]) -> list[Array]:
    return [np.concatenate(both) for both in zip(prompts, tails, strict=True)]
