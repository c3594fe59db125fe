"""The checkpoint's tokenizer as its own file states it, in the few operations that the tokens check needs.

tokenizer.json is run by the `tokenizers` library itself, whatever transformers would make of the class named beside it. Nothing
is ever decoded with `clean_up_tokenization_spaces`: that is a step behind the tokenizer which no other runtime takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_OPENVINO_CLEAN_UP = re.compile(r" ([\\.?!,])| ('[ms])| (') | ('[rv]e)| (n't)")
"""`RegexDecodingStep.clean_up_tokenization_spaces`; a backslash is among the punctuation by its spelling there."""
Description = dict[str, Any]
"""The content of a tokenizer.json."""


def steps_of(stage: Any) -> Iterator[dict[str, Any]]:
    """Yield the steps of a normalizer, pre-tokenizer or decoder, those of a sequence one by one."""
    if not isinstance(stage, dict):
        return
    inner = next(
        (stage[key] for key in ("normalizers", "pretokenizers", "decoders", "processors") if key in stage), None
    )
    if inner is None:
        yield stage
    for step in inner or []:
        yield from steps_of(step)


@dataclass(frozen=True)
class AddedToken:
    """A token that is cut out of a text before anything else happens to it, with what tokenizer.json says of it."""

    number: int
    content: str
    special: bool = True
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False


class ReferenceTokenizer:
    """A tokenizer of transformers, reduced to the tokenizer below it where there is one."""

    def __init__(self, tokenizer: Any) -> None:
        """Take a tokenizer as `core.hf_tokenizer.open_tokenizer` returns it."""
        self._tokenizer = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        if self._backend is not None:  # transformers sets both again at each of its own calls
            self._backend.no_truncation()
            self._backend.no_padding()

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Return the ids; `special`: with what stands around each text."""
        return self.encode_all([text], special=special)[0]

    def encode_all(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        """Return the ids of many texts."""
        if self._backend is None:
            options = {"add_special_tokens": special, "verbose": False}
            return [[int(i) for i in self._tokenizer(text, **options)["input_ids"]] for text in texts]
        return [found.ids for found in self._backend.encode_batch(list(texts), add_special_tokens=special)]

    def decode(self, ids: Sequence[int], *, skip: bool) -> str:
        """Return the text; `skip`: without special tokens."""
        return self.decode_all([ids], skip=skip)[0]

    def decode_all(self, rows: Sequence[Sequence[int]], *, skip: bool) -> list[str]:
        """Return the texts of many rows of ids."""
        if self._backend is None:
            options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": False}
            return [str(self._tokenizer.decode(list(ids), **options)) for ids in rows]
        texts: list[str] = self._backend.decode_batch([list(ids) for ids in rows], skip_special_tokens=skip)
        return texts

    @cached_property
    def description(self) -> Description:
        """What tokenizer.json says; empty for a tokenizer that has none."""
        return dict(json.loads(self._backend.to_str())) if self._backend is not None else {}

    @property
    def model(self) -> Mapping[str, Any]:
        """The description's model: its type, vocabulary and merges."""
        found: Mapping[str, Any] = self.description.get("model") or {}
        return found

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Every token's id, added tokens' too."""
        return {str(token): int(number) for token, number in self._tokenizer.get_vocab().items()}

    @property
    def size(self) -> int:
        """One more than the highest id."""
        return max(self.vocabulary.values(), default=-1) + 1

    @cached_property
    def added(self) -> dict[int, AddedToken]:
        """The added tokens by their ids."""
        fields = ("special", "normalized", "lstrip", "rstrip", "single_word")
        if self._backend is not None:
            stated: list[dict[str, Any]] = self.description.get("added_tokens") or []
            rows = [(entry["id"], entry["content"], [bool(entry[name]) for name in fields]) for entry in stated]
        else:
            known = self._tokenizer.added_tokens_decoder.items()
            rows = [(int(n), token.content, [bool(getattr(token, name)) for name in fields]) for n, token in known]
        return {number: AddedToken(number, content, *flags) for number, content, flags in sorted(rows)}

    def special_id(self, role: str) -> int | None:
        """Return the id of "bos", "eos" or "pad"; None if the checkpoint names none."""
        number = getattr(self._tokenizer, f"{role}_token_id")
        return None if number is None else int(number)

    @property
    def cleans_up(self) -> bool:
        """True if tokenizer_config.json asks transformers to take spaces before punctuation out of decoded texts."""
        return bool(getattr(self._tokenizer, "clean_up_tokenization_spaces", False))

    def cleaned(self, text: str) -> tuple[str, str]:
        """Return a decoded text without these spaces, as transformers and as openvino_tokenizers take them out."""
        by_openvino = _OPENVINO_CLEAN_UP.sub(lambda found: found[found.lastindex or 0], text)
        return str(self._tokenizer.clean_up_tokenization(text)), by_openvino

    def around(self) -> tuple[list[int], list[int]]:
        """Return the ids that stand before and behind each text."""
        bare, framed = (self.encode("a", special=special) for special in (False, True))
        at = next((i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), 0)
        return framed[:at], framed[at + len(bare) :]

    def name(self, number: int) -> str:
        """Return the token of an id as the vocabulary writes it."""
        return self._names.get(number, "no token")

    @cached_property
    def _names(self) -> dict[int, str]:
        return {number: token for token, number in self.vocabulary.items()}

    def changed(self, *changes: Callable[[Description], Description]) -> ReferenceTokenizer:
        """Return the tokenizer of a changed description; `changes` do not alter the one they are given."""
        from tokenizers import Tokenizer

        description = self.description
        for change in changes:
            description = change(description)
        return ReferenceTokenizer(_Bare(Tokenizer.from_str(json.dumps(description)), self._tokenizer))


class _Bare:
    """A `tokenizers.Tokenizer` in the place of transformers' tokenizer; the rest is the original's."""

    def __init__(self, backend: Any, original: Any) -> None:
        self.backend_tokenizer = backend
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)
