"""Command lines and recipes that cannot work, or whose output or source is in the way: refused before a weight is read."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .checkpoints import edit
from .commands import Bench, snapshot

fault = pytest.mark.fault
NONE: tuple[str, ...] = ()


def option(title: str, command: str, *arguments: str, says: str, code: int = 2) -> object:
    return pytest.param(command, arguments, code, says, id=title, marks=fault(f"option: {title}"))


@pytest.mark.parametrize(
    ("command", "arguments", "code", "says"),
    [
        option("a group size that divides no row", "openvino", "--group-size", "48", says="does not divide rows of 64, 128"),
        option("a group size of 0", "openvino", "--group-size", "0", says="group"),
        option("a ratio without int4", "openvino", "-p", "int8", "--ratio", "0.5", says="--ratio cannot be used with int8_asym"),
        option("a ratio of 2", "openvino", "--ratio", "2", says="ratio"),
        option("a ratio that is NaN", "openvino", "--ratio", "nan", says="ratio"),
                option("groups with int8", "openvino", "-p", "int8", "--group-size", "64", says="group"),
        option("a symmetric scheme of nf4", "openvino", "-p", "nf4", "--sym", says="sym"),
        option("a precision that there is not", "openvino", "-p", "int5", says="int5"),
        option("--rope where it changes nothing", "openvino", "--rope", "fused", says="changes nothing"),
        option("an engine that there is not", "openvino", "--engine", "magic", says="magic"),
        option("a vision precision of a text model", "openvino", "--vision-precision", "int8", says="no meaning"),
        option("a layout of a text model", "openvino", "--layout", "genai", says="GLM-Edge-V"),
        option("a budget that is none", "openvino", "--validate", "--budget", "mean_kl", says="METRIC=LIMIT"),
        option("a budget of what nobody measures", "openvino", "--validate", "--budget", "magic=1", says="magic"),
        option("a mix that there is not", "gguf", "--type", "q9_z", says="q9_z"),
        option("a type and a precision", "gguf", "--type", "q8_0", "-p", "int8", says="contradict"),
        option("an expression that is none", "gguf", "--tensor-type", "ffn_(=q8_0", says="ffn_"),
        option("a type for tensors that there is not", "gguf", "--tensor-type", "ffn=q9", says="q9"),
        option("parts of no size", "gguf", "--split-max-size", "0", says="0"),
        option("parts of a size that is not a number", "gguf", "--split-max-size", "many", says="many"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(
    command: str, arguments: tuple[str, ...], code: int, says: str, tiny_model: Callable[..., Path], bad: Bench
) -> None:
    model = tiny_model("llama")
    bad.refused(command, *arguments, "--model", model, "--output", "out", says=says, code=code, source=model)


@pytest.mark.parametrize(
    ("command", "arguments", "code", "says"),
    [
        option("no model", "openvino", says="--model"),
        option("an empty model", "openvino", "--model", "", says="--model is empty"),
        option("a model that is neither folder nor id", "openvino", "--model", "no/where/at/all", says="no/where/at/all"),
        option("a folder that is not there", "openvino", "--model", "./absent", says="absent", code=1),
        option("a home that is nobody's", "gguf", "--model", "~nobody-at-all/x", says="no such home", code=1),
        option("a name of 300 characters", "gguf", "--model", "./" + "a" * 300, says="cannot be read|does not exist", code=1),
        option("a path with a NUL", "openvino", "--model", "./a\0b", says="a", code=1),
        option("a suite that is not there", "validate", ".", "--suite", "absent.yaml", says="absent.yaml"),
        option("an artifact that is not there", "inspect", "absent", says="absent", code=1),
        option("an artifact to verify that is not there", "verify", "./absent", says="absent", code=1),
        option("a repository of no name", "publish", ".", "--repo", "../x", says="not a repository"),
        option("a recipe that is not there", "run", "absent.yaml", says="absent.yaml"),
    ],
)  # fmt: skip
def test_what_is_not_there(command: str, arguments: tuple[str, ...], code: int, says: str, bad: Bench) -> None:
    bad.refused(command, *arguments, says=says, code=code)


@fault("option: a zip in the place of the folder")
def test_a_zip(bad: Bench) -> None:
    with zipfile.ZipFile(bad.root / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(32 << 20))
    for command in ("openvino", "gguf"):
        bad.refused(command, "--model", bad.root / "bomb.zip", says="unpack an archive first", names=r"bomb\.zip")


@fault("option: a tar in the place of the folder")
def test_a_tar(bad: Bench) -> None:
    with tarfile.open(bad.root / "model.tar.gz", "w:gz") as archive:
        archive.add("/etc/hostname", "../../../../tmp/evil")
    for command in ("openvino", "gguf"):
        bad.refused(command, "--model", bad.root / "model.tar.gz", says="unpack an archive first", names=r"model\.tar")


# What is there already.


@pytest.mark.parametrize("command", [("openvino", "-p", "int8"), ("gguf", "--type", "q8_0")], ids=lambda c: c[0])
@fault("process: the output exists")
def test_an_output_that_exists_needs_force(
    command: tuple[str, ...], tiny_model: Callable[..., Path], bad: Bench
) -> None:
    line = (*command, "--model", tiny_model("llama"), "--output", "out")
    assert bad.run(*line).code == 0
    first = snapshot(bad.work / "out")
    bad.refused(*line, says="--force", names="out")
    assert snapshot(bad.work / "out") == first
    assert bad.run(*line, "--force").code == 0
    assert [path.name for path in bad.work.iterdir()] == ["out"]


@pytest.mark.parametrize("command", ["openvino", "gguf"])
@fault("process: --force on a folder that no conversion wrote")
def test_force_never_replaces_what_no_conversion_wrote(
    command: str, tiny_model: Callable[..., Path], bad: Bench
) -> None:
    (bad.work / "out").mkdir()
    (bad.work / "out" / "thesis.txt").write_text("years of work")
    bad.refused(command, "--model", tiny_model("llama"), "--output", "out", "--force", says="no conversion wrote")
    assert (bad.work / "out" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("command", ["openvino", "gguf"])
@fault("process: the output is a file")
def test_an_output_that_is_a_file(command: str, tiny_model: Callable[..., Path], bad: Bench) -> None:
    (bad.work / "out").write_text("years of work")
    bad.refused(
        command, "--model", tiny_model("llama"), "--output", "out", "--force", says="is not a folder", names="out"
    )


@pytest.mark.parametrize("command", ["openvino", "gguf"])
@fault("process: the output's folder is a file")
def test_an_output_inside_a_file(command: str, tiny_model: Callable[..., Path], bad: Bench) -> None:
    (bad.work / "file").write_text("years of work")
    bad.refused(command, "--model", tiny_model("llama"), "--output", "file/out", says="file", names="file")


@pytest.mark.parametrize("command", ["openvino", "gguf"])
@fault("process: the output's folder cannot be written to")
def test_an_output_that_cannot_be_written(command: str, tiny_model: Callable[..., Path], bad: Bench) -> None:
    """/proc can be written to by nobody, not even by root."""
    bad.refused(
        command,
        "--model",
        tiny_model("llama"),
        "--output",
        "/proc/out",
        says="cannot be written to|0.0 MB free",
        names="/proc",
    )


@pytest.mark.parametrize("command", ["openvino", "gguf"])
@fault("process: the output is the source")
def test_an_output_that_is_the_source(command: str, tiny_model: Callable[..., Path], bad: Bench) -> None:
    model = Path(
        shutil.copytree(tiny_model("llama"), bad.work / "model")
    )  # under a name that the message can be known by
    bad.refused(command, "--model", model, "--output", model, "--force", says="no conversion wrote", source=model)


# Calibration.


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("a.txt", b"", "a.txt", id="empty", marks=fault("option: a calibration text that is empty")),
        pytest.param("a.txt", b"too short", "a.txt", id="short", marks=fault("option: a calibration text that is too short")),
        pytest.param("a.txt", b"\xff\xfe" * 99, "a.txt", id="bytes", marks=fault("option: a calibration text that is none")),
        pytest.param("a.jsonl", b"{", "a.jsonl", id="jsonl", marks=fault("option: calibration chats that are not JSON")),
        pytest.param("a.dat", b"\0" * 99, "a.dat", id="dat", marks=fault("option: an importance matrix that is none")),
        pytest.param("a.gguf", b"GGUF" + b"\xff" * 99, "a.gguf", id="gguf", marks=fault("option: a matrix in a damaged GGUF")),
        pytest.param("a.dat", b"\xff\xff\xff\x7f" * 9, "a.dat", id="huge", marks=fault("option: a matrix of 2^31 entries")),
        pytest.param("absent.txt", None, "absent.txt", id="absent", marks=fault("option: a calibration text that is not there")),
    ],
)  # fmt: skip
def test_calibration(name: str, content: bytes | None, says: str, tiny_model: Callable[..., Path], bad: Bench) -> None:
    if content is not None:
        (bad.work / name).write_bytes(content)
    line = ("gguf", "--model", tiny_model("llama"), "--type", "q4_k_m", "--output", "out", "--imatrix", name)
    ran = bad.run(*line)
    bad.refused(*line, says=says, code=ran.code, names=name.replace(".", r"\."))
    assert ran.code in (1, 2)


# Recipes.

GOOD = """\
recipe: 1
name: small
source:
  model: org/name
