"""What strangers' files make libraries do: tokenizers, pictures, YAML, expressions; each ends, in bounds, with a sentence."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.core import worker

from .checkpoints import edit
from .commands import Bench, environment

fault = pytest.mark.fault
GGUF = ("gguf", "--type", "q8_0", "--output", "out")
ONNX = ("onnx", "--precision", "int8", "--output", "out")
MEMORY = 12 << 30
"""Address space of a program under test; torch and OpenVINO alone reserve several GB."""


@pytest.fixture
def source(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model("llama"), tmp_path / "model")


def program(root: Path, *arguments: object, seconds: float = 60, cwd: Path | None = None, safe: bool = True) -> Any:
    """Run the program itself, within limits of its own: what needs more time or memory fails the test."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))

    line = [sys.executable, *(["-P"] if safe else []), "-m", "edgeconv", *map(str, arguments)]
    return subprocess.run(
        line, cwd=cwd or root / "work", env={**os.environ, **environment(root), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds * 5, check=False, preexec_fn=limit,
    )  # fmt: skip


# Tokenizers.


def piece(text: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": text}, "behavior": "Isolated", "invert": False}


def put(**parts: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tokenizer: tokenizer.update(parts)


LETTERS = [{"type": "Replace", "pattern": {"String": "."}, "content": "." * 16}] * 8
TOKENIZERS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "an expression without an end": (
        put(pre_tokenizer=piece(r"^(([a-z])+.)+[A-Z]([a-z])+$|(a+)+$|x")), "cannot be used|cannot be|not known"
    ),
    "a normalizer that makes 4 GB of a point": (put(normalizer={"type": "Sequence", "normalizers": LETTERS}), "cannot be used"),
    "a table of characters that is none": (
        put(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}), "cannot be"
    ),
    "a post-processor whose token is not there": (
        put(post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}],
                            "pair": [], "special_tokens": {}}), "cannot be"
    ),
    "a normalizer that is a list": (put(normalizer=[1]), "cannot be|not known"),
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, id=n, marks=fault(f"tokenizer: {n}")) for n in TOKENIZERS])
def test_a_hostile_tokenizer(name: str, source: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, says = TOKENIZERS[name]
    if "GB" not in name:  # memory must be what runs out first, on a busy machine too
        monkeypatch.setattr(worker, "SECONDS", 2.0)
    edit(source / "tokenizer.json", spoil)
    for line in (GGUF, ONNX):
        bad.refused(*line, "--model", source, says=says, source=source)


@fault("tokenizer: Infinity as the number of an added token")
def test_an_infinite_token(source: Path, bad: Bench) -> None:
    (source / "added_tokens.json").write_text('{"<x>": Infinity}')
    bad.refused(*GGUF, "--model", source, says="added tokens", source=source)


# What is decoration.

FRONTS = {
    "a date that is none": "license: 2001-99-99",
    "a tag of a number on a text": "license: !!int x",
    "a tag of a truth on a text": "license: !!bool x",
    "a tag of a date on a text": "license: !!timestamp x",
    "an object of Python's": "license: !!python/object/apply:os.system [true]",
    "a number of 5,000 digits": "license: " + "9" * 5000,
    "lists nested without end": "license: " + "[" * 5000,
    "half a character": 'license: "\\ud800"',
    "300,000 tags": "tags:\n" + "- x\n" * 300_000,
    "a number of 200,000 parts": "license: " + "1:" * 200_000 + "1",
    "a key that is a list": "? [a]\n: b",
    "anchors within anchors": "a: &a [x,x]\n" + "".join(f"{c}: &{c} [*{p},*{p}]\n" for p, c in itertools.pairwise("abcdefghi")),
    "a byte-order mark and NUL": "\ufeff\0",
}  # fmt: skip


@pytest.mark.parametrize("name", FRONTS)
@fault(
    "checkpoint: a README.md that is hostile in any way",
    says="Converted; what cannot be read of a model card is left out.",
)
def test_a_readme_stops_nothing(name: str, source: Path, bad: Bench) -> None:
    (source / "README.md").write_text(f"---\n{FRONTS[name]}\n---\n# A model\n", "utf-8")
    begun = time.process_time()
    ran = bad.run(*GGUF, "--model", source)
    assert ran.code == 0, ran.err
    assert time.process_time() - begun < 20
    card = json.loads((bad.work / "out" / "edgeconv.json").read_text())["source"]["card"]
    texts = [text for value in card.values() for text in ([value] if isinstance(value, str) else value)]
    assert all(text.isprintable() for text in texts)


@pytest.mark.parametrize("stated", [[[]], 2, [-1], {"a": 1}, "x"], ids=str)
@fault("checkpoint: config.json with architectures that are not names", says="Converted; it is decoration.")
def test_architectures_that_are_none(stated: Any, source: Path, bad: Bench) -> None:
    edit(source / "config.json", lambda config: config.update(architectures=stated))
    for line in (GGUF, ONNX):
        ran = bad.run(*line, "--model", source, "--force")
        assert ran.code == 0 or ("Unexpected" not in ran.err and "Traceback" not in ran.err), ran.err


CONFIGS = ("config.json", "generation_config.json")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=fault(f"checkpoint: half a character in {n}")) for n in CONFIGS]
)
def test_half_a_character(name: str, source: Path, bad: Bench) -> None:
    edit(source / name, lambda config: config.update(note="\ud800"))
    for line in (GGUF, ONNX):
        bad.refused(*line, "--model", source, says="half a character", names=name, source=source)


