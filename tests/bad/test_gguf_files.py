"""Every hostile GGUF through the commands that take one: as an artifact, and as a source."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ..convert.gguf.test_read import HOSTILE, head, info, pair, text
from .commands import Bench

COMMANDS = {
    "inspect": ("inspect", "x.gguf"),
    "openvino": ("openvino", "--model", "./x.gguf", "--output", "out"),
    "gguf": ("gguf", "--model", "./x.gguf", "--output", "out"),
}
FAULTY = [pytest.param(name, id=name, marks=pytest.mark.fault(f"GGUF: {name}")) for name in HOSTILE]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTY)
def test_a_hostile_file(fault: str, command: str, bad: Bench) -> None:
    data, says = HOSTILE[fault]
    path = bad.work / "x.gguf"
    path.write_bytes(data)
    bad.refused(*COMMANDS[command], says=says, names=r"x\.gguf", source=path)


ARCHITECTURE = pair("general.architecture", 8, text("llama"))
ODD = {
    "no keys at all": head(),
    "no architecture": head(pair("a", 4, bytes(4)), info("a", (4,))) + bytes(32),
    "an architecture that is a number": head(pair("general.architecture", 4, bytes(4)), info("a", (4,))) + bytes(32),
    "an architecture and nothing else": head(ARCHITECTURE, info("token_embd.weight", (4, 32))) + bytes(512),
    "a dimension of 0": head(ARCHITECTURE, info("token_embd.weight", (4, 0))) + bytes(32),
    "no dimensions": head(ARCHITECTURE, info("token_embd.weight", ())) + bytes(32),
    "a block count of 2^31": head(
        ARCHITECTURE + pair("llama.block_count", 4, struct.pack("<I", 2**31)), info("token_embd.weight", (4, 32)), keys=2
    ) + bytes(512),
    "an architecture with a newline": head(pair("general.architecture", 8, text("a\nb\x1b[2J")), info("a", (4,))) + bytes(32),
    "a split of 2^16 parts": head(
        ARCHITECTURE + pair("split.count", 2, struct.pack("<H", 65535)) + pair("split.no", 2, bytes(2)), keys=3
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", ["openvino", "gguf"])
@pytest.mark.parametrize("fault", [pytest.param(n, id=n, marks=pytest.mark.fault(f"GGUF: {n}")) for n in ODD])
def test_a_file_that_is_no_model(fault: str, command: str, bad: Bench) -> None:
    path = bad.work / "x.gguf"
    path.write_bytes(ODD[fault])
    bad.refused(*COMMANDS[command], says=".", names=r"x\.gguf|GGUF", source=path)


@pytest.mark.parametrize("fault", ODD)
def test_what_is_odd_can_be_inspected(fault: str, bad: Bench) -> None:
    (bad.work / "x.gguf").write_bytes(ODD[fault])
    ran = bad.run("inspect", "x.gguf", "--tensors")
    assert ran.code in (0, 1)
    assert "Unexpected" not in ran.err
    assert "\x1b" not in ran.out + ran.err


@pytest.mark.fault("GGUF: a tokenizer of another model in the head, its template calls Python")
def test_a_template_in_a_head_is_not_run(bad: Bench, tmp_path: Path) -> None:
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.system('touch ran') }}"
    (bad.work / "x.gguf").write_bytes(
        head(
            ARCHITECTURE + pair("tokenizer.chat_template", 8, text(template)),
            info("token_embd.weight", (4, 32)),
            keys=2,
        )
        + bytes(512)
    )
    assert bad.run("inspect", "x.gguf").code == 0
    assert not list(tmp_path.rglob("ran"))


MEASURED = ("an array of 2^40 numbers", "tensors that overlap", "alignment 0", "another file")


@pytest.mark.parametrize("fault", [pytest.param(n, id=n, marks=pytest.mark.fault(f"GGUF: {n}")) for n in MEASURED])
def test_a_hostile_file_fails(fault: str, tiny_model: Callable[..., Path], bad: Bench) -> None:
    """`validate` compares what it can, and says FAILED with the file's fault in the first place."""
    data, says = HOSTILE[fault]
    (bad.work / "x.gguf").write_bytes(data)
    ran = bad.run("validate", "x.gguf", "--reference", tiny_model("llama"), "--quick", "--max-tokens", "300")
    assert ran.code == 3, ran.err
    verdict = ran.verdict
    assert re.search(rf"FAILED\. .*x\.gguf.*{says}|FAILED\. .*{says}", verdict), verdict
    bad.record("validate", ran.code, verdict)
