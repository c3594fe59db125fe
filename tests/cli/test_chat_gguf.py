"""`edgeconv chat` with what `edgeconv gguf` has made."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from edgeconv import builtin
from edgeconv.builtin import pictures
from edgeconv.convert.conversion import GgufJob, run
from edgeconv.convert.gguf.recipe import recipe

from .conftest import Command
from .terminal import Terminal

GREEDY = ("--temperature", "0")
ITALY = "What is the capital of Italy?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("gguf") / "q8"
    return run(GgufJob(str(builtin.model_path()), recipe("q8_0"), output=output)).path


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("gguf") / "q8v"
    return run(GgufJob(str(builtin.vision_model_path()), recipe("q8_0"), output=output)).path


def test_one_question_by_folder_and_by_file(edgeconv: Command, folder: Path) -> None:
    (file,) = folder.glob("*.gguf")
    for path in (folder, file):
        result = edgeconv("chat", path, "--prompt", ITALY, *GREEDY, "-v")
        assert result.code == 0, result.err
        assert "Rome" in result.out
        assert "a second; stop]" in result.err


def test_lines_of_stdin_and_a_reset(edgeconv: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{ITALY}\n{ITALY}\n/reset\n{ITALY}\n/help\n"))
    result = edgeconv("chat", folder, *GREEDY, "--json")
    first, second, third = map(json.loads, result.out.splitlines())
    assert "Rome" in first["text"]
    assert second["prompt_tokens"] > first["prompt_tokens"] == third["prompt_tokens"]
    assert (third["text"], third["finish"], third["images"]) == (first["text"], "stop", [])
    assert "/image" not in result.err


def test_pictures_of_options_and_lines(
    edgeconv: Command, seeing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pictures.samples(1)[:2]
    for name, sample in (("one.png", one), ("two.png", two)):
        sample.picture.save(tmp_path / name)
    lines = f"{one.question}\n/reset\n/image {tmp_path}/two.png\n{two.question}\n/reset\n{ITALY}\n/help\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    result = edgeconv("chat", seeing, "--image", tmp_path / "one.png", *GREEDY)
    assert result.out.splitlines() == [one.answer, two.answer, "The capital of Italy is Rome."]
    assert result.err.startswith("/image PATH")


def test_pictures_need_a_mmproj(edgeconv: Command, folder: Path, seeing: Path, tmp_path: Path) -> None:
    picture = tmp_path / "one.png"
    pictures.samples(1)[0].picture.save(picture)
    (file,) = (path for path in seeing.glob("*.gguf") if not path.name.startswith("mmproj"))
    alone = shutil.copy(file, tmp_path / "x.gguf")
    for path, name in ((folder, next(folder.glob("*.gguf")).name), (alone, "x.gguf")):
        result = edgeconv("chat", path, "--image", picture, "--prompt", "x")
        assert result.code == 2
        assert "takes no pictures" in result.err
        assert f"There is no mmproj-*.gguf beside {name}." in result.err


def test_a_folder_of_several_is_asked_about(edgeconv: Command, folder: Path, tmp_path: Path) -> None:
    (file,) = folder.glob("*.gguf")
    for name in ("a.gguf", "b.gguf"):
        shutil.copy(file, tmp_path / name)
    result = edgeconv("chat", tmp_path, "--prompt", "x")
    assert result.code == 1
    assert "Name one: a.gguf, b.gguf." in result.err
    assert "Rome" in edgeconv("chat", tmp_path / "b.gguf", "--prompt", ITALY, *GREEDY).out


@pytest.mark.parametrize(("content", "says"), [(None, "There is no file"), (b"GGUF", "x.gguf")])
def test_what_is_no_gguf(edgeconv: Command, tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "x.gguf"
    if content is not None:
        path.write_bytes(content)
    result = edgeconv("chat", path, "--prompt", "x")
    assert result.code == 1
    assert says in result.err
    assert "Traceback" not in result.err


@pytest.mark.slow
def test_ctrl_c_stops_the_answer_and_not_the_program(folder: Path) -> None:
    program = """
        from edgeconv.cli.main import main
        from edgeconv.runtimes.llama_cpp_chat import LlamaCppChat
        ask = LlamaCppChat.ask
        def endless(self, *arguments):
            self.rules.stop_token_ids = frozenset()
            return ask(self, *arguments)
        LlamaCppChat.ask = endless
        main()
    """
    terminal = Terminal(program, "chat", folder, *GREEDY, "--max-new-tokens", "7000", "-v")
    terminal.wait_for("\n> ")
    terminal.type("What is 4 + 3?\n")
    terminal.wait_for("= 7")
    terminal.interrupt_until("interrupted]")
    terminal.wait_for("\n> ")
    terminal.type("/exit\n")
    assert terminal.close() == 0
