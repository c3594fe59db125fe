import logging
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from edgeconv.cli import quiet


def chatter() -> None:
    print("python", flush=True)
    os.write(1, b"native\n")
    warnings.warn("a python warning", stacklevel=1)
    logger = logging.getLogger("some.package")
    handler = logging.StreamHandler(sys.stdout)  # where NNCF logs
    logger.addHandler(handler)
    logger.warning("a logged warning")
    logger.removeHandler(handler)


def test_nothing_reaches_the_user(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    with quiet.libraries(verbose=False):
        chatter()
    assert capfd.readouterr() == ("", "")
    assert not recwarn


def test_verbose_sends_all_of_it_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="a python warning"), quiet.libraries(verbose=True):
        chatter()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["python", "native", "a logged warning"]


def test_errors_of_libraries_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    logger, handler = logging.getLogger("some.package"), logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    with quiet.libraries(verbose=False):
        logger.warning("a warning")
        logger.error("an error")
    logger.removeHandler(handler)
    assert capfd.readouterr().err == "an error\n"


def test_all_is_as_before_even_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, logging.root.manager.disable, list(warnings.filters)
    with pytest.raises(ValueError, match="x"), quiet.libraries(verbose=False):
        raise ValueError("x")
    assert (sys.stdout, logging.root.manager.disable, list(warnings.filters)) == before
    print("python", flush=True)
    os.write(1, b"native\n")
    assert capfd.readouterr().out == "python\nnative\n"


def test_no_library_can_report_to_anybody() -> None:
    program = """
        import importlib, sys
        from edgeconv.cli import quiet
        with quiet.libraries(verbose=False):
            try:
                importlib.import_module("openvino_telemetry")
            except ImportError:
                sys.exit(7)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == 7


def test_onnxruntime_does_not_report_its_sessions(tmp_path: Path) -> None:
    """Where it means to report it leaves an identifier in the cache, and `.ses` among the temporary files."""
    program = """
        from edgeconv.runtimes.onnx_session import library
        library().SessionOptions()
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    places = {name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, env={**kept, **places})
    assert list(tmp_path.iterdir()) == []
