"""ChatGLM2-6B, ChatGLM3-6B and GLM-4-9B in their makers' own form (`model_type: chatglm`), seen as transformers' GLM.

Their code is never run and no weight is copied: tensors get other names, or are ranges of rows of others (`tensors`); the small
files are made in transformers' form (`configuration`, `tokenizer`, `template`) and kept in the cache (`small_files`).
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import CheckpointError
from ...core.json_file import read_json
from ..native_files import write_json
from . import configuration, small_files, template, tensors, tokenizer
from .version import VOCABULARY, Version, find

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint

MODEL_TYPE = "chatglm"
_FORM = 1
"""To be raised when what is written changes while edgeconv's version does not."""


def view(checkpoint: Checkpoint) -> Checkpoint:
    """Return the same checkpoint as one of GlmForCausalLM.

    Raises:
        CheckpointError: a variant that GlmForCausalLM cannot be, or a vocabulary that is damaged or of another kind.
    """
    source, config = checkpoint.folder, checkpoint.config
    configuration.check(config)
    version, known_by = find(source, config)

    def make(folder: Path) -> None:
        _write(folder, checkpoint, version)

    folder = small_files.obtain(source, f"{_FORM} {version}", make)
    native = read_json(folder / "config.json")
    return replace(
        checkpoint,
        folder=folder,
        config=native,
        shards=tensors.renamed(checkpoint.shards, native),
        generation_config=read_json(folder / "generation_config.json"),
        source=source,
        notes=_notes(source, version, known_by, config),
    )


def _write(folder: Path, checkpoint: Checkpoint, version: Version) -> None:
    source, config = checkpoint.folder, checkpoint.config
    made = tokenizer.make(source, version)
    pad = made.tokenizer.token_to_id(made.pad)
    native = configuration.native(config, version, made.ends, pad)
    _require_room(made, native["vocab_size"])
    kept = {key: value for key, value in checkpoint.generation_config.items() if not key.startswith("_")}
    generation = kept | {"eos_token_id": native["eos_token_id"], "pad_token_id": pad}
    write_json(folder / "config.json", native)
    write_json(folder / "generation_config.json", generation)
    made.tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", _tokenizer_config(made, native))
    (folder / "chat_template.jinja").write_text(template.choose(source, version)[0], "utf-8")
    if version is not Version.GLM4:  # its scores serve GGUF; GLM-4 has something else under this name
        shutil.copyfile(source / VOCABULARY, folder / VOCABULARY)


def _require_room(made: tokenizer.ConvertedTokenizer, rows: int) -> None:
    count = made.tokenizer.get_vocab_size()
    if count > rows:
        raise CheckpointError(
            f"The tokenizer has {count} tokens, the model's embedding only {rows} rows.",
            "Tokenizer and weights are not of the same model.",
        )


def _tokenizer_config(made: tokenizer.ConvertedTokenizer, native: dict[str, Any]) -> dict[str, Any]:
    return {
        "clean_up_tokenization_spaces": False,
        "eos_token": made.eos,
        "model_max_length": native["max_position_embeddings"],
        "pad_token": made.pad,
        "padding_side": "left",
        "tokenizer_class": "PreTrainedTokenizerFast",
        **({"unk_token": made.unk} if made.unk else {}),
    }


def _notes(source: Path, version: Version, known_by: str, config: dict[str, Any]) -> tuple[str, ...]:
    found = [f"The checkpoint is {known_by}; it is converted as transformers' GlmForCausalLM."]
    if not template.choose(source, version)[1]:
        found.append("It states no chat template; the prompt of its makers' code is written as one.")
    ratio = config.get("rope_ratio")
    if version is Version.CHATGLM2 and ratio not in (None, 1):
        found.append(f"rope_ratio {ratio} divides positions, as in ChatGLM2-6B-32K.")
    return tuple(found)
