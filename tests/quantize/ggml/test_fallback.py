"""Without the compiled kernels: a packaged ggml, numpy, or a sentence that says what to install."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.quantize.ggml import choose, fallback, native, rows
from edgeconv.quantize.ggml.types import TYPES

from . import oracle
from .test_identity import compare

LEGACY = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0")
FLOATS = ("f32", "f16", "bf16")


@pytest.fixture(autouse=True)
def looked_up_anew() -> Iterator[None]:
    fallback.engines.cache_clear()
    yield
    fallback.engines.cache_clear()


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of packages that are to look as if they were not installed."""
    names: set[str] = set()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in names else find(name, *rest))
    monkeypatch.setattr(native, "load", native.load.__wrapped__)
    return names


@pytest.mark.parametrize("name", [*LEGACY, *FLOATS])
def test_numpy_writes_the_same_bytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_KERNELS", "numpy")
    compare(choose.engine_for(TYPES[name], weighted=False), oracle.hard_rows(rows=2), name, None)


@pytest.mark.parametrize("name", ["q4_0", "q4_k", "iq4_nl"])
def test_the_packaged_ggml_writes_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECONV_KERNELS", "ggml")
    monkeypatch.setattr(fallback, "_PIECE", 768 * 7)
    engine = choose.engine_for(TYPES[name], weighted=True)
    assert engine.name.startswith("libggml-python")
    weights = oracle.hard_rows(rows=1)
    weights = (weights.view(np.uint32) >> 16).astype(np.uint16)
    for importance in (None, oracle.importances()["even"]):
        compare(engine, weights, name, importance)


def test_what_is_installed_is_preferred_in_this_order(absent: set[str]) -> None:
    chosen = []
    for gone in ((), ("edgeconv.quantize.ggml._kernels",), ("libggml",), ("gguf",)):
        absent.update(gone)
        fallback.engines.cache_clear()
        chosen.append((choose.engines()[0].name, choose.describe()))
    first, second, third, last = chosen
    if first[0] == second[0]:
        pytest.skip("the kernels are optional and were not built")
    assert first == ("compiled C kernels", "compiled C kernels (all types)")
    assert second[0].startswith("libggml-python 0.")
    assert "slower" in second[1]
    assert third[0] == "gguf's numpy quantizers"
    assert "only f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0" in third[1]
    assert "pip install" in third[1]
    assert "only f32, f16, bf16, without" in last[1]


@pytest.mark.parametrize(("name", "weighted"), [("q4_k", False), ("iq4_xs", False), ("q4_0", True)])
def test_a_type_that_nothing_can_write_says_what_to_install(name: str, weighted: bool, absent: set[str]) -> None:
    absent.update({"edgeconv.quantize.ggml._kernels", "libggml"})
    with pytest.raises(UsageError, match=name) as error:
        rows.quantize(np.ones((1, 256), np.float32), name, np.ones(256) if weighted else None)
    assert "libggml-python==" in str(error.value.hint)


@pytest.mark.parametrize("content", [b"not a library", None])
def test_a_broken_package_is_named(
    content: bytes | None, absent: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content:
        (tmp_path / "libggml-base.so").write_bytes(content)
    spec = importlib.machinery.ModuleSpec("libggml", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    absent.add("edgeconv.quantize.ggml._kernels")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: spec if name == "libggml" else find(name, *rest)
    )
    with pytest.raises(UsageError, match="libggml-python cannot be loaded"):
        choose.engine_for(TYPES["q4_k"], weighted=False)
    assert "cannot be loaded" in choose.describe()


@pytest.mark.parametrize("wish", ["ggml", "numpy"])
@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN or infinite"), (1e30, "do not fit q8_0")])
def test_bad_weights_are_found_here_too(value: float, message: str, wish: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("EDGECONV_KERNELS", wish)
    weights = np.zeros((3, 64), np.float32)
    weights[2, 5] = value
    with pytest.raises(CheckpointError, match=message):
        rows.quantize(weights, "q8_0")
