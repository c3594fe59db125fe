"""A compiled model has weights of its own: the pages of its file are given back while they are copied, and not touched after."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.convert.openvino import trace
from edgeconv.core.progress import Silent
from edgeconv.quantize.scheme import Request, resolve
from edgeconv.runtimes import openvino

from ..models import tiny

pytestmark = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists its mappings")


def test_pages_are_given_back_up_to_the_first_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny.make("qwen3", tmp_path / "source")
    trace.export(open_checkpoint(source), resolve(Request("int8")), tmp_path, progress=Silent())
    seen: list[list[Any]] = []
    releasing = openvino.releasing

    def noted(found: list[Any]) -> Any:
        seen.append(list(found))
        return releasing(found, every=0.0001)

    monkeypatch.setattr(openvino, "releasing", noted)
    made = openvino.OpenVINORuntime(tmp_path)
    other = openvino.OpenVINORuntime(tmp_path)  # maps the file once more: each gives back its own mapping alone
    assert made._decoder._model is not None
    ids = list(range(20, 60))
    first = np.concatenate([one.copy() for one in made.logits(ids)])
    assert [len(found) for found in seen] == [1, 1, 1]
    assert seen[0] == seen[2] != seen[1]
    assert made._decoder._model is None
    again = np.concatenate([one.copy() for one in made.logits(ids)])
    assert len(seen) == 3
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, np.concatenate([one.copy() for one in other.logits(ids)]), atol=1e-6)
