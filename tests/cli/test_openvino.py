from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.quantize.scheme import PRECISIONS, Request

from .conftest import Command


def test_defaults(edgeconv: Command, jobs: list[conversion.Job]) -> None:
    assert edgeconv("openvino", "--model", "org/name").code == 0
    assert jobs == [conversion.Job(model="org/name", request=Request("int4"))]


def test_every_option_reaches_the_pipeline(edgeconv: Command, jobs: list[conversion.Job], tmp_path: Path) -> None:
    line = (
        "openvino --model org/name --precision int4 --group-size 64 --group-size-fallback adjust --ratio 0.8 --sym "
        "--backup-precision int8_sym --all-layers --revision v1 --force --trust-remote-code --engine trace "
        "--compressor nncf --rope fused --vision-precision int8 --local-files-only --output"
    )
    assert edgeconv(*line.split(), tmp_path / "out").code == 0
    assert jobs == [
        conversion.Job(
            model="org/name",
            request=Request("int4", 64, "adjust", 0.8, True, "int8_sym", True),
            revision="v1",
            output=tmp_path / "out",
            force=True,
            trust_remote_code=True,
            engine="trace",
            compressor="nncf",
            rope="fused",
            vision_precision="int8",
            local_files_only=True,
        )
    ]


def test_asym_is_not_the_absence_of_sym(edgeconv: Command, jobs: list[conversion.Job]) -> None:
    edgeconv("openvino", "--model", "x", "--asym")
    edgeconv("openvino", "--model", "x")
    assert [job.request.sym for job in jobs] == [False, None]


def test_stdout_is_the_path_and_nothing_else(edgeconv: Command, jobs: list[conversion.Job], tmp_path: Path) -> None:
    result = edgeconv("openvino", "--model", "x", "--output", tmp_path / "out")
    assert result.out == f"{tmp_path / 'out'}\n"
    for text in ("Reading weights …", "engine: stream", "bits per weight", "6.15", "1.2 s", "int4_asym, group 32"):
        assert text in result.err
    assert "a library talks" not in result.err
    assert "layer 1 of 1" not in result.err


def test_verbose_shows_details_and_what_libraries_print(edgeconv: Command, jobs: list[conversion.Job]) -> None:
    result = edgeconv("openvino", "--model", "x", "-v")
    assert "layer 1 of 1" in result.err
    assert "a library talks" in result.err
    assert result.out.count("\n") == 1


def test_quiet_leaves_only_the_path(edgeconv: Command, jobs: list[conversion.Job], tmp_path: Path) -> None:
    result = edgeconv("openvino", "--model", "x", "-q", "-o", tmp_path / "out")
    assert (result.out, result.err) == (f"{tmp_path / 'out'}\n", "")


def test_json(edgeconv: Command, jobs: list[conversion.Job], tmp_path: Path) -> None:
    result = edgeconv("openvino", "--model", "x", "--json", "-o", tmp_path / "out")
    assert result.err == ""
    assert result.data["output"] == str(tmp_path / "out")
    assert result.data["source_bytes"] == 3328
    assert result.data["output_bytes"] == 22 + 2048 + 1
    assert result.data["bits_per_weight"] == 6.15
    assert result.data["scheme"]["mode"] == "int4_asym"
    assert result.data["plan"]["engine"] == "stream"


def test_a_dry_run_prints_the_plan_and_runs_nothing(
    edgeconv: Command, jobs: list[conversion.Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(conversion, "run")
    result = edgeconv("openvino", "--model", "org/name", "--dry-run")
    assert result.code == 0
    lines = dict(line.split(":", 1) for line in result.out.splitlines())
    assert lines["engine"].strip() == "stream: its block is known"
    assert lines["note"].strip() == "a note"
    assert edgeconv("openvino", "--model", "org/name", "--dry-run", "--json").data["engine"] == "stream"


def test_long_lines_are_not_wrapped_in_a_pipe(edgeconv: Command, jobs: list[conversion.Job]) -> None:
    result = edgeconv("openvino", "--model", "m" * 500, "--dry-run")
    assert "m" * 500 in result.out
    assert not any(line.endswith(" ") for line in result.out.splitlines())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_is_admitted(edgeconv: Command, jobs: list[conversion.Job], precision: str) -> None:
    assert edgeconv("openvino", "--model", "x", "--precision", precision, "--dry-run").code == 0
    assert jobs[0].request.precision == precision
