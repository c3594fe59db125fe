"""A checkpoint that converts, and that would run a program of its own in every way that is known."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

from .checkpoints import edit

RAN = "ran"
"""Payloads make a file of this name, with their own behind it, beside the model's folder."""
SHADOWS = ("json", "torch", "numpy", "transformers", "sitecustomize", "tokenizers", "cyllama", "openvino")
"""Modules that whoever stands in the folder might import from it."""
ESCAPES = (
    "{{ cycler.__init__.__globals__.os.system('touch RAN') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ lipsum.__globals__['os'].popen('touch RAN') }}",
    "{{ raise_exception.__globals__['__builtins__']['open']('RAN', 'w') }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "{% set x = messages.append(1) %}",
    "{% include '/etc/passwd' %}{% import 'os' as os %}",
)
"""Ways out of a template, RAN for the file that they make."""


class _Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, (f"touch {self.mark}",)


def make(source: Path, folder: Path) -> Path:
    """Copy a sound checkpoint of a known type and add the attacks to it."""
    shutil.copytree(source, folder)
    code = {}
    for kind in ("configuration", "modeling", "tokenization", "processing", "image_processing"):
        name = f"{kind}_evil"
        (folder / f"{name}.py").write_text(f"open({str(_mark(folder, kind))!r}, 'w').close()\nclass Evil: pass\n")
        code[kind] = f"{name}.Evil"
    for name in SHADOWS:
        (folder / f"{name}.py").write_text(f"open({str(_mark(folder, name))!r}, 'w').close()\nraise ImportError\n")
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(f"open({str(_mark(folder, 'generate'))!r}, 'w').close()\n")
    maps = {
        "AutoConfig": code["configuration"],
        "AutoModelForCausalLM": code["modeling"],
        "AutoModel": code["modeling"],
    }
    edit(folder / "config.json", lambda c: c.update(auto_map=maps, _name_or_path="evil/evil", custom_pipelines=maps))
    edit(folder / "generation_config.json", lambda c: c.update(custom_generate="evil/evil", auto_map=maps))
    edit(folder / "tokenizer_config.json", lambda c: _tokenizer(c, code))
    processor = {"auto_map": {"AutoProcessor": code["processing"], "AutoImageProcessor": code["image_processing"]}}
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).write_text(json.dumps(processor))
    pickled(folder / "pytorch_model.bin", _mark(folder, "pickle"))
    (folder / "training_args.bin").write_bytes(pickle.dumps(_Payload(_mark(folder, "arguments"))))
    return folder


def _tokenizer(config: dict[str, Any], code: dict[str, str]) -> None:
    config.update(
        auto_map={"AutoTokenizer": [code["tokenization"], code["tokenization"]]},
        special_tokens_map_file="/of/another/machine/special_tokens_map.json",
        name_or_path="evil/evil",
        chat_template_jinja="/etc/passwd",
    )


def pickled(path: Path, mark: Path) -> None:
    """Write weights as torch.save does, with a payload where a tensor should be."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"model.norm.weight": _Payload(mark)}, 2))


def _mark(folder: Path, what: str) -> Path:
    return folder.parent / f"{RAN}-{what}"


def traces(folder: Path) -> list[str]:
    """Name the payloads that have run."""
    return sorted(path.name for path in folder.parent.glob(f"{RAN}*"))


PATHS: dict[str, Any] = {
    "tokenizer_file": "/etc/passwd",
    "vocab_file": "../../../../../../../../../etc/passwd",
    "fast_tokenizer_files": ["tokenizer.json", "../tokenizer.4.0.0.json"],
}
"""Fields of tokenizer_config.json that lead transformers to files of the machine."""


def tokenizer_of_its_own(folder: Path) -> Path:
    """Make its tokenizer one that only its own code can open: a tokenizer.json is read without it."""
    (folder / "tokenizer.json").rename(folder / "evil.tiktoken")
    edit(folder / "tokenizer_config.json", lambda c: c.update(tokenizer_class="Evil"))
    return folder


def unknown(folder: Path) -> Path:
    """Make its type one that only its own code knows."""
    edit(folder / "config.json", lambda c: c.update(model_type="evil", architectures=["Evil"]))
    return folder
