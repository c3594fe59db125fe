"""`edgeconv chat` with what `edgeconv onnx` has made."""

import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Command
from .terminal import Terminal

GREEDY = ("--temperature", "0")
ITALY = "What is the capital of Italy?"


def test_one_question(edgeconv: Command, converted_onnx: Path) -> None:
    result = edgeconv("chat", converted_onnx, "--prompt", ITALY, *GREEDY, "-v")
    assert result.code == 0
    assert "Rome" in result.out
    assert "a second; stop]" in result.err


def test_lines_of_stdin_and_a_reset(edgeconv: Command, converted_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{ITALY}\n{ITALY}\n/reset\n{ITALY}\n/help\n"))
    result = edgeconv("chat", converted_onnx, *GREEDY, "--json")
    first, second, third = map(json.loads, result.out.splitlines())
    assert "Rome" in first["text"]
    assert second["prompt_tokens"] > first["prompt_tokens"] == third["prompt_tokens"]
    assert (third["text"], third["finish"], third["images"]) == (first["text"], "stop", [])
    assert "/image" not in result.err


def test_pictures_are_refused_before_anything_is_loaded(
    edgeconv: Command, converted_onnx: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    result = edgeconv("chat", converted_onnx, "--prompt", ITALY, "--image", tmp_path / "a.png")
    assert result.code == 2
    assert "takes no pictures" in result.err


@pytest.mark.slow
def test_ctrl_c_stops_the_answer_and_not_the_program(converted_onnx: Path) -> None:
    program = """
        from edgeconv.cli.main import main
        from edgeconv.runtimes import onnx_chat
        ask = onnx_chat.OnnxChat.ask
        def endless(self, *arguments):
            self.rules.stop_token_ids, self.limit = frozenset(), 10**9
            return ask(self, *arguments)
        onnx_chat.OnnxChat.ask = endless
        main()
    """
    terminal = Terminal(program, "chat", converted_onnx, *GREEDY, "--max-new-tokens", "100000", "-v")
    terminal.wait_for("\n> ")
    terminal.type("What is 4 + 3?\n")
    terminal.wait_for("= 7")
    terminal.interrupt_until("interrupted]")
    terminal.wait_for("\n> ")
    terminal.type("/exit\n")
    assert terminal.close() == 0
