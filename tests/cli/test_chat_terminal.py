import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from edgeconv.convert import conversion
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request

from .terminal import Terminal

pytestmark = pytest.mark.slow
ENDLESS = """
    from edgeconv.cli.main import main
    from edgeconv.runtimes.answers import Sampling
    apply = Sampling.apply
    def endless(self, config):
        apply(self, config)
        config.ignore_eos = True
    Sampling.apply = endless
    main()
"""


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


def test_ctrl_c_stops_the_answer_and_not_the_program(converted: Path) -> None:
    terminal = Terminal(ENDLESS, "chat", converted, "--temperature", "0", "--max-new-tokens", "100000", "-v")
    terminal.wait_for("\n> ")
    terminal.type("What is 4 + 3?\n")
    terminal.wait_for("= 7")
    terminal.interrupt_until("interrupted]")
    terminal.wait_for("\n> ")
    terminal.type("/exit\n")
    assert terminal.close() == 0


def test_sigterm_while_an_answer_is_made(converted: Path) -> None:
    terminal = Terminal(ENDLESS, "chat", converted, "--temperature", "0", "--max-new-tokens", "100000")
    terminal.wait_for("\n> ")
    terminal.type("What is 4 + 3?\n")
    terminal.wait_for("= 7")
    terminal.process.terminate()
    terminal.wait_for("Terminated")
    assert terminal.close() == 143


@pytest.fixture(scope="module")
def vision_model(tiny_vision_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random one: what it says means nothing."""
    output = tmp_path_factory.mktemp("vision") / "int8"
    job = conversion.Job(model=str(tiny_vision_model()), request=Request("int8"), output=output)
    return conversion.run(job, Silent()).path


def test_pictures_at_a_terminal(vision_model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (80, 60), "red").save(tmp_path / "a.png")
    terminal = Terminal(
        "from edgeconv.cli.main import main; main()",
        "chat", vision_model, "--temperature", "0", "--max-new-tokens", "8", "-v", "--image", tmp_path / "a.png",
    )  # fmt: skip
    terminal.wait_for("/image PATH")
    terminal.wait_for("> ")
    terminal.type("What is it?\n")
    with_one = int(re.findall(r"\[(\d+) tokens read", terminal.wait_for("length]"))[-1])
    terminal.wait_for("\n> ")
    terminal.type("/image none.png\n")
    terminal.wait_for("error:.* no picture none.png")
    terminal.wait_for("> ")
    terminal.type(f"/image {tmp_path / 'a.png'}\n")
    terminal.wait_for("a.png, 80 x 60, goes with the next question")
    terminal.wait_for("> ")
    terminal.type("And this?\n")
    assert int(re.findall(r"\[(\d+) tokens read", terminal.wait_for("length]"))[-1]) > with_one + 6 + 8
    terminal.wait_for("\n> ")
    terminal.type("/exit\n")
    assert terminal.close() == 0


def test_ctrl_c_stops_an_answer_about_a_picture(vision_model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (80, 60), "red").save(tmp_path / "a.png")
    program = """
        from edgeconv.cli.main import main
        from edgeconv.runtimes import openvino_vision_chat
        ask = openvino_vision_chat.VisionChat.ask
        def endless(self, *arguments):
            self.rules.stop_token_ids, self.limit = frozenset(), 10**9
            return ask(self, *arguments)
        openvino_vision_chat.VisionChat.ask = endless
        main()
    """
    terminal = Terminal(
        program,
        "chat",
        vision_model,
        "--temperature",
        "0",
        "--max-new-tokens",
        "100000",
        "-v",
        "--image",
        tmp_path / "a.png",
    )
    terminal.wait_for("\n> ")
    terminal.type("What is it?\n")
    terminal.wait_for("What is it\\?\r\n.{3}")
    terminal.interrupt_until("interrupted]")
    terminal.wait_for("\n> ")
    terminal.type("/exit\n")
    assert terminal.close() == 0
