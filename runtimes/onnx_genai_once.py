"""Greedy answers of onnxruntime-genai: what most users of an ONNX model run, from the messages to the ids of the answer.

It renders the template and tokenizes by itself, and reads genai_config.json for the names of the cache and for where to stop. The
package is optional: without it nothing is asked of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..convert.onnx.names import GENAI
from ..core.errors import ArtifactError
from ..core.json_file import read_json
from ..core.paths import own_file
from .turns import Messages, Turn

NAME = "onnxruntime-genai"
_MODULE = "onnxruntime_genai"


def runs(folder: Path) -> bool:
    """True if the package is installed and the folder has what it reads."""
    return importlib.util.find_spec(_MODULE) is not None and (folder / GENAI).is_file()


def answer(
    folder: Path, prompts: Sequence[Messages], count: int, encode: Callable[[Messages], list[int]]
) -> list[Turn]:
    """Answer each prompt with at most `count` tokens.

    Args:
        folder: the artifact.
        prompts: conversations that end with a question.
        count: most tokens of an answer.
        encode: gives a prompt's ids by the files' own template, where onnxruntime-genai's Jinja cannot render it.

    Raises:
        ArtifactError: onnxruntime-genai does not load the folder, or fails, or would read a file outside of it.
        CheckpointError: genai_config.json cannot be read.
    """
    for name in _files(read_json(folder / GENAI)):
        own_file(folder, name, ArtifactError, whose=GENAI, hint="Convert the checkpoint again.", linked=True)
    genai: Any = importlib.import_module(_MODULE)
    try:
        model = genai.Model(str(folder))
        tokenizer = genai.Tokenizer(model)
        found = []
        for messages in prompts:
            ids = _prompt(tokenizer, messages)
            name = NAME if ids else f"{NAME}, which cannot render the template,"
            ids = ids or encode(messages)
            found.append(Turn(messages, ids, _greedy(genai, model, ids, count), runtime=name))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise ArtifactError(f"{NAME} cannot run {folder}: {reason}.", "Convert the checkpoint again.") from error
    return found


def _files(value: Any) -> Iterator[Any]:
    """Give the names of the files that onnxruntime-genai opens: of the models, and of adapters and configs of theirs."""
    if isinstance(value, dict):
        yield from (inner for key, inner in value.items() if key in ("filename", "config_filename", "adapter_filename"))
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _files(inner)


def _prompt(tokenizer: Any, messages: Messages) -> list[int]:
    """Return the ids of a prompt; none if its Jinja refuses the template, or there is none."""
    try:
        text = tokenizer.apply_chat_template(json.dumps(messages), add_generation_prompt=True)
    except RuntimeError:  # the caller says so in the answer's name
        return []
    return [int(number) for number in tokenizer.encode(text)]


def _greedy(genai: Any, model: Any, ids: list[int], count: int) -> list[int]:
    parameters = genai.GeneratorParams(model)
    parameters.set_search_options(
        max_length=len(ids) + count, batch_size=1, do_sample=False, num_beams=1, repetition_penalty=1.0
    )
    generator = genai.Generator(model, parameters)
    generator.append_tokens(ids)
    while not generator.is_done():
        generator.generate_next_token()
    return [int(number) for number in generator.get_sequence(0)][len(ids) :]
