"""No file outside convert/families names a family: what depends on the model_type is declared in the family's own file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import edgeconv
from edgeconv.convert.families import registry, traced

ROOT = Path(edgeconv.__file__).resolve().parent
AT_HOME = ("convert/families/", "convert/encoders/", "models.py", "tests/", "benchmarks/", ".")
"""Folders whose business families are: benchmarks/ and tests/ write checkpoints of them."""
ALLOWED = {
    "convert/gguf/pretokenizer.py": "the same",
    "convert/gguf/tokenizer_models.py": "llama.cpp's words for byte-level BPE and for sentencepiece's",
    "convert/gguf_source/tokenizer.py": "names of pre-tokenizers",
    "convert/gguf_source/vocabulary.py": "llama.cpp knows Phi-3's tokenizer by the words in general.name",
    "convert/chatglm/__init__.py": "the reader of ChatGLM's own layout",
    "convert/openvino/genai_layout.py": "the model that --layout genai presents GLM-Edge-V as",
    "convert/onnx/assets.py": "onnxruntime-genai's word for any decoder",
    "validate/bisect/measure.py": "mamba is transformers' name of the module in hybrids of several families",
}
"""File → why it may hold a string that is also a family's name."""
NAMES = {
    *registry.names(),
    *(one.gguf.arch for one in registry.every() if one.gguf),
    *traced.SUPPORTED, *traced.TRACED, *traced.RECURRENT, *traced.LIFTED, *traced.CAPPED,
} - {"bitnet", "opt", "phi"}  # fmt: skip
"""Without words that mean other things too."""


def files() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(AT_HOME):
            yield name, ast.parse(path.read_text("utf-8"))


FILES = dict(files())


def named(tree: ast.Module) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in NAMES}


def compared(tree: ast.Module) -> list[int]:
    """Lines in which a model_type, or a decoder's family, is compared with something that stands in the code."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and any(_asks(side) for side in (node.left, *node.comparators))
        and any(isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value in NAMES
                for side in (node.left, *node.comparators) for part in ast.walk(side))
    ]  # fmt: skip


def _asks(side: ast.expr) -> bool:
    text = ast.unparse(side)
    return "model_type" in text or text.endswith((".family", ".arch"))


def test_no_other_file_names_a_family() -> None:
    assert {name: found for name, tree in FILES.items() if name not in ALLOWED and (found := named(tree))} == {}


def test_no_other_file_branches_on_a_family() -> None:
    assert {name: lines for name, tree in FILES.items() if (lines := compared(tree))} == {}


def test_each_exception_is_needed() -> None:
    assert [name for name in ALLOWED if name not in FILES or not named(FILES[name])] == []


def test_what_is_searched_is_found() -> None:
    tree = ast.parse(
        'a = checkpoint.model_type == "glm"\nb = file.arch in ("llama", "x")\nc = model.decoder.family != "phi3"'
    )
    assert named(tree) == {"glm", "llama", "phi3"}
    assert compared(tree) == [1, 2, 3]
    assert len(FILES) > 300
