import io
import tarfile
from pathlib import Path

import pytest

from . import llama_perplexity, packages

PACKAGED = "llama_cpp_python-0.3.36"


def test_nothing_is_built_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(llama_perplexity.ASKS, raising=False)
    assert llama_perplexity.program(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_what_was_built_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(llama_perplexity.ASKS, raising=False)
    built = tmp_path / "llama-perplexity-0.3.36"
    built.mkdir()
    assert llama_perplexity.program(tmp_path) == built / "llama-perplexity"


def test_a_failed_build_says_why_and_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sources hold no CMakeLists.txt, and beside them lies what is not llama.cpp's."""
    extracted = []

    def archive(_requirement: str, folder: Path, _sha256: str) -> Path:
        path = folder / f"{PACKAGED}.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for name in ("setup.py", "vendor/llama.cpp/LICENSE"):
                tar.addfile(tarfile.TarInfo(f"{PACKAGED}/{name}"), io.BytesIO())
        return path

    def cmake(tools: Path) -> str:
        extracted.extend(p.relative_to(tools.parent).as_posix() for p in tools.parent.rglob("*") if p.is_file())
        return "false"

    monkeypatch.setenv(llama_perplexity.ASKS, "1")
    monkeypatch.setattr(packages, "sdist", archive)
    monkeypatch.setattr(llama_perplexity, "_cmake", cmake)
    with pytest.raises(RuntimeError, match="cannot be built: false"):
        llama_perplexity.program(tmp_path)
    assert sorted(extracted) == [f"{PACKAGED}.tar.gz", "sources/LICENSE"]
    monkeypatch.delenv(llama_perplexity.ASKS)
    assert llama_perplexity.program(tmp_path) is None


def test_other_sources_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip compares the sum of what it gets, before anything of it runs."""
    ran = tmp_path / "ran"
    script = f"open({str(ran)!r}, 'w')".encode()
    with tarfile.open(tmp_path / "other-1.0.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("other-1.0/setup.py")
        entry.size = len(script)
        tar.addfile(entry, io.BytesIO(script))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    (tmp_path / "to").mkdir()
    with pytest.raises(RuntimeError, match="DO NOT MATCH THE HASHES"):
        packages.sdist("other==1.0", tmp_path / "to", "0" * 64)
    assert not ran.exists()
