"""Chats about pictures with GGUFs of every projector type, beside transformers' own processor and model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeconv.convert import families
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.errors import UsageError
from edgeconv.runtimes.answers import Sampling
from edgeconv.runtimes.llama_cpp_cached import CachedLlama, _Growing
from edgeconv.runtimes.llama_cpp_chat import LlamaCppChat
from edgeconv.validate.fitted import fitted
from edgeconv.validate.multimodal.conversations import Turn
from edgeconv.validate.multimodal.processor import Processor

from ..models import tiny_vlm_gguf

Array = np.ndarray[Any, Any]
NEW = 6
DEVIATION = 0.03
"""RMS of errors of logits over theirs: llama.cpp's float16, 0.016 at most. Positions that count tokens make 0.18 and more."""
GREEDY = Sampling(max_new_tokens=NEW, temperature=0)
DEFECTS = ("idefics3", "smolvlm", "glm_ocr")
"""Types whose pictures are tiles and the whole, which is always resized, by each in its own way; and one that b9190 norms."""
STATES = ("qwen3_5",)
"""Types whose cache cannot be cut: a later turn reads everything again."""
QUESTIONS = ("What is it?", "And what else?", "And here?")


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


PICTURE, OTHER = noise(168, 112), noise(70, 90)


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


def error(made: Array, expected: Array) -> float:
    return float(np.sqrt(np.square(made - expected).mean() / np.square(expected).mean()))


def asked(source: Path, conversation: list[tuple[str, Image.Image | None]]) -> list[tuple[list[int], Array, str]]:
    """Of each turn the prompt by transformers' processor, the logits behind it, and what its model answers greedily."""
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
                input_ids=ids, attention_mask=torch.ones_like(ids), **given, max_new_tokens=NEW, do_sample=False,
                output_logits=True, return_dict_in_generate=True,
            )  # fmt: skip
        text = processor._tokenizer.decode(out.sequences[0][len(made.ids) :], skip_special_tokens=True)
        found.append((made.ids, out.logits[0][0].numpy(), text))
        turns.append(Turn("assistant", text))
    return found


def test_logits_are_transformers(model: Model) -> None:
    """A picture in the first turn, none in the second, another one in the third, of which each is read on from the last."""
    chat, processor = model.chat(), Processor(model.source)
    config = open_checkpoint(model.source).config
    part = families.vision_part(model.source.name)
    assert part
    assert part.mmproj
    assert part.mmproj.seen
    square, stretch = part.mmproj.square(config), part.mmproj.seen.stretch

    def shown(picture: Image.Image) -> Any:
        return fitted(picture, lambda one: processor([Turn("user", "?", (one,))]).pixels, stretch, square)

    conversation = list(zip(QUESTIONS, (shown(PICTURE), None, shown(OTHER)), strict=True))
    for (question, picture), (ids, logits, text) in zip(conversation, asked(model.source, conversation), strict=True):
        messages, made, pictures = chat.prompt(question, [picture] if picture else [])
        assert len(made) == len(ids)
        if model.source.name not in DEFECTS:
            assert error(chat.model.prefill(made, pictures, Event()), logits) < DEVIATION
        chat.messages, chat._pictures = messages, pictures
        chat.remember(text)
    chat.close()


def test_tokens_are_not_positions(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture moves positions on by its longer side where they have several axes; one who counts tokens is found out."""
    monkeypatch.setattr(CachedLlama, "_position", lambda self, count: count)
    chat, processor = model.chat(), Processor(model.source)
    turn = Turn("user", QUESTIONS[0], (noise(112, 112),))
    made = processor([turn])
    if "image_grid_thw" not in made.arrays or model.source.name in DEFECTS:
        return
    fit = fitted(turn.pictures[0], lambda one: processor([Turn("user", "?", (one,))]).pixels, None)
    conversation: list[tuple[str, Image.Image | None]] = [(QUESTIONS[0], fit), (QUESTIONS[1], None)]
    expected = asked(model.source, conversation)
    errors = []
    for (question, picture), (_, logits, text) in zip(conversation, expected, strict=True):
        messages, ids, pictures = chat.prompt(question, [picture] if picture else [])
        errors.append(error(chat.model.prefill(ids, pictures, Event()), logits))
        chat.messages, chat._pictures = messages, pictures
        chat.remember(text)
    assert max(errors) > 3 * DEVIATION


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
    assert seen == [-1] or (model.source.name in STATES and set(seen) == {-1})
    before = len(seen)
    chat.reset()
    chat.reply(QUESTIONS[0], [PICTURE, OTHER])
    assert second.prompt_tokens > first.prompt_tokens
    assert len(seen) == before + 2
    chat.close()


def test_placeholders_of_the_users_own_are_refused(model: Model) -> None:
    chat = model.chat()
    seen = chat._sight.seen  # type: ignore[union-attr]
    for text in {seen.written, seen.placeholder}:
        with pytest.raises(UsageError, match="pictures"):
            chat.prompt(f"What is {text}?", [])
    chat.close()
