"""Begin, end and padding ids: when a difference between two statements is a fault, and when nothing reads the id."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .reference_tokenizer import ReferenceTokenizer
from .token_texts import Findings


class SpecialIds:
    """What the checkpoint states and uses."""

    def __init__(self, reference: ReferenceTokenizer, templates: Any, stops: Collection[int]) -> None:
        """Collect.

        Args:
            reference: the checkpoint's tokenizer.
            templates: its chat templates, a text or a dict of texts.
            stops: ids that end its answers.
        """
        self._reference = reference
        before, after = reference.around()
        texts = templates.values() if isinstance(templates, dict) else [templates]
        self._named = {role for role in ("bos", "eos", "pad") if any(f"{role}_token" in str(text) for text in texts)}
        self._around = {*before, *after}
        self._stops = stops

    def judge(self, role: str, got: int | None, where: str, found: Findings) -> None:
        """Compare one id; an id that one side states and nothing uses is a note, not a fault.

        Args:
            role: "bos", "eos" or "pad".
            got: the artifact's.
            where: who states it.
            found: takes the sentence.
        """
        wanted = self._reference.special_id(role)
        if got == wanted:
            return
        sentence = f"{role}_token_id is {got} for {where}, {wanted} for the checkpoint's tokenizer"
        harmless = self._harmless(role, wanted, got)
        (found.warnings if harmless else found.failures).append(sentence + (f": {harmless}." if harmless else "."))

    def _harmless(self, role: str, wanted: int | None, got: int | None) -> str:
        """Say why nothing reads the id; empty if something may."""
        if role == "pad" and wanted is None:
            return "a runtime that pads needs a token for it, and nothing reads what it wrote there"
        if role == "bos" and wanted is None:
            return "nothing puts it in front of a text"  # the texts are compared with what stands around them
        if role == "bos" and got is None and wanted not in self._around and role not in self._named:
            return "neither the tokenizer nor a chat template uses it"
        if role == "eos" and wanted is None and got in self._stops:
            return "the checkpoint's configuration ends answers with it"
        return ""
