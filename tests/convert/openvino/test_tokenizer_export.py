"""The process that makes the tokenizer IRs says what went wrong in it."""

import errno
from pathlib import Path

import pytest

from edgeconv.convert.openvino import tokenizer
from edgeconv.core.errors import CheckpointError, EdgeconvError, OutputError


def ended(monkeypatch: pytest.MonkeyPatch, error: Exception, capfd: pytest.CaptureFixture[str]) -> EdgeconvError:
    """Return what the parent says when the process meets an error."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(tokenizer, "export", fail)
    monkeypatch.setattr(tokenizer, "end_with", lambda _: None)
    monkeypatch.setattr("sys.argv", ["tokenizer", "1", "source", "out", "--trust-remote-code"])
    code = tokenizer._main()
    script = f"printf '%s' '{capfd.readouterr().out.strip()}'; exit {code}"
    monkeypatch.setattr("sys.argv", ["tokenizer"])
    monkeypatch.setattr(tokenizer.sys, "executable", "/bin/sh")
    popen = tokenizer.subprocess.Popen
    monkeypatch.setattr(tokenizer.subprocess, "Popen", lambda _, **options: popen(["/bin/sh", "-c", script], **options))
    with tokenizer.TokenizerExport(Path("source"), Path("out")) as running, pytest.raises(EdgeconvError) as told:
        running.wait()
    return told.value


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), Exception("No space left on device (os error 28)")],
    ids=["Python", "tokenizers"],
)
def test_a_full_disk_of_temporary_files_is_named(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told = ended(monkeypatch, error, capfd)
    assert isinstance(told, OutputError)
    assert str(tmp_path) in told.message
    assert "TMPDIR" in (told.hint or "")


def test_an_error_of_the_checkpoint_stays_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told = ended(monkeypatch, CheckpointError("It is damaged.", "Download it again."), capfd)
    assert isinstance(told, CheckpointError)
    assert (told.message, told.hint) == ("It is damaged.", "Download it again.")
