"""`edgeconv chat`: talk to a converted model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, Verbose
from .output import Output, paint

if TYPE_CHECKING:
    from ..validate.runtimes.openvino_genai import Answer, Chat

_HELP = "/reset begins a new conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer."


def chat(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of a converted model.")],
    *,
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
    verbose: Verbose = False,
) -> None:
    """Chat with a converted model, the answer appearing as it is made.

    What you leave open is taken from the model's generation_config.json. Where stdin is not a terminal, each of its
    lines is one question. At the prompt, /reset begins a new conversation, /exit or Ctrl-D leaves; Ctrl-C stops an
    answer, not the program.
    """
    from ..validate.runtimes.openvino_genai import Chat, Sampling

    sampling = Sampling(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        repetition_penalty=repetition_penalty,
        seed=seed,
    )
    out = Output(quiet=not sys.stderr.isatty(), verbose=verbose)
    with out.working() as progress:
        task = progress.task("Loading")
        conversation = Chat(folder, device=device, system=system, sampling=sampling)
        task.finish()
    if prompt is not None:
        answer(conversation, prompt, verbose=verbose)
    elif sys.stdin.isatty():
        _talk(conversation, verbose=verbose)
    else:
        for line in sys.stdin:
            if not _obey(conversation, line.strip(), verbose=verbose, survive=False):
                break


def answer(conversation: Chat, question: str, *, verbose: bool = False, survive: bool = False) -> Answer:
    """Ask, print the answer on stdout as it is made, and return it.

    Ctrl-C ends the answer early; unless `survive`, it then goes on as KeyboardInterrupt.
    """
    with conversation.ask(question) as generation:
        while True:
            try:
                for piece in generation:
                    sys.stdout.write(piece)
                    sys.stdout.flush()
                break
            except KeyboardInterrupt:
                if not survive:
                    raise
                generation.cancel()
        result = generation.answer()
    sys.stdout.write("\n")
    sys.stdout.flush()
    if verbose:
        sys.stderr.write(
            f"[{result.prompt_tokens} tokens read, first after {result.seconds_to_first:.2f} s; "
            f"{result.tokens} made, {result.tokens_per_second:.1f} a second; {result.finish}]\n"
        )
    return result


def _talk(conversation: Chat, *, verbose: bool) -> None:
    """Read questions from a terminal until /exit or Ctrl-D."""
    import readline  # noqa: F401 - importing it gives input() line editing and a history

    sys.stderr.write(_HELP + "\n")
    while True:
        try:
            question = _read().strip()
        except EOFError:
            sys.stderr.write("\n")
            return
        except KeyboardInterrupt:
            sys.stderr.write("\n" + _HELP + "\n")
            continue
        if not _obey(conversation, question, verbose=verbose, survive=True):
            return


def _read() -> str:
    if sys.stdout.isatty():
        return input("> ")
    sys.stderr.write(paint("> ", "1", sys.stderr))  # stdout goes to a file: keep it free of prompts
    sys.stderr.flush()
    return input()


def _obey(conversation: Chat, line: str, *, verbose: bool, survive: bool) -> bool:
    """Do what a line says, most often answer it; False if it says to leave."""
    if line == "/exit":
        return False
    if line == "/reset":
        conversation.reset()
    elif line == "/help":
        sys.stderr.write(_HELP + "\n")
    elif line:
        answer(conversation, line, verbose=verbose, survive=survive)
    return True
