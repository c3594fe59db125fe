"""No file branches on a format: what formats differ in is declared by each, or stands in one table a verb, by its name."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import edgeconv
from edgeconv.cli import verbs
from edgeconv.convert.conversion import FORMATS
from edgeconv.core.manifest import Manifest

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
    "study.frontier.picture": "STYLES",
    "cli.inspect": "SHOWN",
    "cli.chat_models": "CHATS",
    "publish.card_usage": "SNIPPETS",
    "recipes.load": "TARGETS",
    "convert.options": "OF_FORMAT",
}
"""What a layer above the conversion has of each format, by its name: one table a verb."""
LISTED = {
    "core/manifest.py": "what edgeconv.json may say; core stands below the registry",
    "study/points.py": "the ways of compressing that a frontier and a search know",
    "study/search/run.py": "the spaces that a search knows",
    "study/search/model.py": "what search.json may say: its schema",
    "study/frontier/model.py": "what frontier.json may say: its schema",
    "cli/search.py": "the words of an option, which `--help` must not import the registry for",
}
"""Other files that list all formats → why."""
COMPARED = {
    "study/points.py": "a point in a user's words names a format by a precision that only one has",
    "study/search/run.py": "only OpenVINO's space has methods that need a text; only GGUF's is refined twice",
}
"""Files that may compare a format's name → why."""
TYPES = {
    "Job", "GgufJob", "OnnxJob", "Plan", "GgufPlan", "OnnxPlan", "Gguf", "Onnx", "OpenVINO",
    "GgufOptions", "OnnxOptions", "OpenVINOOptions", "GgufArtifact", "OnnxArtifact", "OpenVINOArtifact",
}  # fmt: skip
"""Classes of one format each."""
TYPED = {
    "recipes/unit.py": "only one layout of OpenVINO can be measured",
    "validate/vision_checks.py": "says to mypy what `validate.vision_formats` has chosen",
    "validate/vision_checks_gguf.py": "the same",
}
"""Files that may ask for the class of a format's value → why."""


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
    """Lines of a table, a sequence, a set or a Literal with the names of all formats."""
    found = []
    for node in ast.walk(tree):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            parts = [*node.keys]
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = [*node.elts]
        if {part.value for part in parts if isinstance(part, ast.Constant)} >= set(FORMATS):
            found.append(node.lineno)
    return found


def test_no_file_compares_a_formats_name() -> None:
    assert {name: lines for name, tree in FILES.items() if name not in COMPARED and (lines := compared(tree))} == {}


def test_no_file_asks_for_a_formats_class() -> None:
    assert {name: lines for name, tree in FILES.items() if name not in TYPED and (lines := typed(tree))} == {}


def test_formats_are_listed_in_the_tables_alone() -> None:
    tables = {f"{module.replace('.', '/')}.py" for module in TABLES}
    tables |= {f"{module.replace('.', '/')}/__init__.py" for module in TABLES}
    found = {name: listed(tree) for name, tree in FILES.items() if name not in LISTED}
    assert {name: lines for name, lines in found.items() if lines and name not in tables} == {}
    assert {name: lines for name, lines in found.items() if len(lines) > 1} == {}  # one a file


def test_every_exception_is_still_needed() -> None:
    assert [name for name in COMPARED if not compared(FILES[name])] == []
    assert [name for name in TYPED if not typed(FILES[name])] == []
    assert [name for name in LISTED if not listed(FILES[name])] == []


@pytest.mark.parametrize("module", TABLES)
def test_each_table_has_every_format(module: str) -> None:
    assert list(getattr(importlib.import_module(f"edgeconv.{module}"), TABLES[module])) == list(FORMATS)


def test_a_manifest_may_say_every_format() -> None:
    assert list(get_args(Manifest.model_fields["target"].annotation)) == list(FORMATS)


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
    )
    tree = ast.parse("\n".join(lines))
    assert (compared(tree), typed(tree), listed(tree)) == ([1, 2, 8], [3], [4, 5])
    assert len(FILES) > 300


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_whole(name: str) -> None:
    form = FORMATS[name]
    assert (form.name, bool(form.title), bool(form.library), form.runner.copies > 1) == (name, True, True, True)
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
