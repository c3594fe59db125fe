"""Chats about pictures with GGUFs of every projector type, beside transformers' own processor and model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeconv.core.errors import UsageError
from edgeconv.runtimes.answers import Sampling
from edgeconv.runtimes.llama_cpp_cached import _Growing
from edgeconv.runtimes.llama_cpp_chat import LlamaCppChat
from edgeconv.validate.seeing.conversations import Turn
from edgeconv.validate.seeing.processor import Processor

from ..models import tiny_vlm_gguf

NEW = 6
GREEDY = Sampling(max_new_tokens=NEW, temperature=0)
OWN_TILES = ("internvl",)
"""Types of whose pictures llama.cpp makes other tiles than the model's processor."""
QUESTIONS = ("What is it?", "And what else?", "And here?")


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


PICTURE, OTHER = noise(168, 112), noise(112, 112)


@dataclass
class Model:
    """A tiny checkpoint and its GGUFs."""

    source: Path
    file: Path
    projector: Path

    def chat(self) -> LlamaCppChat:
        return LlamaCppChat(self.file, projector=self.projector, sampling=GREEDY)


@pytest.fixture(scope="module", params=tiny_vlm_gguf.TYPES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp(request.param)
    source = tiny_vlm_gguf.make(request.param, folder / request.param)
    yield Model(source, *tiny_vlm_gguf.convert(source, folder / "out"))


def captions(source: Path, conversation: list[tuple[str, Image.Image | None]]) -> list[tuple[list[int], str]]:
    """Of each turn the prompt by transformers' processor, and what its model answers greedily."""
    import torch
    from transformers import AutoModelForImageTextToText

    loaded: Any = AutoModelForImageTextToText.from_pretrained(source, dtype=torch.float32).eval()
    processor = Processor(source)
    turns: list[Turn] = []
    found = []
    for question, picture in conversation:
        turns.append(Turn("user", question, (picture,) if picture else ()))
        made = processor(turns)
        given = {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in made.arrays.items()}
        ids = torch.tensor([made.ids])
        with torch.no_grad():
            out = loaded.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), **given, max_new_tokens=NEW, do_sample=False
            )
        text = processor._tokenizer.decode(out[0][len(made.ids) :], skip_special_tokens=True)
        found.append((made.ids, text))
        turns.append(Turn("assistant", text))
    return found


def test_answers_are_transformers(model: Model) -> None:
    """A picture in the first turn, none in the second, another one in the third, of which each is read on from the last."""
    if model.source.name in OWN_TILES:
        return
    chat = model.chat()
    conversation = list(zip(QUESTIONS, (PICTURE, None, OTHER), strict=True))
    expected = captions(model.source, conversation)
    for (question, picture), (ids, text) in zip(conversation, expected, strict=True):
        made = chat.reply(question, [picture] if picture else [])
        assert (made.prompt_tokens, made.text) == (len(ids), text)
    chat.close()


def test_a_picture_is_read_once_and_text_alone_loads_no_tower(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = model.chat()
    assert chat.reply(QUESTIONS[0]).tokens
    assert chat.model._tower is None
    seen: list[int] = []
    see = _Growing.see
    monkeypatch.setattr(
        _Growing, "see", lambda self, tower, number, past: (seen.append(number), see(self, tower, number, past))
    )
    first = chat.reply(QUESTIONS[1], [PICTURE])
    second = chat.reply(QUESTIONS[2])
    assert seen == [-1]
    chat.reset()
    chat.reply(QUESTIONS[0], [PICTURE, OTHER])
    assert second.prompt_tokens > first.prompt_tokens
    assert len(seen) == 3
    chat.close()


def test_placeholders_of_the_users_own_are_refused(model: Model) -> None:
    chat = model.chat()
    seen = chat._sight.seen  # type: ignore[union-attr]
    for text in {seen.written, seen.placeholder}:
        with pytest.raises(UsageError, match="pictures"):
            chat.prompt(f"What is {text}?", [])
    chat.close()
