"""No file branches on a format: what formats differ in is declared by each, or stands in one table a verb, by its name."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgeconv
from edgeconv.cli import verbs
from edgeconv.convert.conversion import FORMATS
from edgeconv.core.format_names import FORMAT_NAMES

ROOT = Path(edgeconv.__file__).resolve().parent
AT_HOME = (
    "convert/gguf/", "convert/onnx/", "convert/openvino/",
    "convert/conversion/gguf", "convert/conversion/onnx", "convert/conversion/openvino",
    "validate/formats/gguf", "validate/formats/onnx", "validate/formats/openvino",
    "tests/", "benchmarks/", ".",
)  # fmt: skip
"""Files of one format each; benchmarks/ and tests/ convert to every one."""
TABLES = {
    "validate.formats": "ARTIFACTS",
    "validate.vision_formats": "VISION_CHECKS",
    "runtimes.smoke": "TRIED",
    "runtimes.required": "REQUIRE",
    "study.bench.formats": "BENCHES",
    "study.points": "HEADS",
    "study.search.spaces": "SPACES",
    "study.frontier.picture": "STYLES",
    "cli.inspect": "SHOWN",
    "cli.chat_models": "CHATS",
    "publish.card_usage": "SNIPPETS",
    "recipes.load": "TARGETS",
    "convert.options": "OF_FORMAT",
}
"""What a layer above the conversion has of each format, by its name: one table a verb."""
LIST = "core/format_names.py"
"""The one other file with the names of all formats."""
TYPES = {
    "Job", "GgufJob", "OnnxJob", "Plan", "GgufPlan", "OnnxPlan", "Gguf", "Onnx", "OpenVINO",
    "GgufOptions", "OnnxOptions", "OpenVINOOptions", "GgufArtifact", "OnnxArtifact", "OpenVINOArtifact",
}  # fmt: skip
"""Classes of one format each."""


def files() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(AT_HOME):
            yield name, ast.parse(path.read_text("utf-8"))


FILES = dict(files())


def names(side: ast.expr) -> bool:
    """Tell whether a side of a comparison is a format's name, or several."""
    parts = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
    return any(isinstance(part, ast.Constant) and part.value in FORMATS for part in parts)


def compared(tree: ast.Module) -> list[int]:
    """Lines in which something is compared, or matched, with a format's name."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Compare) and any(map(names, (node.left, *node.comparators))))
        or (isinstance(node, ast.MatchValue) and names(node.value))
    ]


def typed(tree: ast.Module) -> list[int]:
    """Lines that ask whether a value is of one format's class."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        and any(isinstance(part, ast.Name | ast.Attribute) and ast.unparse(part).split(".")[-1] in TYPES
                for part in ast.walk(node.args[1]))
    ]  # fmt: skip


def listed(tree: ast.Module) -> list[int]:
    """Lines of a sequence, a set or a Literal with the names of all formats, or of a table by the names of some."""
    found = []
    for node in ast.walk(tree):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            parts = [*node.keys]
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = [*node.elts]
        words = {part.value for part in parts if isinstance(part, ast.Constant)}
        if words >= set(FORMATS) or (isinstance(node, ast.Dict) and words and words <= set(FORMATS)):
            found.append(node.lineno)
    return found


def test_no_file_compares_a_formats_name() -> None:
    assert {name: lines for name, tree in FILES.items() if (lines := compared(tree))} == {}


def test_no_file_asks_for_a_formats_class() -> None:
    assert {name: lines for name, tree in FILES.items() if (lines := typed(tree))} == {}


def test_formats_are_listed_in_the_tables_alone() -> None:
    tables = {f"{module.replace('.', '/')}.py" for module in TABLES}
    tables |= {f"{module.replace('.', '/')}/__init__.py" for module in TABLES}
    found = {name: listed(tree) for name, tree in FILES.items()}
    assert {name for name, lines in found.items() if lines and name not in tables} == {LIST}
    assert {name: lines for name, lines in found.items() if len(lines) > 1} == {}  # one a file


@pytest.mark.parametrize("module", TABLES)
def test_each_table_has_every_format(module: str) -> None:
    assert list(getattr(importlib.import_module(f"edgeconv.{module}"), TABLES[module])) == list(FORMATS)


def test_the_one_list_is_that_of_the_registry() -> None:
    assert list(FORMAT_NAMES) == list(FORMATS)


def test_what_is_searched_is_found() -> None:
    lines = (
        'a = manifest.target == "gguf"',
        'b = x in ("onnx", "y")',
        "c = isinstance(job, conversion.GgufJob | Other)",
        'd = {"openvino": 1, "gguf": 2, "onnx": 3}',
        'e = Literal["gguf", "onnx", "openvino"]',
        'f = find_spec("gguf") is None',
        "match x:",
        '    case "gguf": pass',
        'g = {"onnx": ("a", "b")}.get(name)',
        'h = {"openvino": 1, "onnxruntime": 2}',
    )
    tree = ast.parse("\n".join(lines))
    assert (compared(tree), typed(tree), listed(tree)) == ([1, 2, 8], [3], [4, 5, 9])
    assert len(FILES) > 300


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_whole(name: str) -> None:
    form = FORMATS[name]
    assert (form.name, bool(form.title), bool(form.hub_library), form.runner.copies > 1) == (name, True, True, True)
    assert sorted(one.precedence for one in FORMATS.values()) == list(range(len(FORMATS)))


def test_the_readme_accounts_for_every_command_and_is_current() -> None:
    assert verbs.unplaced() == []
    readme = ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("an installed package has no README.md")
    text = readme.read_text("utf-8")
    assert verbs.replaced(text) == text
    with pytest.raises(ValueError, match="stand 0 times"):
        verbs.replaced("no marks")