# Expressions of recipes and users.

ENDLESS = "^(([a-z0-9_.])+)+$!"


@fault("option: an expression without an end")
def test_an_expression_without_an_end(source: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SECONDS", 0.5)
    few = ("--model", source, "--dry-run")
    bad.refused(
        "gguf", "-t", "q8_0", "--tensor-type", f"{ENDLESS}=q4_0", *few, code=2, says="runs for more than", source=source
    )
    bad.refused(
        "openvino", "-p", "int4", "--tensor-precision", f"{ENDLESS}=int8", *few, code=2, says="runs for more than"
    )


@fault("recipe: an expression without an end")
def test_a_recipe_with_an_expression_without_an_end(source: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SECONDS", 0.5)
    recipe = bad.root / "r.yaml"
    recipe.write_text(
        f"recipe: 1\nname: x\nsource:\n  model: {source}\ntargets:\n  a:\n    format: gguf\n    type: q8_0\n"
        f"    tensor_type: ['{ENDLESS}=q4_0']\n"
    )
    ran = bad.run("run", recipe, "--dry-run")
    assert ran.code != 0
    assert "runs for more than" in ran.err + ran.out, ran.err


# Pictures.


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "eps.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n0 0 moveto\nshowpage\n%%EOF\n"
    )
    Image.new("RGB", (4, 4)).save(folder / "tiff.jpg", "TIFF")
    Image.new("1", (60_000, 2_000)).save(folder / "large.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    return folder


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("eps.jpg", "not a picture that Pillow can read"),
        ("tiff.jpg", "not a picture that Pillow can read"),
        ("large.png", "more than 89,478,485 pixels"),
        ("pipe.png", "is not a file"),
        ("device.png", "is not a file"),
    ],
)
def test_a_picture_that_is_none(
    name: str, says: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ghostscript, which Pillow starts for EPS, is not."""
    from edgeconv.core.errors import UsageError
    from edgeconv.core.picture_file import open_picture

    mark, programs = tmp_path / "ran", tmp_path / "programs"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    worker._own.close()  # the next one has this path
    with pytest.raises(UsageError, match=says):
        open_picture(pictures / name)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("limit", "least", "says"), [("MEMORY", 16 << 20, "it takes more than 16 MB"), ("SECONDS", 0.01, "it runs for")]
)
def test_a_picture_within_limits(
    limit: str, least: float, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Pillow's readers do to it is bounded from outside, and the next picture is read again."""
    from PIL import Image

    from edgeconv.core.errors import UsageError
    from edgeconv.core.picture_file import open_picture

    Image.new("RGB", (9_000, 9_000)).save(tmp_path / "large.png", compress_level=1)
    Image.new("RGB", (9, 9), (1, 2, 3)).save(tmp_path / "small.png")
    with monkeypatch.context() as patch:
        patch.setattr(worker, limit, least)
        with pytest.raises(UsageError, match=says):
            open_picture(tmp_path / "large.png")
    assert open_picture(tmp_path / "small.png").getpixel((0, 0)) == (1, 2, 3)


# The program itself.


def test_a_module_in_the_folder_one_stands_in(bad: Bench) -> None:
    for name in ("click", "typer", "rich", "yaml", "jinja2", "numpy"):
        (bad.work / f"{name}.py").write_text(f"open({str(bad.root / 'ran')!r}, 'w')\n")
    done = program(bad.root, "inspect", "nothing", safe=False)
    assert "nothing" in done.stderr
    assert not (bad.root / "ran").exists()


def test_a_template_of_one_endless_operation_ends_in_the_program(source: Path, bad: Bench) -> None:
    from ..core.test_chat_template import DOUBLED

    (source / "chat_template.jinja").write_text(DOUBLED + "{{ n.a == n.b }}")
    done = program(bad.root, *GGUF, "--dry-run", "--model", source)
    assert done.returncode == 1, done.stderr
    assert "it runs for more than 10 s" in done.stderr


@pytest.mark.parametrize("megabytes", [1500, 2500])
@fault("memory: too little address space to load torch", says='"There is not enough memory."')
def test_a_library_that_finds_no_room(megabytes: int, source: Path, bad: Bench) -> None:
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({megabytes << 20}, {megabytes << 20}))\n"
        "from edgeconv.cli import main\n"
        "sys.exit(main.run(sys.argv[1:]))\n"
    )
    line = [sys.executable, "-P", "-c", code, "validate", str(source), "--reference", str(source)]
    done = subprocess.run(
        line, cwd=bad.work, env={**os.environ, **environment(bad.root), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Unexpected ImportError" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