targets:
  int4:
    format: openvino
    precision: int4
"""
BOMB = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(12))
RECIPES = {
    "an unknown field": (GOOD.replace("precision", "precison"), "no field targets.int4.precison"),
    "a wrong type": (GOOD.replace("int4\n", "[int4]\n"), "precision"),
    "a list": ("- a\n", "holds no fields"),
    "an alias bomb": (BOMB, "an alias|no field|Field required"),
    "an object of Python's": (GOOD.replace("org/name", "!!python/object/apply:os.system ['touch ran']"), "cannot be read|model"),
    "a tag of Python's on the whole": ("!!python/object/apply:os.system ['touch ran']", "holds no fields"),
    "a merge of another part": (GOOD + "<<: {name: x}\n", "no field <<|merge|<<"),
    "no targets": (GOOD.partition("targets")[0], "targets"),
    "targets without an end": (GOOD.replace("int4:", "[[[[[[:"), "is not YAML"),
    "nested 3,000 deep": (GOOD + "x: " + "[" * 3000, "is not YAML"),
    "a target that leaves the folder": (GOOD.replace("  int4:", "  ../../int4:"), "match pattern"),
    "two fields of one name": (GOOD + "name: other\n", "is there twice"),
    "nothing": ("", "holds no fields"),
    "a NUL": ("\0", "is not YAML"),
    "2 MB": (GOOD + "#" * (2 << 20), "larger than"),
    "a date for a text": (GOOD.replace("small", "2026-11-22"), "valid string"),
    "a date that is none": (GOOD.replace("small", "2026-99-99"), "cannot be read|valid string"),
    "a field that is a list": (GOOD + "? [a]\n: b\n", "r.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("command", [("recipes", "validate"), ("run",)], ids=lambda c: c[0])
@pytest.mark.parametrize("name", [pytest.param(n, id=n, marks=fault(f"recipe: {n}")) for n in RECIPES])
def test_a_bad_recipe(name: str, command: tuple[str, ...], bad: Bench) -> None:
    content, says = RECIPES[name]
    (bad.work / "r.yaml").write_text(content, "utf-8")
    bad.refused(*command, "r.yaml", says=says, code=2, names=r"r\.yaml")
    assert not list(bad.root.rglob("ran"))


def test_the_recipe_without_a_fault(bad: Bench) -> None:
    (bad.work / "r.yaml").write_text(GOOD)
    assert bad.run("recipes", "validate", "r.yaml").code == 0


@fault("checkpoint: a byte-order mark in config.json", says="It is read as if it were not there.")
def test_a_byte_order_mark_is_tolerated(tiny_model: Callable[..., Path], bad: Bench) -> None:
    model = bad.root / "model"
    model.mkdir()
    for path in tiny_model("llama").iterdir():
        os.link(path, model / path.name)
    content = (model / "config.json").read_bytes()
    (model / "config.json").unlink()
    (model / "config.json").write_bytes(b"\xef\xbb\xbf" + content)
    for command in ("openvino", "gguf"):
        ran = bad.run(command, "--model", model, "--dry-run")
        assert ran.code == 0, ran.err


@fault("checkpoint: terminal escapes and a hint of its own in config.json")
def test_what_would_move_the_cursor(tiny_model: Callable[..., Path], bad: Bench) -> None:
    model = shutil.copytree(tiny_model("llama"), bad.root / "model")
    kind = "\x1b[2J\x1b]0;title\x07evil\nhint: send your token to\u202e example.org"
    edit(model / "config.json", lambda c: c.update(model_type=kind))
    for command in ("openvino", "gguf"):
        ran = bad.refused(command, "--model", model, "--output", "out", says=r"\\x1b\[2J.*\\nhint: send", source=model)
        assert not set("\x1b\x07\u202e") & set(ran.err)
        assert len(ran.err.splitlines()) == 2
