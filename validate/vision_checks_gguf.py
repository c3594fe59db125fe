"""The checks of a GGUF with a vision part, through llama.cpp's multimodal library: pixels → rows → merged prompts → captions.

llama.cpp departs from the model (see `runtime_divergences`). So that this hides no fault of the file, it is shown pictures of the
tower's own size, which it does not resize, and its rows are held against torch in llama.cpp's arithmetic. What the departures
cost is measured apart, and reported.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert.families import glm_edge_v_model as glm_edge_v
from ..convert.families.glm_edge_v_model.facts import PLACEHOLDER
from ..convert.families.glm_edge_v_model.pixels import Preprocess, open_picture
from ..core.picture_task import upright_rgb
from ..core.progress import Progress
from ..runtimes.llama_cpp_vision import View, VisionOutput, marker
from ..runtimes.splice import splice
from . import runtime_divergences
from .checks import generation, pixels, template_gguf, vision_gguf
from .checks.answer import Answer
from .formats.gguf import GgufArtifact
from .passes import PassResult, TorchPasses
from .report.model import Check
from .scores import Scores
from .suite import Picture
from .vision_checks import NEW_TOKENS, VisionScores
from .weights.gguf_projector import sizes_of

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Shown:
    """What llama.cpp made of the pictures.

    Attributes:
        squares: of pictures of the tower's size, reference precision.
        wholes: of the same pictures as they are, upright and in RGB; llama.cpp resizes them.
        files: of the pictures' files, which llama.cpp decodes too; rows alone.
        defaults: of the squares, the file as it is, reading the answers of the first.
    """

    squares: list[VisionOutput]
    wholes: list[VisionOutput]
    files: list[VisionOutput]
    defaults: list[VisionOutput]


class GgufVisionChecks:
    """The vision checks of one validation."""

    def __init__(
        self, artifact: GgufArtifact, pictures: Sequence[Picture], passes: TorchPasses, device: str, progress: Progress
    ) -> None:
        """`artifact` is that of the passes' pair; `device` the CPU: llama.cpp runs nowhere else here."""
        self.pair, self.pictures, self.passes, self.progress = passes.pair, pictures, passes, progress
        self.artifact = artifact
        self.names = [picture.name for picture in pictures]
        self.hidden = int(self.pair.checkpoint.config["hidden_size"])
        folder = self.pair.checkpoint.folder
        self.rule = Preprocess.from_folder(folder)
        opened = [open_picture(picture.path) for picture in pictures]
        self.squares = [self.rule.canvas(picture) for picture in opened]
        self.wholes = [np.asarray(upright_rgb(picture)) for picture in opened]
        self.processor = glm_edge_v.load_processor(folder)

    def look(self, *, noise: float) -> VisionScores:
        """Climb. `noise` is what bfloat16 alone does to the difference of two logits; a gap below it is a near tie."""
        expected = pixels.reference(self.pair.checkpoint.folder, self.pictures)
        first, changed = self._pixels(expected)
        shown = self._show()
        started = time.perf_counter()
        rows = runtime_divergences.Rows.measure(self.passes, expected, sizes_of(self.pair.checkpoint).epsilon)
        tower, lines = vision_gguf.tower(self._figures(shown, rows), self.artifact.tower_bits, len(expected), started)
        prompts = [list(self.processor.tokenizer(text)["input_ids"]) for text in self._reference_texts()]
        placeholder = self.processor.image_token_id
        middle = vision_gguf.merged([glance.chunks for glance in shown.squares], prompts, self.names, placeholder)
        answers = self._answers(prompts, shown.squares)
        own, reference = self._sides(answers, shown.squares, rows)
        captions = generation.pairs(answers, reference.head, reference.states, self.passes.text, noise)
        last = generation.judge(captions, answers, [], 0.0).model_copy(update={"name": "captions"})
        found = runtime_divergences.of_rows(rows)
        found += runtime_divergences.of_pictures(shown.squares, shown.wholes, shown.files, changed)
        return VisionScores(
            checks=[first, tower, middle, last],
            conversion=self._scores(answers, shown.squares, own),
            quantization=self._scores(answers, shown.squares, reference),
            captions=captions,
            runtime=[_against(a, b) for a, b in zip(shown.squares, shown.defaults, strict=True)],
            lines=lines,
            deviations=found,
            name="llama.cpp CPU, reference precision",
        )

    def _pixels(self, expected: list[Array]) -> tuple[Check, list[float]]:
        """Return the check, and of each picture the share of its pixels that llama.cpp's own resizing changes."""
        started = time.perf_counter()
        views = [View(picture) for picture in [*self.squares, *self.wholes]]
        made = self.artifact.pixels(views, self.hidden, self.progress)
        if made is None:
            return vision_gguf.pixels(None, expected, self.names, started), []
        squares, wholes = made[: len(expected)], made[len(expected) :]
        check = vision_gguf.pixels(squares, expected, self.names, started)
        step = 0.5 / 255 / max(self.rule.std)
        changed = [
            float((np.abs(a - b).max(0) > step).mean()) if a.shape == b.shape else 1.0
            for a, b in zip(wholes, squares, strict=True)
        ]
        return check, changed

    def _show(self) -> _Shown:
        texts, stop = self._texts(), self.pair.stop_ids
        count = len(self.pictures)
        views = [View(picture, text) for picture, text in zip(self.squares, texts, strict=True)]
        views += [View(picture, text) for picture, text in zip(self.wholes, texts, strict=True)]
        views += [View(picture.path) for picture in self.pictures]
        with self.artifact.eyes(self.hidden, self.progress, accurate=True) as eyes:
            seen = eyes.look(views, self.progress, "Captioning in llama.cpp", count=NEW_TOKENS, stop=stop)
        again = [
            View(picture, text, tuple(glance.made))
            for picture, text, glance in zip(self.squares, texts, seen[:count], strict=True)
        ]
        with self.artifact.eyes(self.hidden, self.progress, accurate=False) as eyes:
            defaults = eyes.look(again, self.progress, "Captioning with llama.cpp's defaults", count=NEW_TOKENS)
        return _Shown(seen[:count], seen[count : 2 * count], seen[2 * count :], defaults)

    def _figures(self, shown: _Shown, rows: runtime_divergences.Rows) -> dict[str, float]:
        squares = [glance.rows for glance in shown.squares]
        return {
            "row_conversion": vision_gguf.typical(squares, rows.own),
            "row_quantisation": vision_gguf.typical(squares, rows.reference),
            "row_runtime": vision_gguf.typical([glance.rows for glance in shown.defaults], squares),
            "row_marks": vision_gguf.marks(squares, rows.model),
            "row_noise_floor": vision_gguf.typical(rows.noise, rows.model),
            "row_from_the_model": vision_gguf.typical(squares, rows.model),
            "worst_row_conversion": vision_gguf.worst(squares, rows.own),
            "worst_row_quantisation": vision_gguf.worst(squares, rows.reference),
        }

    def _texts(self) -> list[str]:
        """Render each question by the file's own template, the marker where the picture stands, as llama.cpp's server does."""
        render = template_gguf.renderer(self.artifact.file())
        if render is None:
            run = PLACEHOLDER * self.processor.image_tokens
            return [text.replace(run, marker()) for text in self._reference_texts()]
        picture = {"type": "text", "text": marker()}
        return [
            render([{"role": "user", "content": [picture, {"type": "text", "text": one.question}]}], True)
            for one in self.pictures
        ]

    def _reference_texts(self) -> list[str]:
        turns = [
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": picture.question}]}]
            for picture in self.pictures
        ]
        return [str(self.processor.apply_chat_template(turn, add_generation_prompt=True)) for turn in turns]

    def _answers(self, prompts: list[list[int]], seen: Sequence[VisionOutput]) -> list[Answer]:
        return [
            Answer([{"role": "user", "content": f"[{picture.name}] {picture.question}"}], prompt, glance.made)
            for picture, prompt, glance in zip(self.pictures, prompts, seen, strict=True)
        ]

    def _sides(
        self, answers: Sequence[Answer], seen: Sequence[VisionOutput], rows: runtime_divergences.Rows
    ) -> tuple[PassResult, PassResult]:
        """Run torch over prompts and answers: the file's weights behind llama.cpp's rows, the checkpoint's behind the model's.

        The rows themselves are judged on their own check; here the language model behind them is.
        """
        documents = [answer.ids for answer in answers]
        fit = all(a.rows.shape == b.shape for a, b in zip(seen, rows.own, strict=True))
        own = self._merged(documents, [glance.rows for glance in seen] if fit else rows.own, own=True)
        model = self._merged(documents, rows.model, own=False)
        return self.passes.own(documents, own), self.passes.merged(documents, model, "float32")

    def _merged(self, documents: list[list[int]], rows: Sequence[Array], *, own: bool) -> list[Array]:
        placeholder = self.processor.image_token_id
        made = []
        for ids, embeddings, features in zip(documents, self.passes.embed(documents, own=own), rows, strict=True):
            made.append(splice(ids, embeddings, features, placeholder))
        return made

    def _scores(self, answers: Sequence[Answer], seen: Sequence[VisionOutput], side: PassResult) -> list[Scores]:
        """Score the positions behind each picture, where the model speaks."""
        found = []
        for d, (answer, glance) in enumerate(zip(answers, seen, strict=True)):
            assert glance.logits is not None
            expected = side.head.logits(side.states[d][len(answer.prompt_ids) - 1 :])
            scores = Scores()
            scores.add(expected, glance.logits, np.array(answer.made, np.int64))
            found.append(scores)
        return found


def _against(expected: VisionOutput, made: VisionOutput) -> Scores:
    assert expected.logits is not None
    assert made.logits is not None
    scores = Scores()
    scores.add(expected.logits, made.logits, np.array(expected.made, np.int64))
    return scores
