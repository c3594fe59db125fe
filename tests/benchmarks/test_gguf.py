"""The bookkeeping of the benchmark; the runs themselves take minutes and a llama.cpp checkout."""

import shutil
from pathlib import Path

from edgeconv.benchmarks.gguf import identical, table, total
from edgeconv.benchmarks.measure import Measured
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.pipeline.gguf import GgufJob, run


def test_steps_are_added_and_the_higher_peak_counts() -> None:
    steps = {"convert": Measured(10, 8, 500, 900, 30), "quantize": Measured(20, 40, 300, 1000, 10)}
    assert total(steps) == {"wall": 30, "cpu": 48, "anonymous": 500, "rss": 1000, "written": 40}


def test_tensors_that_differ_are_not_counted(builtin_model: Path, tmp_path: Path) -> None:
    ours = run(GgufJob(str(builtin_model), recipe("q8_0"), output=tmp_path / "a.gguf")).path
    theirs = Path(shutil.copy(ours, tmp_path / "b.gguf"))
    count = len(open_gguf(ours).tensors)
    assert identical(ours, theirs) == (count, count)
    data = bytearray(theirs.read_bytes())
    data[open_gguf(ours).tensors["blk.0.attn_q.weight"].offset + 5] ^= 1
    theirs.write_bytes(data)
    assert identical(ours, theirs) == (count - 1, count)


def test_the_table_shows_ratios_of_pairs() -> None:
    runs = {
        "edgeconv": [{"wall": 2, "cpu": 1, "anonymous": 1e6, "rss": 2e6, "written": 0}] * 2,
        "llama.cpp": [{"wall": 8 * n, "cpu": 5, "anonymous": 4e6, "rss": 4e6, "written": 9e6} for n in (1, 2)],
    }
    result = {
        "source": "s", "type": "q4_k_m", "machine": "m", "runs": runs, "identical": 3, "tensors": 4, "bytes": {"a": 1000},
    }  # fmt: skip
    lines = table(result).splitlines()
    assert lines[2].split() == ["wall", "2.00", "s", "12.00", "s", "6.00", "(4.00–8.00)"]
    assert lines[-2] == "tensors of the same type and bytes: 3 of 4"
