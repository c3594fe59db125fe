"""A runtime that does not come back: Ctrl-C and SIGTERM end the program all the same."""

import pytest

from .terminal import Terminal

PROGRAM = """
    import time
    from edgeconv.cli.main import main
    from edgeconv.runtimes import answers, openvino_genai

    class Stuck(answers.Generation):
        def _generate(self):
            print("at work", flush=True)
            time.sleep(1000)

        def _finish(self, shown, interrupted): ...

        def _forget(self): ...

    class Chat:
        def __init__(self, *arguments, **options): ...

        def ask(self, question):
            return Stuck()

    answers.PATIENCE = 0.5
    openvino_genai.Chat = Chat
    main()
"""


def test_ctrl_c_again_when_the_answer_does_not_end() -> None:
    terminal = Terminal(PROGRAM, "chat", "OUT")
    terminal.wait_for("\n> ")
    terminal.type("What is 4 + 3?\n")
    terminal.wait_for("at work")
    terminal.interrupt_until("Interrupted")
    assert terminal.close() == 130


@pytest.mark.parametrize(
    ("signal", "says", "code"), [("terminate", "Terminated", 143), ("interrupt", "Interrupted", 130)]
)
def test_one_question_that_does_not_end(signal: str, says: str, code: int) -> None:
    terminal = Terminal(PROGRAM, "chat", "OUT", "--prompt", "What is 4 + 3?")
    terminal.wait_for("at work")
    terminal.interrupt_until(says) if signal == "interrupt" else terminal.process.terminate()
    assert terminal.close() == code
