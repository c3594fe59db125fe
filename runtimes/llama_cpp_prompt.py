"""Chat template and tokenizer of a GGUF: rendered as for every format, and cut into ids by llama.cpp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from ..convert.gguf.read import GgufFile
from ..core.errors import UsageError
from .llama_cpp_tokenizer import LlamaCppTokenizer
from .llama_cpp_trial import require_runs
from .prompt import Message, Pieces, Prompting, message

TEMPLATE = "tokenizer.chat_template"
_PROBE = "probe"
_MARKERS = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
"""What templates call a marker, and what its key calls it."""


def markers(keys: Mapping[str, Any]) -> dict[str, str]:
    """Return bos_token, eos_token and so on by a file's keys, which its template may name."""
    tokens = keys.get("tokenizer.ggml.tokens", [])
    found = {}
    for role, key in _MARKERS.items():
        number = keys.get(f"tokenizer.ggml.{key}_token_id")
        if isinstance(number, int) and 0 <= number < len(tokens):
            found[f"{role}_token"] = tokens[number]
    return found


class GgufPrompter(Prompting):
    """Chat template and tokenizer of one file.

    Attributes:
        stops: ids at which llama.cpp ends an answer.
    """

    def __init__(self, file: GgufFile) -> None:
        """Compile the template, see that llama.cpp runs the file at all, and load its vocabulary.

        Raises:
            ArtifactError: there is no template, or llama.cpp does not run the file.
            UsageError: llama.cpp is not installed.
        """
        text = file.keys.get(TEMPLATE)
        super().__init__(file.path, text if isinstance(text, str) else None, markers(file.keys))
        first = file.files[0]
        require_runs(first)
        self._tokenizer = LlamaCppTokenizer.of_keys(first, file.keys)
        self.stops = frozenset(self._tokenizer.stops)

    def render(self, messages: list[Message]) -> str:
        """Render as `Prompting.render`; plain texts in parts if the template would drop them, as llama.cpp finds out too."""
        if self._drops_texts and all(isinstance(one["content"], str) for one in messages):
            messages = [message(one["role"], one["content"]) for one in messages]
        return super().render(messages)

    @cached_property
    def _drops_texts(self) -> bool:
        try:
            return _PROBE not in super().render([{"role": "user", "content": _PROBE}])
        except UsageError:  # it refuses them, and will say so
            return False

    def encode(self, prompt: str) -> list[int]:
        """Return the ids of a rendered prompt; markers in it count, and none is added."""
        return self._tokenizer.encode(prompt, special=False)

    def begin(self, prompt: str) -> list[int]:
        """Return the ids of a prompt's beginning, behind the token that the file puts there, if the prompt lacks it.

        So the processors of transformers do; its tokenizers, for a model of texts, never do.
        """
        return self._tokenizer.encode(prompt, special=self.adds(prompt))

    def adds(self, prompt: str) -> bool:
        """Tell whether the file's own first token is to be put before a prompt."""
        first = self._special.get("bos_token")
        return not (first and prompt.startswith(first))

    def pieces(self) -> Pieces:
        """Return a decoder of one answer."""
        return Pieces(self)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Return the text of ids, as `prompt.Decoder` wants it."""
        return self._tokenizer.decode(ids, skip=skip_special_tokens)
