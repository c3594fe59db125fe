"""Chats with pictures over every family with a vision part, in each runtime of graphs, against transformers."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

from edgeconv.convert import conversion, families
from edgeconv.convert.conversion import OnnxJob, run
from edgeconv.quantize.scheme import Request
from edgeconv.runtimes.answers import Sampling
from edgeconv.runtimes.onnx_chat import OnnxChat
from edgeconv.runtimes.openvino_vision_chat import VisionChat
from edgeconv.runtimes.sampled_chat import SampledChat

from ..models import tiny_vlm
from .vision_models import Torch, Turn, photo

FAMILIES = [kind for kind in families.vision_language_types() if kind in tiny_vlm.FAMILIES]
NEAR = 1e-3
GREEDY = Sampling(max_new_tokens=6, temperature=0)
EXACT = {"EXECUTION_MODE_HINT": "ACCURACY"}


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vlm.make(request.param, tmp_path_factory.mktemp(request.param), dtype="float32")


@pytest.fixture(scope="module")
def torch(checkpoint: Path) -> Torch:
    return Torch(checkpoint)


@pytest.fixture(scope="module", params=["openvino", "onnx"])
def chat(request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SampledChat:
    output = tmp_path_factory.mktemp(request.param) / "fp32"
    if request.param == "onnx":
        return OnnxChat(run(OnnxJob(str(checkpoint), Request("fp32"), output=output)).path, sampling=GREEDY)
    made = conversion.run(conversion.Job(model=str(checkpoint), request=Request("fp32"), output=output))
    return VisionChat(made.path, sampling=GREEDY, properties=EXACT)


def follow(chat: SampledChat, torch: Torch, turns: list[Turn], question: str, *pictures: Image.Image) -> str:
    """Ask, compare ids, and the logits of each token that transformers makes; return the answer's text."""
    _, ids, shown = chat.prompt(question, pictures)
    wanted, made, logits = torch.answer(*turns, ("user", question, *pictures))
    assert ids == wanted
    found = chat.model.prefill(ids, shown, Event())
    for token, expected in zip(made, logits, strict=True):
        np.testing.assert_allclose(found, expected, atol=NEAR)
        found = chat.model.step(token)
    chat.rules.stop_token_ids = frozenset()
    text = chat.reply(question, pictures).text
    assert text == torch.processor.tokenizer.decode(made, skip_special_tokens=True).rstrip("\ufffd")
    return text


CONVERSATIONS: dict[str, list[tuple[str, list[Callable[[], Image.Image]]]]] = {
    "words": [("Hello", []), ("And?", [])],
    "a picture": [("What is this?", [lambda: photo(1)]), ("And now?", [])],
    "two, and one later": [
        ("Compare.", [lambda: photo(1, 120, 60), lambda: photo(2, 60, 100)]),
        ("And?", []),
        ("And this?", [lambda: photo(3, 150, 170)]),
    ],
    "a picture behind words": [("Hello", []), ("What?", [lambda: photo(4, 40, 160).convert("L")])],
}


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_a_conversation_is_transformers(kind: str, chat: SampledChat, torch: Torch) -> None:
    chat.reset()
    turns: list[Turn] = []
    for question, makes in CONVERSATIONS[kind]:
        pictures = [make() for make in makes]
        text = follow(chat, torch, turns, question, *pictures)
        turns += [("user", question, *pictures), ("assistant", text)]


def test_words_alone_never_load_the_tower(checkpoint: Path, chat: SampledChat) -> None:
    """The chat is shared: its tower is there only if a test before has shown a picture."""
    chat.reset()
    before = chat.model._tower
    chat.model._tower = None
    try:
        chat.reply("Hello")
        assert chat.model._tower is None
        chat.reply("Look", [photo(1)])
        assert chat.model._tower is not None
    finally:
        chat.model._tower = before or chat.model._tower


def test_a_picture_in_the_cache_is_not_read_again(chat: SampledChat) -> None:
    """Nor is one taken for another of the same size."""
    chat.reset()
    _, ids, shown = chat.prompt("What is this?", [photo(1)])
    first = chat.model.prefill(ids, shown, Event()).copy()
    read: list[int] = []
    forward = chat.model._forward
    chat.model._forward = lambda given, new, *rest: (read.append(len(new)), forward(given, new, *rest))[1]
    try:
        longer = [*ids, 77, 78]
        assert_close(chat.model.prefill(longer, shown, Event()), longer, shown, chat)
        _, ids, others = chat.prompt("What is this?", [photo(2)])
        other = chat.model.prefill(ids, others, Event())
        assert np.abs(other - first).max() > 100 * NEAR
        # a layer that keeps a state is read again from the beginning
        start = ids.index(chat.model._placeholder) if chat.model._decoder.shorten(1) else 0
        assert read == [2, len(longer), len(ids) - start]
    finally:
        del chat.model._forward


def assert_close(found: np.ndarray, ids: list[int], shown: list, chat: SampledChat) -> None:
    kept = found.copy()
    chat.model.clear()
    np.testing.assert_allclose(kept, chat.model.prefill(ids, shown, Event()), atol=NEAR)
