"""From measured processes to the page: figures, ratios, targets."""

import sys
from pathlib import Path

import pytest

from edgeconv.benchmarks import profile, report
from edgeconv.benchmarks.cases import CASES
from edgeconv.benchmarks.processes import ROOT, in_turn
from edgeconv.benchmarks.result import SOURCE, Figure, Result, Target, describe, of_runs


def test_sides_run_in_turn_and_their_steps_are_added_up(tmp_path: Path) -> None:
    write = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    said = tmp_path / "said"
    step = lambda word: [sys.executable, "-c", write, str(said), word]  # noqa: E731
    told: list[str] = []
    runs = in_turn({"a": [step("a")], "b": [step("b"), step("B")]}, 3, tmp_path, told.append, told.append)
    assert said.read_text() == "abBbBaabB"
    assert told == list("aabbbbaaaabb")
    assert [len(made) for made in runs.values()] == [3, 3]
    assert all(run["wall"] > 0 for made in runs.values() for run in made)


def test_of_several_steps_the_higher_peak_counts(tmp_path: Path) -> None:
    hold = "x = bytearray({} << 20); import time; time.sleep(0.3)"
    steps = [[sys.executable, "-c", hold.format(size)] for size in (80, 10)]
    runs = in_turn({"a": steps}, 1, tmp_path, lambda _: None, lambda _: None)
    assert 80 < runs["a"][0]["anonymous"] / 2**20 < 150
    assert runs["a"][0]["wall"] > 0.6


def test_ratios_are_those_of_pairs_and_above_1_where_we_are_ahead() -> None:
    runs = {
        "edgeconv": [{"wall": 2.0}, {"wall": 4.0}, {"wall": 2.0}],
        "peer": [{"wall": 8.0}, {"wall": 8.0}, {"wall": 6.0}],
    }
    figure = of_runs(runs, {"wall": Target(at_least=3)}, ["wall"])[0]
    assert figure.ratios == [4, 2, 3]
    assert figure.met
    assert describe(figure) == {
        "figure": "wall", "ours": "2.00 s", "theirs": "8.00 s", "ratio": "3.00 × (2.00–4.00)", "target": "≥ 3 ×", "met": "yes",
    }  # fmt: skip
    rate = Figure("token rate", "tokens/s", [30.0], [20.0], more_is_better=True, at_least=2)
    assert rate.ratios == [1.5]
    assert not rate.met
    assert not Figure("memory", "GB", [0.7], at_most=0.6).met
    assert Figure("memory", "GB", [0.7]).met is None


def test_the_page_shows_every_result_with_its_floor(tmp_path: Path) -> None:
    results = tmp_path / "benchmarks"
    speeds = [Figure("reading", "GB/s", [2.0]), Figure("writing, with fsync", "GB/s", [0.5])]
    Result("disk", "the disk", "python -m benchmarks disk", "", speeds).write(results)
    runs = {
        "edgeconv": [{"wall": 10.0, "anonymous": 2e8, "written": 1e9}],
        "peer": [{"wall": 50.0, "anonymous": 4e9, "written": 4e9}],
    }
    figures = [
        Figure(SOURCE, "GB", [3.0]),
        *of_runs(runs, {"wall": Target(at_least=6)}, ["wall", "anonymous", "written"]),
    ]
    Result("openvino-int4", "1.5B, int4", "python -m benchmarks openvino-int4", "optimum-intel 2", figures).write(
        results
    )
    report.write(results, tmp_path / "benchmarks.md")
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| wall | 10.00 s | 50.00 s | 5.00 × | ≥ 6 × | **no** |" in page
    assert "would take 3.5 s; edgeconv takes 2.9 times that" in page
    assert "times less than the peer" in (results / "ratios.svg").read_text()


def test_the_committed_page_is_that_of_the_committed_results(tmp_path: Path) -> None:
    results = ROOT / "docs" / "benchmarks"
    assert {path.stem for path in results.glob("*.json")} <= set(CASES)
    before = {path: path.read_bytes() for path in results.glob("*.svg")}
    page = ROOT / "docs" / "written-by-a-test.md"
    try:
        report.write(results, page)
        assert page.read_text() == (ROOT / "docs" / "benchmarks.md").read_text()
        assert {path: path.read_bytes() for path in results.glob("*.svg")} == before
    finally:
        page.unlink()


def test_a_case_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeconv.benchmarks.__main__ import main

    monkeypatch.setattr(sys, "argv", ["benchmarks", "nonesuch"])
    with pytest.raises(SystemExit):
        main()
    assert "no case nonesuch; there are disk, openvino-int4" in capsys.readouterr().err


def test_a_fork_is_not_counted_twice(tmp_path: Path) -> None:
    code = (
        "import os, time; x = bytearray(80 << 20); child = os.fork(); time.sleep(0.4); child and os.waitpid(child, 0)"
    )
    made = in_turn({"a": [[sys.executable, "-c", code]]}, 1, tmp_path, lambda _: None, lambda _: None)
    assert 80 < made["a"][0]["anonymous"] / 2**20 < 130


def test_samples_are_shared_out_by_what_they_did() -> None:
    samples = """
      954     55d5f6 ec_compress.arch_x86_64_v4 (/x/quantize/_kernels.cpython-311-x86_64-linux-gnu.so)
      954 ffffffff81 _copy_to_iter ([kernel.kallsyms])
      954     7f3e44 sha256_block_data_order_shaext (/x/libcrypto.so.3)
      954     7f3e44 _PyEval_EvalFrameDefault (/usr/bin/python3.11)
     1070     7f3e44 [unknown] (/x/libopenvino.so)
    """
    assert profile.share_out(samples) == {
        profile.QUANTIZING: 0.2, profile.KERNEL: 0.2, profile.HASHING: 0.2, profile.REST: 0.2, profile.TOKENIZER: 0.2,
    }  # fmt: skip
