"""`edgeconv chat`: talk to a converted model, with pictures if it sees."""

from __future__ import annotations

import io
import sys

from ..core.option import into
from ..runtimes.options import ChatOptions
from .chat_models import find
from .chat_session import Session, check_images, require_text, talk
from .declared import command, parameters_of
from .options import Json, Verbose
from .output import Output


def _output(*, json: Json = False, verbose: Verbose = False) -> Output:
    return Output(json=json, quiet=not sys.stderr.isatty(), verbose=verbose)


def _chat(asked: ChatOptions, out: Output) -> None:
    """Chat with a converted model, the answer appearing as it is made.

    What you leave open is taken from the model's generation_config.json, or from the GGUF's own keys. A GGUF runs in
    llama.cpp, and sees with the mmproj-*.gguf beside it. Where stdin is not a terminal, each of its lines is one
    question. A line may also be a command: /image PATH adds a picture to the next question, /reset begins a new
    conversation, /exit (or Ctrl-D) leaves. Ctrl-C stops an answer, not the program. With --json each answer is one line
    of JSON.
    """
    from ..runtimes.answers import Sampling

    sampling = Sampling(**into(asked, Sampling))
    require_text("system message", asked.system or "")
    found = find(asked.path)
    check_images(asked.path, found, asked.image)
    with out.working() as progress:
        task = progress.task("Loading")
        conversation = found.open(device=asked.device, system=asked.system, sampling=sampling)
        task.finish()
    session = Session(
        conversation, takes_images=found.takes_images, verbose=out.verbose, json=out.json, images=list(asked.image)
    )
    _converse(session, asked.prompt)


chat = command(ChatOptions, _chat, _output, parameters_of(_output))


def _converse(session: Session, prompt: str | None) -> None:
    """Answer one question, those of a terminal, or each line of stdin."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # what is not UTF-8 is told of, and the next question read
    if prompt is not None:
        session.answer(prompt)
    elif sys.stdin.isatty():
        session.survive = True
        talk(session)
    else:
        for line in sys.stdin:
            if not session.obey(line.strip()):
                break
