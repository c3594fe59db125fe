import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgeconv.runtimes import irs, openvino_genai, openvino_vision_chat
from edgeconv.runtimes.answers import Answer, Sampling

from .conftest import Command


class Echo:
    """A Chat without a model: it says the question backwards, in two pieces."""

    made: list["Echo"]

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.options, self.resets = folder, options, 0
        Echo.made.append(self)

    def reset(self) -> None:
        self.resets += 1

    def ask(self, question: str) -> "Echo":
        self.text = question[::-1]
        return self

    def __enter__(self) -> "Echo":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Any:
        yield self.text[:1]
        yield self.text[1:]

    def cancel(self) -> None:
        pass

    def answer(self) -> Answer:
        return Answer(self.text, "stop", 5, 2, 0.25, 40.0)


class VisionEcho(Echo):
    """It also says which pictures it was given, by their names."""

    def ask(self, question: str, images: list[Path]) -> "VisionEcho":  # type: ignore[override]
        self.text = question[::-1] + "".join(f" {path.name}" for path in images)
        return self


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> list[Echo]:
    Echo.made = []
    monkeypatch.setattr(openvino_genai, "Chat", Echo)
    return Echo.made


@pytest.fixture
def seeing(echo: list[Echo], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a vision-language model, with two pictures beside it."""
    monkeypatch.setattr(openvino_vision_chat, "VisionChat", VisionEcho)
    folder = tmp_path / "OUT"
    folder.mkdir()
    (folder / f"{irs.VISION_EMBEDDINGS}.xml").touch()
    for name in ("a.png", "my b.png"):
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    return folder


def test_one_question(edgeconv: Command, echo: list[Echo]) -> None:
    result = edgeconv("chat", "OUT", "--prompt", "abc")
    assert (result.code, result.out, result.err) == (0, "cba\n", "")


def test_options_reach_the_runtime(edgeconv: Command, echo: list[Echo]) -> None:
    line = (
        "chat OUT --prompt x --system brief --max-new-tokens 9 --temperature 0.5 --top-p 0.9 --top-k 4 "
        "--repetition-penalty 1.1 --seed 3 --device AUTO"
    )
    edgeconv(*line.split())
    sampling = Sampling(9, temperature=0.5, top_p=0.9, top_k=4, repetition_penalty=1.1, seed=3)
    assert echo[0].folder == Path("OUT")
    assert echo[0].options == {"device": "AUTO", "system": "brief", "sampling": sampling}


def test_an_answer_orders_nothing(edgeconv: Command, echo: list[Echo], monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "a\x1b]0;owned\x07\n::stop-commands::x\nstd::string"
    assert edgeconv("chat", "OUT", "--prompt", answer[::-1]).out == answer.translate({27: "\\x1b", 7: "\\x07"}) + "\n"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    shown = edgeconv("chat", "OUT", "--prompt", answer[::-1]).out
    assert shown == "a\\x1b]0;owned\\x07\n\\x3a:stop-commands::x\nstd::string\n"
    assert "::stop" in edgeconv("chat", "OUT", "--prompt", answer[::-1], "--json").out


def test_lines_of_stdin_are_questions(edgeconv: Command, echo: list[Echo], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("abc\n\n/reset\n东京\n/help\n/exit\nnever\n"))
    result = edgeconv("chat", "OUT")
    assert result.out == "cba\n京东\n"
    assert "/reset" in result.err
    assert echo[0].resets == 1


def test_verbose_shows_the_speed(edgeconv: Command, echo: list[Echo]) -> None:
    result = edgeconv("chat", "OUT", "--prompt", "abc", "-v")
    assert result.out == "cba\n"
    assert "[5 tokens read, first after 0.25 s; 2 made, 40.0 a second; stop]" in result.err


@pytest.mark.parametrize("option", ["--top-p 2", "--temperature -1", "--max-new-tokens 0"])
def test_impossible_values_are_usage_errors(edgeconv: Command, echo: list[Echo], option: str) -> None:
    result = edgeconv("chat", "OUT", "--prompt", "x", *option.split())
    assert result.code == 2
    assert not echo


def test_ctrl_c_while_one_question_is_answered_ends_the_program(
    edgeconv: Command, echo: list[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Echo) -> Any:
        yield "a"
        raise KeyboardInterrupt

    monkeypatch.setattr(Echo, "__iter__", interrupted)
    result = edgeconv("chat", "OUT", "--prompt", "abc")
    assert result.code == 130
    assert result.out == "a"


def test_a_folder_that_is_no_model(edgeconv: Command, tmp_path: Path) -> None:
    result = edgeconv("chat", tmp_path, "--prompt", "x")
    assert result.code == 1
    assert "not a converted chat model" in result.err


def test_pictures_go_with_the_first_question(
    edgeconv: Command, seeing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("abc\ndef\n"))
    result = edgeconv("chat", seeing, "--image", tmp_path / "a.png", "--image", tmp_path / "my b.png")
    assert (result.code, result.out, result.err) == (0, "cba a.png my b.png\nfed\n", "")


def test_a_line_can_add_a_picture(
    edgeconv: Command, seeing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = f"abc\n/image {tmp_path}/a.png\n/image '{tmp_path}/my b.png'\ndef\nghi\n/help\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    result = edgeconv("chat", seeing)
    assert result.out == "cba\nfed a.png my b.png\nihg\n"
    assert "/image PATH" in result.err


def test_a_reset_drops_waiting_pictures(
    edgeconv: Command, seeing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("/reset\nabc\n"))
    assert edgeconv("chat", seeing, "--image", tmp_path / "a.png").out == "cba\n"


def test_a_model_that_sees_also_talks_without_pictures(edgeconv: Command, seeing: Path, echo: list[Echo]) -> None:
    assert edgeconv("chat", seeing, "--prompt", "abc").out == "cba\n"
    assert [type(one) for one in echo] == [VisionEcho]


@pytest.mark.parametrize("name", ["none.png", "OUT"])
def test_pictures_are_looked_at_before_the_model_is_loaded(
    edgeconv: Command, seeing: Path, echo: list[Echo], tmp_path: Path, name: str
) -> None:
    result = edgeconv("chat", seeing, "--prompt", "abc", "--image", tmp_path / name)
    assert result.code == 2
    assert name in result.err
    assert not echo


def test_a_bad_picture_among_the_lines_ends_the_program(
    edgeconv: Command, seeing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("/image none.png\nabc\n"))
    result = edgeconv("chat", seeing)
    assert (result.code, result.out) == (2, "")
    assert "no picture none.png" in result.err


@pytest.mark.parametrize("lines", ["/image\n", "/image   \n"])
def test_a_picture_needs_a_path(edgeconv: Command, seeing: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert edgeconv("chat", seeing).code == 2


def test_a_text_model_takes_no_pictures(
    edgeconv: Command, seeing: Path, echo: list[Echo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, picture = tmp_path / "text", tmp_path / "a.png"
    text.mkdir()
    result = edgeconv("chat", text, "--image", picture, "--prompt", "abc")
    assert result.code == 2
    assert f"{text} takes no pictures" in result.err
    assert not echo
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"/image {picture}\n/help\n"))
    result = edgeconv("chat", text)
    assert result.code == 2
    assert "takes no pictures" in result.err


def test_help_of_a_text_model_names_no_pictures(
    edgeconv: Command, echo: list[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("/help\n"))
    assert "/image" not in edgeconv("chat", "OUT").err


def test_json_is_one_line_an_answer(
    edgeconv: Command, seeing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("东京\ndef\n"))
    result = edgeconv("chat", seeing, "--image", tmp_path / "a.png", "--json")
    first, second = map(json.loads, result.out.splitlines())
    assert first == {
        "question": "东京",
        "images": [str(tmp_path / "a.png")],
        "text": "京东 a.png",
        "finish": "stop",
        "prompt_tokens": 5,
        "tokens": 2,
        "seconds_to_first": 0.25,
        "tokens_per_second": 40.0,
    }
    assert (second["images"], second["text"]) == ([], "fed")
    assert result.err == ""


def test_an_error_as_json(edgeconv: Command, seeing: Path) -> None:
    result = edgeconv("chat", seeing, "--image", "none.png", "--prompt", "x", "--json")
    assert result.error["kind"] == "UsageError"
