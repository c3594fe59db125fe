"""The vision checks of a GGUF whose language model and projector transformers knows as one model, in llama.cpp's library.

llama.cpp prepares pictures itself. So that this hides no fault of the file, it is shown pictures that neither side resizes, and
its rows are held against torch in llama.cpp's arithmetic (GELU by its table). What its own preparation costs is measured apart.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..convert import families
from ..convert.program.mmproj_spec import Seen as Written
from ..convert.program.vision import Rows
from ..core.errors import ArtifactError
from ..core.picture_task import upright_rgb
from ..core.progress import Progress
from ..runtimes.llama_cpp_prompt import GgufPrompter
from ..runtimes.llama_cpp_vision import View, VisionOutput, marker
from . import budget, gelu_table
from .checks import generation, projector_prompts, vision_gguf
from .checks.answer import Answer
from .fitted import fitted
from .formats.gguf import GgufArtifact
from .multimodal.conversations import Conversation, conversations
from .multimodal.features import Features, Seen
from .multimodal.processor import Made
from .passes import TorchPasses
from .report.model import BudgetLine, Check, Deviation
from .scores import Scores
from .suite import Picture
from .vision_checks import NEW_TOKENS, VisionScores
from .vision_models import open_vision_reference
from .vision_models.base import EncodedPictures
from .weights.gguf_projector import vision_in_gguf

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Shown:
    """What llama.cpp made of conversations: in reference precision, and with its defaults reading the same answers."""

    accurate: list[VisionOutput]
    defaults: list[VisionOutput]
    wholes: list[VisionOutput]


class ProjectorChecks:
    """The vision checks of one validation."""

    def __init__(
        self, artifact: GgufArtifact, pictures: Sequence[Picture], passes: TorchPasses, device: str, progress: Progress
    ) -> None:
        """`artifact` is that of the passes' pair; `device` the CPU: llama.cpp runs nowhere else here."""
        self.artifact, self.passes, self.progress = artifact, passes, progress
        self.pair, checkpoint = passes.pair, passes.pair.checkpoint
        self.declared, _ = vision_in_gguf(checkpoint)
        if self.declared.seen is None:
            raise ArtifactError(f"How llama.cpp's {self.declared.kind!r} writes pictures is not known.")
        self.written: Written = self.declared.seen
        decoder = families.decoder(checkpoint.config)
        self.vision: Any = families.vision(checkpoint.config, checkpoint.names, decoder)
        self.hidden = int(checkpoint.config["hidden_size"]) * self.declared.deep(checkpoint.config)
        self.eyes, self.prompter = open_vision_reference(passes), GgufPrompter(artifact.file())
        self.plain = conversations(pictures)
        self.conversations = [self._fitted(one) for one in self.plain]
        self.names = [one.name for one in self.conversations]
        words = list(artifact.file().keys["tokenizer.ggml.tokens"])
        self.between = frozenset(words.index(one) for one in self.written.between)

    def look(self, *, noise: float) -> VisionScores:
        """Climb. `noise` is what bfloat16 alone does to the difference of two logits; a gap below it is a near tie."""
        prompts = [self.eyes.process(one) for one in self.conversations]
        shown = self._show()
        started = time.perf_counter()
        own, reference, model, rough = self._torch(prompts)
        every = [self._rows(glance, prompt) for glance, prompt in zip(shown.accurate, prompts, strict=True)]
        again = [self._rows(glance, prompt) for glance, prompt in zip(shown.defaults, prompts, strict=True)]
        kept = [
            projector_prompts.kept(prompt, len(one), len(asked.pictures))
            for prompt, one, asked in zip(prompts, model, self.conversations, strict=True)
        ]
        own, reference, model, rough, rows, again = (
            [_part(one, mask) for one, mask in zip(side, kept, strict=True)]
            for side in (own, reference, model, rough, every, again)
        )
        figures = {
            "row_conversion": vision_gguf.typical(rows, own),
            "row_quantisation": vision_gguf.typical(rows, reference),
            "row_runtime": vision_gguf.typical(again, rows),
            "row_noise_floor": vision_gguf.typical(rough, model),
            "row_from_the_model": vision_gguf.typical(rows, model),
            **self._marks(shown.accurate, prompts),
        }
        tower, lines = self._tower(figures, len(prompts), started)
        merged = projector_prompts.merged(
            [glance.chunks for glance in shown.accurate], prompts, [self.eyes.positions(one) for one in prompts],
            self.names, placeholder=self.vision.placeholder, between=self.between,
        )  # fmt: skip
        answers = [
            Answer(one.plain, prompt.ids, self.eyes.words(glance.made))
            for one, prompt, glance in zip(self.conversations, prompts, shown.accurate, strict=True)
        ]
        read = [self._read(prompts, answers, every, own=side) for side in (True, False)]
        captions = generation.pairs(answers, read[1].head, read[1].states, self.passes.text, noise)
        judged = generation.judge(captions, answers, [], 0.0).model_copy(update={"name": "captions"})
        pixels = Check(
            name="pixels", status="skipped",
            summary=f"llama.cpp hands no pixels out for {self.declared.kind!r}; its rows stand for them.",
        )  # fmt: skip
        return VisionScores(
            checks=[pixels, tower, merged, judged],
            conversion=self._scores(answers, shown.accurate, read[0]),
            quantization=self._scores(answers, shown.accurate, read[1]),
            captions=captions,
            name="llama.cpp CPU, reference precision",
            runtime=self._scores_of_defaults(answers, shown),
            lines=lines,
            deviations=self._deviations(shown, rows, model),
        )

    def _fitted(self, conversation: Conversation) -> Conversation:
        """Put pictures that neither side resizes in the place of a conversation's."""
        turns = [replace(turn, pictures=tuple(map(self._fit, turn.pictures))) for turn in conversation.turns]
        return replace(conversation, turns=tuple(turns))

    def _fit(self, picture: Any) -> Any:
        square = self.declared.square(self.pair.checkpoint.config)
        return fitted(picture, self.eyes.pixels, self.written.stretch, square)

    def _text(self, conversation: Conversation) -> str:
        """Render a conversation by the file's own template, llama.cpp's marker in the place of each picture."""
        before, behind = self.written.around
        text = self.prompter.render([turn.message for turn in conversation.turns])
        return text.replace(self.written.written, f"{before}{marker()}{behind}")

    def _views(self, asked: Sequence[Conversation]) -> list[View]:
        views = []
        for one in asked:
            first, *further = [np.asarray(upright_rgb(picture)) for picture in one.pictures]
            text = self._text(one)
            views.append(View(first, text, further=tuple(further), special=self.prompter.adds(text)))
        return views

    def _show(self) -> _Shown:
        views, wholes = self._views(self.conversations), self._views(self.plain)
        stop = self.pair.stop_ids
        with self.artifact.eyes(self.hidden, self.progress, accurate=True) as eyes:
            seen = eyes.look([*views, *wholes], self.progress, "Captioning in llama.cpp", count=NEW_TOKENS, stop=stop)
        accurate, whole = seen[: len(views)], seen[len(views) :]
        follow = [
            replace(view, follow=tuple(self.eyes.words(one.made))) for view, one in zip(views, accurate, strict=True)
        ]
        with self.artifact.eyes(self.hidden, self.progress, accurate=False) as eyes:
            defaults = eyes.look(follow, self.progress, "Captioning with llama.cpp's defaults", count=NEW_TOKENS)
        return _Shown(accurate, defaults, whole)

    def _torch(self, prompts: Sequence[Made]) -> list[list[Array]]:
        """Run torch in llama.cpp's arithmetic on the file's weights and on the checkpoint's; in the model's own; in bfloat16."""
        arrays = [prompt.arrays for prompt in prompts]
        sides = [
            self.passes.see(arrays, own=True, within=self._arithmetic),
            self.passes.see(arrays, own=False, within=self._arithmetic),
            self.passes.see(arrays, own=False),
            self.passes.see(arrays, own=False, dtype="bfloat16"),
        ]
        return [[_flat(one.rows) for one in side] for side in sides]

    def _arithmetic(self, model: Any) -> AbstractContextManager[None]:
        return gelu_table.looking_up_pictures(model, exact=self.declared.exact)

    def _rows(self, glance: VisionOutput, prompt: Made) -> Array:
        """Return the rows that stand in the places of the model's, those of tokens between them left out."""
        between = projector_prompts.between(prompt.ids, self.vision.placeholder, self.between)
        return glance.rows[~between] if len(between) == len(glance.rows) else glance.rows

    def _marks(self, seen: Sequence[VisionOutput], prompts: Sequence[Made]) -> dict[str, float]:
        """Return the largest error of the rows of tokens between a picture's, which are the table's."""
        if not self.between:
            return {}
        embedded = self.passes.embed([prompt.ids for prompt in prompts], own=False)
        made, wanted = [], []
        for glance, prompt, rows in zip(seen, prompts, embedded, strict=True):
            between = projector_prompts.between(prompt.ids, self.vision.placeholder, self.between)
            places = projector_prompts.places(prompt.ids, self.vision.placeholder, self.between)
            fits = len(between) == len(glance.rows)
            made.append(glance.rows[between] if fits else glance.rows[:0])
            wanted.append(rows[places[between]])
        return {"row_marks": vision_gguf.worst(made, wanted)}

    def _tower(self, figures: dict[str, float], count: int, started: float) -> tuple[Check, list[BudgetLine]]:
        limits, own = budget.rows(self.artifact.tower_bits), self.declared.budgets
        budgets = [
            replace(one, limit=max(own[one.metric][0], one.limit), reason=own[one.metric][1])
            if one.metric in own
            else one
            for one in limits
            if one.metric in figures
        ]
        return vision_gguf.tower(figures, self.artifact.tower_bits, count, started, budgets)

    def _read(self, prompts: Sequence[Made], answers: Sequence[Answer], rows: Sequence[Array], *, own: bool) -> Any:
        """Run torch over prompts and answers behind llama.cpp's rows: those are judged on their own check."""
        encoded = []
        features = self.passes.see([prompt.arrays for prompt in prompts], own=own)
        for prompt, made, found in zip(prompts, features, rows, strict=True):
            kept = _with(made, found) if found.shape == _flat(made.rows).shape else made
            encoded.append(EncodedPictures(kept.rows, Seen(prompt.arrays, kept)))
        return self.eyes.read(prompts, [answer.made for answer in answers], encoded, own=own)

    def _scores(self, answers: Sequence[Answer], seen: Sequence[VisionOutput], side: Any) -> list[Scores]:
        """Score the positions behind each picture, where the model speaks."""
        found = []
        for d, (answer, glance) in enumerate(zip(answers, seen, strict=True)):
            assert glance.logits is not None
            scores, count = Scores(), len(answer.made)
            expected = side.head.logits(side.states[d][len(answer.prompt_ids) - 1 :])
            scores.add(expected, glance.logits[: count + 1], np.array(answer.made, np.int64))
            found.append(scores)
        return found

    def _scores_of_defaults(self, answers: Sequence[Answer], shown: _Shown) -> list[Scores]:
        found = []
        for answer, exact, plain in zip(answers, shown.accurate, shown.defaults, strict=True):
            assert exact.logits is not None
            assert plain.logits is not None
            scores, count = Scores(), len(answer.made) + 1
            scores.add(exact.logits[:count], plain.logits[:count], np.array(answer.made, np.int64))
            found.append(scores)
        return found

    def _deviations(self, shown: _Shown, rows: Sequence[Array], model: Sequence[Array]) -> list[Deviation]:
        same = float(np.mean([a.made == b.made for a, b in zip(shown.accurate, shown.wholes, strict=True)]))
        sizes = float(np.mean([len(a.rows) == len(b.rows) for a, b in zip(shown.accurate, shown.wholes, strict=True)]))
        worst, typical = vision_gguf.worst(rows, model), vision_gguf.typical(rows, model)
        return [
            Deviation(
                name="arithmetic", summary=" ".join(f"{one}." for one in self.declared.deviations[:1]),
                figures={"worst_row": worst, "rows": typical},
            ),
            Deviation(
                name="resizing",
                summary="It prepares pictures itself; these are the same questions about pictures as they are.",
                figures={"same_captions": same, "same_numbers_of_rows": sizes},
            ),
        ]  # fmt: skip


def _part(rows: Array, mask: npt.NDArray[np.bool_]) -> Array:
    return rows[mask] if len(rows) == len(mask) else rows


def _flat(rows: Rows) -> Array:
    """Return rows with those of DeepStack behind them, float32 [rows, width]."""
    deep = [] if rows.deep is None else list(rows.deep)
    return np.concatenate([rows.rows, *deep], axis=1)


def _with(features: Features, rows: Array) -> Features:
    """Return features of other rows, in the form of `_flat`."""
    width = features.rows.rows.shape[1]
    parts = [np.ascontiguousarray(rows[:, at : at + width]) for at in range(0, rows.shape[1], width)]
    return features.with_rows(Rows(parts[0], np.stack(parts[1:]) if len(parts) > 1 else None))
