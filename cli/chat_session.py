"""A conversation with a model on stdin and stdout: questions, pictures, commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..core import escape
from ..core.errors import UsageError
from .chat_models import Found
from .output import paint

if TYPE_CHECKING:
    from ..runtimes.answers import Answer, Generation
    from ..runtimes.openvino_genai import Chat
    from ..runtimes.sampled_chat import SampledChat

_HELP = "/reset begins a new conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer."
_HELP_PICTURES = "/image PATH adds a picture to the next question. "


def answer(conversation: Chat | SampledChat, question: str, *, verbose: bool = False) -> Answer:
    """Ask, print the answer on stdout as it is made, and return it."""
    return Session(conversation, verbose=verbose).answer(question)


@dataclass
class Session:
    """A conversation on stdin and stdout.

    Attributes:
        conversation: with a model.
        takes_images: the model takes pictures.
        verbose: show the speed on stderr.
        json: print each answer when it is whole, as one line of JSON.
        survive: Ctrl-C ends an answer instead of the program, and a bad picture is told of instead of raised.
        images: files that go with the next question.
    """

    conversation: Chat | SampledChat
    takes_images: bool = False
    verbose: bool = False
    json: bool = False
    survive: bool = False
    images: list[Path] = field(default_factory=list)

    @property
    def help(self) -> str:
        """What can be typed."""
        return (_HELP_PICTURES if self.takes_images else "") + _HELP

    def obey(self, line: str) -> bool:
        """Do what a line says, most often answer it; False if it says to leave."""
        command, _, rest = line.partition(" ")
        if line == "/exit":
            return False
        if line == "/reset":
            self.conversation.reset()
            self.images = []
        elif line == "/help":
            sys.stderr.write(self.help + "\n")
        elif command == "/image":
            self._add(rest.strip())
        elif line:
            self.answer(line)
        return True

    def answer(self, question: str) -> Answer:
        """Answer one question, with the pictures that wait for it."""
        require_text("question", question)
        images = self.images
        with self._ask(question, images) as generation:
            self.images = []
            self._show(generation)
            result = generation.answer()
        if self.json:
            _print(escape.json(_as_json(question, images, result)))
        _print("\n")
        if self.verbose:
            sys.stderr.write(
                f"[{result.prompt_tokens} tokens read, first after {result.seconds_to_first:.2f} s; "
                f"{result.tokens} made, {result.tokens_per_second:.1f} a second; {result.finish}]\n"
            )
        return result

    def _show(self, generation: Generation) -> None:
        """Print an answer as it is made: what a model says is text, for a terminal and for the log of a CI system."""
        lines = escape.Lines()
        whole = False
        try:
            while not whole:
                try:
                    for piece in generation:
                        if not self.json:
                            _print(lines.feed(piece))
                    whole = True
                except KeyboardInterrupt:
                    self.survive = self.survive and not generation.stuck
                    if not self.survive:
                        raise
                    generation.cancel()
        finally:
            _print(lines.rest())

    def _ask(self, question: str, images: list[Path]) -> Generation:
        if self.takes_images:
            return cast("SampledChat", self.conversation).ask(question, images)
        return self.conversation.ask(question)

    def _add(self, name: str) -> None:
        from ..core.picture_file import open_picture

        if not self.takes_images:
            raise _takes_none("This model")
        if not name:
            raise UsageError("/image takes the path of a picture.")
        path = Path(name if Path(name).is_file() else name.strip("'\"")).expanduser()  # a file manager may quote it
        width, height = open_picture(path).size
        self.images.append(path)
        if self.survive:
            sys.stderr.write(f"{escape.terminal(path.name)}, {width} x {height}, goes with the next question.\n")


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def require_text(what: str, text: str) -> None:
    """Refuse a text with bytes that are not UTF-8. Raises UsageError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"The {what} is not UTF-8 text.", "Set the terminal, or save the file, as UTF-8.") from None


def check_images(path: Path, found: Found, images: Sequence[Path]) -> None:
    """Say what is wrong with the pictures before a model is loaded."""
    if not images:
        return
    from ..core.picture_file import open_picture

    if path.exists() and not found.takes_images:
        raise _takes_none(str(path), found.why_not)
    for image in images:
        open_picture(image)


def _takes_none(who: str, reason: str = "") -> UsageError:
    hint = "Convert a vision model, for example THUDM/glm-edge-v-2b."
    return UsageError(f"{who} takes no pictures.", f"{reason}. {hint}" if reason else hint)


def _as_json(question: str, images: list[Path], result: Answer) -> str:
    content = {"question": question, "images": list(map(str, images)), **asdict(result)}
    return json.dumps(content, ensure_ascii=False)


def talk(session: Session) -> None:
    """Read questions from a terminal until /exit or Ctrl-D."""
    import readline  # noqa: F401 - importing it gives input() line editing and a history

    sys.stderr.write(session.help + "\n")
    while True:
        try:
            if not session.obey(_read().strip()):
                return
        except EOFError:
            sys.stderr.write("\n")
            return
        except KeyboardInterrupt:
            if not session.survive:  # what is being made cannot be stopped
                raise
            sys.stderr.write("\n" + session.help + "\n")
        except UsageError as error:
            hint = f" {error.hint}" if error.hint else ""
            sys.stderr.write(f"{paint('error:', '1;31', sys.stderr)} {escape.terminal(error.message + hint)}\n")


def _read() -> str:
    if sys.stdout.isatty():
        return input("> ")
    sys.stderr.write(paint("> ", "1", sys.stderr))  # stdout goes to a file: keep it free of prompts
    sys.stderr.flush()
    return input()
