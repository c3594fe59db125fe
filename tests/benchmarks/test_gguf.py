"""The comparison of two files; the runs themselves take minutes and a llama.cpp checkout."""

import shutil
from pathlib import Path

from edgeconv.benchmarks.gguf import identical
from edgeconv.convert.conversion import GgufJob, run
from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.gguf.recipe import recipe


def test_tensors_that_differ_are_not_counted(builtin_model: Path, tmp_path: Path) -> None:
    ours = run(GgufJob(str(builtin_model), recipe("q8_0"), output=tmp_path / "a.gguf")).path
    theirs = Path(shutil.copy(ours, tmp_path / "b.gguf"))
    count = len(open_gguf(ours).tensors)
    assert identical(ours, theirs) == (count, count)
    data = bytearray(theirs.read_bytes())
    data[open_gguf(ours).tensors["blk.0.attn_q.weight"].offset + 5] ^= 1
    theirs.write_bytes(data)
    assert identical(ours, theirs) == (count - 1, count)
