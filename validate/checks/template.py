"""Check 1: the prompt that the artifact's chat template renders is the checkpoint's, character by character.

Two templates of the artifact count: the one in its tokenizer files, which transformers and optimum-intel render, and the one in
its tokenizer IR, which openvino_genai prefers to the files and renders with a Jinja of its own. The texts are compared by name as
well: a branch that no conversation reaches is a part of the template too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ...convert.checkpoint import Checkpoint
from ...core.chat_template import TemplateFault, render_in_genai
from ...core.chat_template import same as same_program
from ...core.errors import ArtifactError, EdgeconvError
from ...core.progress import Progress
from ..report.model import Check
from . import template_texts, tokenizer_pair
from .runtime_defects import Observed, RuntimeDefect
from .template_conversations import CONVERSATIONS, Conversation, Dialogue, dialogues, with_pictures
from .template_defects import GENAI_DEFECTS, GENAI_OTHERWISE, GENAI_REFUSES, TemplateDefect
from .template_texts import CLOCK, DEFAULT, FROZEN, Render

__all__ = ["CONVERSATIONS", "Conversation", "Place", "Render", "check", "judge", "of_files", "with_pictures"]


@dataclass(frozen=True)
class Place:
    """A place of the artifact that holds templates.

    Attributes:
        where: its name in sentences.
        templates: by name.
        render: makes a renderer of a template's name.
        one: it holds the default template and no others.
        own_clock: its engine has a clock that cannot be stopped.
        defects: of the engine that renders here.
        otherwise: what it is called if it renders the checkpoint's own template otherwise, beyond plain conversations.
        refuses: what it is called if it refuses the checkpoint's own template where transformers does not.
    """

    where: str
    templates: Mapping[str, str]
    render: Callable[[str], Render]
    one: bool = False
    own_clock: bool = False
    defects: Sequence[TemplateDefect] = ()
    otherwise: RuntimeDefect | None = None
    refuses: RuntimeDefect | None = None


@dataclass
class _Compared:
    failures: list[str] = field(default_factory=list)
    defects: Observed = field(default_factory=Observed)
    prompts: int = 0
    conversations: int = 0


def check(folder: Path, checkpoint: Checkpoint, progress: Progress, *, parts: bool = False) -> Check:
    """Compare the rendered prompts.

    Args:
        folder: the artifact.
        checkpoint: the reference.
        progress: reports the conversations.
        parts: the template wants content as a list of parts, among them pictures.
    """

    def places() -> list[Place]:
        # openvino_genai, which does not run an artifact of parts, cannot render `range` either
        return [of_files(folder), *([] if parts else [_of_genai(folder)])]

    return judge(checkpoint, places, progress, parts=parts)


def judge(
    checkpoint: Checkpoint, places: Callable[[], list[Place]], progress: Progress, *, parts: bool = False
) -> Check:
    """Compare what the checkpoint's templates render with what the artifact's do, whatever its format.

    Args:
        checkpoint: the reference.
        places: opens the artifact's templates.
        progress: reports the conversations.
        parts: the templates want content as a list of parts.
    """
    started = time.perf_counter()
    found = _Compared()
    wanted: dict[str, str] = {}
    held = False
    try:
        reference = of_files(checkpoint.folder)
        wanted = dict(reference.templates)
        opened = places()
        held = any(place.templates for place in opened)
        one_sided = _one_sided(wanted, opened)
        found.failures += one_sided
        if wanted and not one_sided:
            for place in opened:
                mine = {DEFAULT: wanted[DEFAULT]} if place.one and DEFAULT in wanted else wanted
                found.failures += template_texts.differences(mine, place.templates, place.where)
            _compare(reference, opened, found, progress, parts=parts)
    except EdgeconvError as error:
        found.failures.append(error.message)
    skipped = not (wanted or held or found.failures)
    return Check(
        name="template",
        status="skipped" if skipped else "failed" if found.failures else "passed",
        summary="Neither the checkpoint nor the artifact has a chat template." if skipped else _summary(found),
        failures=found.failures,
        defects=found.defects.rows(),
        figures={"prompts": found.prompts, "different": len(found.failures)},
        seconds=time.perf_counter() - started,
    )


def _summary(found: _Compared) -> str:
    if not found.failures:
        known = sum(found.defects.counts.values())
        but = f", {known} but for known defects of the engine" if known else ""
        return f"{found.prompts} prompts of {found.conversations} conversations are equal{but}."
    return (
        f"{len(found.failures)} differences in {found.prompts} rendered prompts."
        if found.prompts
        else found.failures[0]
    )


def _one_sided(wanted: Mapping[str, str], places: Sequence[Place]) -> list[str]:
    """Return a sentence for each place that has a template and the checkpoint none, or the other way round."""
    failures = []
    for place in places:
        if wanted and not place.templates:
            failures.append(f"The checkpoint has a chat template, {place.where} has none.")
        if place.templates and not wanted:
            failures.append(f"{place.where[0].upper() + place.where[1:]} has a chat template, the checkpoint has none.")
    return failures


def of_files(folder: Path) -> Place:
    """Return the templates of a folder's files. Raises CheckpointError, ArtifactError."""
    templates = template_texts.of_folder(folder)
    markers = tokenizer_pair.of_transformers(folder).special_tokens_map if templates else {}
    what = f"The chat template of {folder.name}"
    return Place(
        "the artifact's files", templates, lambda name: template_texts.renderer(templates[name], markers, what)
    )


