"""Packages that libraries underneath import where they are installed: code that nobody asked edgeconv to run.

Each lies on the path as if it were installed, newer than any; what is imported of it leaves a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.core.foreign_code import OPTIONAL

from .test_untrusted import commands

PACKAGES = (*OPTIONAL, "kernels")
_CODE = """\
from pathlib import Path
Path({trace!r}).touch()
__version__ = "99.0"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the traces; packages lie on the path of every process that the test starts."""
    site, traces = tmp_path / "site", tmp_path / "root" / "traces"
    traces.mkdir(parents=True)
    for name in PACKAGES:
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(_CODE.format(trace=str(traces / name)))
        facts = site / f"{name}-99.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 99.0\n")
        (facts / "top_level.txt").write_text(f"{name}\n")
    monkeypatch.setenv("EDGECONV_TEST_SITE", str(site))
    for name in ("tmp", "hf"):
        (tmp_path / "root" / name).mkdir()
    return traces


LINES: dict[str, tuple[list[str], ...]] = {
    "openvino": (["openvino", "--model", "MODEL", "-p", "int8", "--engine", "trace", "-o", "ROOT/traced"],),
    "onnx": (["onnx", "--model", "MODEL", "-p", "fp32", "--engine", "trace", "-o", "ROOT/onnx"],),
    "gguf": (["gguf", "--model", "MODEL", "-t", "q8_0", "-o", "ROOT/x.gguf"],),
    "validate, chat": (
        ["openvino", "--model", "MODEL", "-p", "int8", "-o", "ROOT/ov"],
        ["validate", "ROOT/ov", "--reference", "MODEL", "--quick", "--max-tokens", "300", "--no-report"],
        ["chat", "ROOT/ov", "--prompt", "x", "--max-new-tokens", "2"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
def test_nothing_is_imported_that_nobody_asked_for(
    name: str, installed: Path, tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    root, model = tmp_path / "root", str(tiny_model("llama"))
    lines = [[part.replace("MODEL", model).replace("ROOT", str(root)) for part in line] for line in LINES[name]]
    codes, said, _ = commands(root, Path(model), *lines)
    assert sorted(path.name for path in installed.iterdir()) == []
    assert len(codes) == len(lines), said
    assert [code for code in codes if code not in (0, 3, 6)] == [], said  # an untrained model may miss a budget


def test_the_traces_would_be_seen(installed: Path, tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    from .test_untrusted import audited

    done, _ = audited(tmp_path / "root", Path(tiny_model("llama")), "import accelerate, wandb")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in installed.iterdir()) == ["accelerate", "wandb"]
