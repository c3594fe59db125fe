import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from edgeconv.validate.runtimes import openvino_genai
from edgeconv.validate.runtimes.openvino_genai import Answer, Sampling

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


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> list[Echo]:
    Echo.made = []
    monkeypatch.setattr(openvino_genai, "Chat", Echo)
    return Echo.made


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


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, program: str, *arguments: object) -> None:
        self._master, slave = pty.openpty()
        command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self._seen = ""

    def wait_for(self, pattern: str) -> str:
        """Read until the pattern appears; return what came before its end."""
        found = self._look_for(pattern, 120)
        assert found is not None, self._seen
        return found

    def interrupt_until(self, pattern: str) -> None:
        """Press Ctrl-C until the pattern appears: one that falls between prompt and reading is lost to Python's input()."""
        for _ in range(20):
            self.process.send_signal(signal.SIGINT)
            if self._look_for(pattern, 3) is not None:
                return
        raise AssertionError(self._seen)

    def _look_for(self, pattern: str, seconds: float) -> str | None:
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self._seen)):
            if time.monotonic() > deadline:
                return None
            if select.select([self._master], [], [], 0.2)[0]:
                self._seen += os.read(self._master, 4096).decode("utf-8", "replace")
        found, self._seen = self._seen[: match.end()], self._seen[match.end() :]
        return found

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> int:
        code = self.process.wait(timeout=60)
        os.close(self._master)
        return code


ENDLESS = """
    from edgeconv.cli.main import main
    from edgeconv.validate.runtimes.openvino_genai import Sampling
    apply = Sampling.apply
    def endless(self, config):
        apply(self, config)
        config.ignore_eos = True
    Sampling.apply = endless
    main()
"""


@pytest.mark.slow
def test_a_conversation_at_a_terminal(converted: Path) -> None:
    terminal = Terminal("from edgeconv.cli.main import main; main()", "chat", converted, "--temperature", "0")
    terminal.wait_for("Ctrl-D leaves")
    terminal.wait_for("> ")
    terminal.type("日本的首都是哪里？\n")
    assert "东京" in terminal.wait_for("\n> ")
    terminal.interrupt_until("Ctrl-D leaves")  # at the prompt: a reminder, no end
    terminal.wait_for("> ")
    terminal.type("What is the capital of Italy?\n")
    assert "Rome" in terminal.wait_for("\n> ")
    terminal.type("\x04")
    assert terminal.close() == 0


@pytest.mark.slow
def test_ctrl_c_stops_the_answer_and_not_the_program(converted: Path) -> None:
    terminal = Terminal(ENDLESS, "chat", converted, "--temperature", "0", "--max-new-tokens", "100000", "-v")
    terminal.wait_for("\n> ")
    terminal.type("What is 4 + 3?\n")
    terminal.wait_for("= 7")
    terminal.interrupt_until("interrupted]")
    terminal.wait_for("\n> ")
    terminal.type("/exit\n")
    assert terminal.close() == 0


@pytest.mark.slow
def test_sigterm_while_an_answer_is_made(converted: Path) -> None:
    terminal = Terminal(ENDLESS, "chat", converted, "--temperature", "0", "--max-new-tokens", "100000")
    terminal.wait_for("\n> ")
    terminal.type("What is 4 + 3?\n")
    terminal.wait_for("= 7")
    terminal.process.terminate()
    terminal.wait_for("Terminated")
    assert terminal.close() == 143
