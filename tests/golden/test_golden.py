"""The slice of the corpus that runs in CI, and that a difference is noticed and said. `make golden` runs all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import expected, normal, sources
from .cases import CASES, FAST, GGUF_SOURCES, cases
from .weights import exact
from .workshop import Workshop

SLICE = [case for case in cases() if case.fast and case.group not in ("refusals", "pages")]
REFUSALS = [case for case in cases() if case.group == "refusals"]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("case", SLICE, ids=lambda case: case.name)
def test_conversions_are_as_they_were(case: Any, workshop: Workshop) -> None:
    with workshop.open():
        found = workshop.run(case)
    assert expected.differences(expected.read(case.group).get(case.line), found) == []


def test_refusals_are_as_they_were(workshop: Workshop) -> None:
    known = expected.read("refusals")
    with workshop.open():
        told = {case.line: expected.differences(known.get(case.line), workshop.run(case)) for case in REFUSALS}
    assert {line: differences for line, differences in told.items() if differences} == {}


def test_help_and_documents_are_as_they_were(workshop: Workshop) -> None:
    [case] = [case for case in cases() if case.group == "pages"]
    with workshop.open():
        found = workshop.run(case)
    assert expected.differences(expected.read("pages").get(case.line), found) == []


def test_the_expectations_are_of_this_corpus() -> None:
    groups = {case.group for case in cases()}
    assert {path.stem for path in expected.FOLDER.glob("*.json")} <= {*groups, expected.VERSIONS}
    for group in groups:
        known = list(expected.read(group))
        assert known == [case.line for case in cases() if case.group == group and case.line in known], group


def test_every_checkpoint_is_in_the_corpus() -> None:
    assert set(CASES) == {*sources.names(), *GGUF_SOURCES}
    assert {(case.group, case.line) for case in cases()} >= FAST


def _changed_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _changed_note(path: Path) -> None:
    stated = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(stated | {"notes": ["another"]}), "utf-8")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("openvino_model.bin", _changed_byte),
        ("model.gguf", _changed_byte),
        ("model.onnx", _changed_byte),
        ("config.json", lambda path: path.write_text('{"a": 2}')),
        ("edgeconv.json", _changed_note),
    ],
)  # fmt: skip
def test_a_change_is_seen(name: str, change: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text('{"a": 1, "notes": []}')
    before = normal.content(path, tmp_path)
    change(path)
    assert normal.content(path, tmp_path) != before


def test_what_depends_on_the_machine_is_not_compared(tmp_path: Path) -> None:
    manifest = {"versions": {"torch": normal.versions()["torch"]}, "outputs": {"a": {"size": 1, "sha256": "0" * 64}}}
    for folder, size in (("here", 1), ("there", 2)):
        (tmp_path / folder).mkdir()
        text = json.dumps(manifest | {"outputs": {"a": {"size": size, "sha256": f"{size}" * 64}}})
        (tmp_path / folder / "edgeconv.json").write_text(text)
    first, second = (normal.content(tmp_path / name / "edgeconv.json", tmp_path) for name in ("here", "there"))
    assert first == second
    assert b"VERSION" in first
    assert normal.neutral(f"{tmp_path}/x".encode(), tmp_path) == b"ROOT/x"
    assert normal.answer({"plan": [{"free": 1, "bytes": 2}]}) == {"plan": [{"free": "UNSTEADY", "bytes": 2}]}


def test_an_outline_keeps_verdicts_and_no_figures() -> None:
    tokens = [{"a": 1}, {"a": None, "b": "t"}]
    report = {"verdict": "passed", "kl": 0.1, "rungs": [{"status": "failed", "x": 1}], "tokens": tokens}
    outlined = {
        "verdict": "passed",
        "kl": "number",
        "rungs": [{"status": "failed", "x": "number"}],
        "tokens": [{"a": {"one of": ["NoneType", "number"]}, "b": "str"}],
    }
    assert normal.outline(report) == outlined
    assert normal.outline(report | {"kl": 0.2}) == outlined
    assert normal.outline(report | {"verdict": "failed"}) != outlined


def test_differences_say_what_and_where() -> None:
    told = expected.differences({"a": "1", "b": "2", "exit": 0}, {"a": "1", "b": "3", "c": "4", "exit": 1})
    assert told == ["c: not expected (4)", "b: expected '2', found '3'", "exit: expected 0, found 1"]
    assert expected.differences({"a": "1"}, {}) == ["a: missing (expected 1)"]
    assert expected.differences(None, {}) != []


def test_weights_are_exact_and_bell_shaped() -> None:
    drawn = exact("model.layers.0.mlp.down_proj.weight", (64, 128))
    assert drawn[0, :4].tolist() == [
        -0.11946487426757812,
        0.0005049705505371094,
        0.016566753387451172,
        0.022280216217041016,
    ]
    assert len(np.unique(drawn.std(axis=1).round(2))) > 4
    assert abs(float(exact("norm", (4096,), 0.99).mean()) - 1) < 0.01
