"""Every bad artifact through the commands that take one: inspect, verify, publish, validate."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .artifacts import FAULTS, Fault
from .commands import Bench

READERS = {
    "inspect": ("inspect",),
    "verify": ("verify",),
    "publish": ("publish", "--repo", "org/name", "--allow-unvalidated", "--dry-run"),
}
QUICK = ("--quick", "--max-tokens", "300")
SMALL = 20 << 20
"""Bytes; a larger file is there to be refused, and not to be read by the test."""


def faulty(*names: str) -> list[object]:
    return [pytest.param(FAULTS[n], id=n, marks=pytest.mark.fault(FAULTS[n].title)) for n in names or FAULTS]


def pairs() -> list[object]:
    return [
        pytest.param(fault, command, id=f"{name}-{command}", marks=pytest.mark.fault(fault.title))
        for name, fault in FAULTS.items()
        for command in READERS
        if command not in fault.harmless
    ]


@pytest.fixture(scope="module")
def whole(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An artifact without a fault; beside it the cache of its reference."""
    from edgeconv.convert.conversion import Job, run
    from edgeconv.quantize.scheme import Request

    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECONV_CACHE", str(folder / "cache"))
        yield run(Job(str(tiny_model("llama", max_shard_size="300KB")), Request("int8"), output=folder / "ov")).path


@pytest.fixture
def artifact(whole: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return shutil.copytree(whole, tmp_path / "ov")


@pytest.mark.parametrize(("fault", "command"), pairs())
def test_a_bad_artifact(fault: Fault, command: str, artifact: Path, bad: Bench) -> None:
    fault.maker(artifact)
    small = artifact if all(p.stat().st_size < SMALL for p in artifact.iterdir()) else None
    bad.refused(*READERS[command], artifact, says=fault.says, names="ov", source=small, out=".*")


@pytest.mark.parametrize(
    "fault",
    faulty("xml_missing", "manifest_not_json", "manifest_nested", "manifest_huge", "manifest_of_another_version"),
)
def test_an_artifact_that_cannot_be_measured(fault: Fault, artifact: Path, bad: Bench) -> None:
    fault.maker(artifact)
    bad.refused("validate", artifact, says=r"not a valid manifest|holds neither|has 1,", names="ov")


def test_an_artifact_whose_source_nobody_knows(artifact: Path, bad: Bench) -> None:
    FAULTS["manifest_missing"].maker(artifact)
    bad.refused("validate", artifact, says="no manifest that names its source", code=2)


@pytest.mark.parametrize(
    "fault",
    faulty(
        "bin_missing", "bin_flipped", "xml_bomb", "tokenizer_missing", "manifest_leaves_the_folder",
    ),
)  # fmt: skip
def test_an_artifact_that_fails(
    fault: Fault, artifact: Path, whole: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`validate` measures what it can, and says FAILED with the file in the first place."""
    monkeypatch.setenv("EDGECONV_CACHE", str(whole.parent / "cache"))
    fault.maker(artifact)
    ran = bad.run("validate", artifact, *QUICK)
    assert ran.code == 3, ran.err
    assert "Traceback" not in ran.err
    assert ran.verdict.startswith("FAILED. Structure and weights: ")
    bad.record("validate", ran.code, ran.verdict)


def test_the_artifact_without_a_fault(artifact: Path, bad: Bench) -> None:
    for command in ("inspect", "verify"):
        assert bad.run(*READERS[command], artifact).code == 0


@pytest.mark.fault("artifact: the parity report was edited")
def test_a_report_that_somebody_edited(artifact: Path, bad: Bench) -> None:
    (artifact / "parity").mkdir()
    (artifact / "parity" / "parity.json").write_text('{"verdict": "passed"}')
    bad.refused("publish", artifact, "--repo", "org/name", "--dry-run", says="report", names="parity")


@pytest.mark.fault("artifact: there is no parity report")
def test_no_report(artifact: Path, bad: Bench) -> None:
    bad.refused(
        "publish", artifact, "--repo", "org/name", "--dry-run", says="there is no parity report", code=3, names="ov"
    )


@pytest.mark.fault(
    "artifact: a file was added", says="It is shown by `inspect` and `verify`, and `publish` does not send it."
)
def test_a_file_that_somebody_added(artifact: Path, bad: Bench) -> None:
    (artifact / "evil.py").write_text("raise SystemExit")
    for command in ("inspect", "verify"):
        ran = bad.run(command, artifact)
        assert ran.code == 0
        assert re.search(r"not in the manifest:.*evil\.py", ran.out), ran.out
    assert bad.run("inspect", artifact, "--json").code == 0


@pytest.mark.parametrize("name", ["manifest_missing", "manifest_is_a_folder"])
def test_what_inspect_shows_without_a_manifest(name: str, artifact: Path, bad: Bench) -> None:
    FAULTS[name].maker(artifact)
    ran = bad.run("inspect", artifact)
    assert ran.code == 0
    assert "unchecked" in ran.out


def test_the_bench_sees_what_is_left_behind(bad: Bench) -> None:
    """Otherwise no test here could fail."""
    (bad.root / "file").write_text("")
    with pytest.raises(AssertionError, match="temporary"):
        (bad.temporary / "stray").write_text("")
        bad.refused("inspect", "absent", says="There is no folder")
    with pytest.raises(AssertionError):
        bad.refused("recipes", "new", "left.yaml", says="")
