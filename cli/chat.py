"""`edgeconv chat`: talk to a converted model, with pictures if it sees."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..core import escape
from ..core.errors import UsageError
from .chat_models import Found, find
from .options import Device, Json, Verbose
from .output import Output, paint

if TYPE_CHECKING:
    from ..runtimes.answers import Answer, Generation
    from ..runtimes.openvino_genai import Chat
    from ..runtimes.sampled_chat import SampledChat

_HELP = "/reset begins a new conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer."
_HELP_PICTURES = "/image PATH adds a picture to the next question. "


def chat(
    path: Annotated[
        Path, typer.Argument(metavar="OUT", help="A converted model: the folder of IRs or of ONNX, or a GGUF.")
    ],
    *,
    image: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="A picture for the first question. Repeatable.")
    ] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="The system message.")] = None,
    max_new_tokens: Annotated[int, typer.Option(metavar="N", help="The most tokens of one answer.")] = 512,
    temperature: Annotated[
        float | None, typer.Option(metavar="T", help="0: always the likeliest token; above: sample.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="P", help="Sample from the likeliest tokens that sum up to P.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(metavar="K", help="Sample from the K likeliest tokens.")] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(metavar="R", help="Above 1: tokens that were used become less likely.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Makes sampling repeatable.")] = None,
    device: Device = "CPU",
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="Answer this one question and exit.")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Chat with a converted model, the answer appearing as it is made.

    What you leave open is taken from the model's generation_config.json, or from the GGUF's own keys. A GGUF runs in
    llama.cpp, and sees with the mmproj-*.gguf beside it. Where stdin is not a terminal, each of its lines is one
    question. A line may also be a command: /image PATH adds a picture to the next question, /reset begins a new
    conversation, /exit (or Ctrl-D) leaves. Ctrl-C stops an answer, not the program. With --json each answer is one line
    of JSON.
    """
    from ..runtimes.answers import Sampling

    sampling = Sampling(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        repetition_penalty=repetition_penalty,
        seed=seed,
    )
    images = image or []
    _require_text("system message", system or "")
    found = find(path)
    _check_images(path, found, images)
    out = Output(json=as_json, quiet=not sys.stderr.isatty(), verbose=verbose)
    with out.working() as progress:
        task = progress.task("Loading")
        conversation = found.open(device=device, system=system, sampling=sampling)
        task.finish()
    session = _Session(conversation, sees=found.sees, verbose=verbose, json=as_json, images=images)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(
            errors="surrogateescape"
        )  # a question that is not UTF-8 is told of, and the next one read
    if prompt is not None:
        session.answer(prompt)
    elif sys.stdin.isatty():
        session.survive = True
        _talk(session)
    else:
        for line in sys.stdin:
            if not session.obey(line.strip()):
                break


def answer(conversation: Chat | SampledChat, question: str, *, verbose: bool = False) -> Answer:
    """Ask, print the answer on stdout as it is made, and return it."""
    return _Session(conversation, verbose=verbose).answer(question)


@dataclass
class _Session:
    """A conversation on stdin and stdout.

    Attributes:
        conversation: with a model.
        sees: the model takes pictures.
        verbose: show the speed on stderr.
        json: print each answer when it is whole, as one line of JSON.
        survive: Ctrl-C ends an answer instead of the program, and a bad picture is told of instead of raised.
        images: files that go with the next question.
    """

    conversation: Chat | SampledChat
    sees: bool = False
    verbose: bool = False
    json: bool = False
    survive: bool = False
    images: list[Path] = field(default_factory=list)

    @property
    def help(self) -> str:
        """What can be typed."""
        return (_HELP_PICTURES if self.sees else "") + _HELP

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
        _require_text("question", question)
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
        if self.sees:
            return cast("SampledChat", self.conversation).ask(question, images)
        return self.conversation.ask(question)

    def _add(self, name: str) -> None:
        from ..convert.families.glm_edge_v_model.pixels import open_picture

        if not self.sees:
            raise _blind("This model")
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


def _require_text(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"The {what} is not UTF-8 text.", "Set the terminal, or save the file, as UTF-8.") from None


def _check_images(path: Path, found: Found, images: list[Path]) -> None:
    """Say what is wrong with the pictures before a model is loaded."""
    if not images:
        return
    from ..convert.families.glm_edge_v_model.pixels import open_picture

    if path.exists() and not found.sees:
        raise _blind(str(path), found.blind)
    for image in images:
        open_picture(image)


def _blind(who: str, reason: str = "") -> UsageError:
    hint = "Convert a vision model, for example THUDM/glm-edge-v-2b."
    return UsageError(f"{who} takes no pictures.", f"{reason}. {hint}" if reason else hint)


def _as_json(question: str, images: list[Path], result: Answer) -> str:
    content = {"question": question, "images": list(map(str, images)), **asdict(result)}
    return json.dumps(content, ensure_ascii=False)


def _talk(session: _Session) -> None:
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