def _of_genai(folder: Path) -> Place:
    """Return the template of the tokenizer IR, which openvino_genai renders."""
    tokenizer = tokenizer_pair.of_genai(folder)
    text = str(tokenizer.get_original_chat_template() or "")

    def render(messages: Conversation, prompted: bool, **options: Any) -> str:
        tools = options.pop("tools", None)
        try:
            return render_in_genai(folder, messages, prompted=prompted, tools=tools, options=options or None)
        except TemplateFault as fault:
            if fault.limit:
                raise ArtifactError(f"openvino_genai cannot use the chat template of {folder}: {fault}.") from fault
            raise

    held = {DEFAULT: text} if text else {}
    return Place("openvino_genai", held, lambda _: render, True, True, GENAI_DEFECTS, GENAI_OTHERWISE, GENAI_REFUSES)


def _compare(reference: Place, places: Sequence[Place], found: _Compared, progress: Progress, *, parts: bool) -> None:
    """Render every conversation that each template's text calls for, in every place that has one of its name."""
    asked = [
        (name, said, dialogue)
        for name, text in reference.templates.items()
        for said, dialogue in dialogues(text, parts=parts).items()
    ]
    renders = {name: reference.render(name) for name in reference.templates}
    sides = [(place, {name: place.render(name) for name in place.templates}) for place in places]
    task = progress.task("Rendering prompts", len(asked))
    found.conversations = len(asked)
    for name, said, dialogue in asked:
        called = said if name == DEFAULT else f"{said}, template {name}"
        dated = CLOCK in reference.templates[name]
        for prompted in (True, False):
            wanted = _rendered(renders[name], dialogue, prompted, FROZEN)
            for place, known in sides:
                if name in known:
                    same = same_program(reference.templates[name], place.templates[name])
                    one = _Prompt(called, dialogue, prompted, renders[name], known[name], place, same, dated, wanted)
                    one.judge(found)
        task.advance(1)
    task.finish()


@dataclass(frozen=True)
class _Prompt:
    """One conversation in one place.

    Attributes:
        same: the place holds the checkpoint's own program, so it differs by its engine alone.
        dated: the program asks for the date.
        frozen: what the checkpoint's template makes of the conversation at the moment FROZEN.
    """

    called: str
    dialogue: Dialogue
    prompted: bool
    reference: Render
    render: Render
    place: Place
    same: bool
    dated: bool
    frozen: str | None

    def judge(self, found: _Compared) -> None:
        """Compare; a difference is a failure unless a defect of the engine explains it."""
        found.prompts += 1
        before = datetime.now()
        got = self._theirs(self.dialogue)
        # an engine with its own clock read it between two moments, of which one may be yesterday
        moments = [before, datetime.now()] if self._ticks else [FROZEN]
        if any(got == self._wanted(moment) for moment in moments):
            return
        explained = (self._explained(got, moment) for moment in moments)
        defect = next((one for one in explained if one), None) or self._otherwise(got)
        if defect:
            found.defects.add(defect, self.called)
        else:
            wanted = self._wanted(moments[0])
            found.failures.append(_difference(self.called, self.prompted, self.place.where, wanted, got))

    @property
    def _ticks(self) -> bool:
        return self.dated and self.place.own_clock

    def _wanted(self, moment: datetime, dialogue: Dialogue | None = None) -> str | None:
        if moment == FROZEN and dialogue is None:
            return self.frozen
        return _rendered(self.reference, dialogue or self.dialogue, self.prompted, moment)

    def _theirs(self, dialogue: Dialogue) -> str | None:
        return _rendered(self.render, dialogue, self.prompted, None if self.place.own_clock else FROZEN)

    def _explained(self, got: str | None, moment: datetime) -> RuntimeDefect | None:
        """Return the listed defect that explains the difference exactly."""
        for defect in self.place.defects:
            changed = defect.change(self.dialogue)
            if changed == self.dialogue:
                continue
            other = got if defect.as_run else self._theirs(changed)
            expected = self._wanted(moment, changed)
            if other == expected and expected is not None:
                return defect.defect
        return None

    def _otherwise(self, got: str | None) -> RuntimeDefect | None:
        """Return what the engine makes of the checkpoint's own template."""
        if not self.same:
            return None
        if got is None:
            return self.place.refuses
        return None if self.dialogue.plain else self.place.otherwise


def _rendered(render: Render, dialogue: Dialogue, prompted: bool, moment: datetime | None) -> str | None:
    """Return the prompt; None if the template refuses the conversation (no system role, for one), which both must do.

    `moment` is what the template takes for now; None: the engine asks a clock of its own.
    """
    clock = {} if moment is None else {CLOCK: moment.isoformat()}
    try:
        return render(dialogue.messages, prompted, **dialogue.options, **clock)
    except EdgeconvError:
        raise
    except Exception:  # noqa: BLE001 - Jinja's errors in two languages; that there is one is what is compared
        return None


def _difference(name: str, prompted: bool, where: str, wanted: str | None, got: str | None) -> str:
    head = f"Conversation '{name}'{', with the generation prompt' if prompted else ''}, by {where}: "
    if wanted is None or got is None:
        refusing, other = (
            ("the checkpoint's template", where) if wanted is None else (where, "the checkpoint's template")
        )
        return head + f"{refusing} refuses it, {other} does not."
    at = tokenizer_pair.first_difference(wanted, got)
    return head + (
        f"differs from character {at}: expected {tokenizer_pair.excerpt(wanted, at)}, rendered {tokenizer_pair.excerpt(got, at)}."
    )
