"""The error boundary: what each way to fail prints, and its exit code."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import edgeconv as package
from edgeconv.convert import conversion
from edgeconv.core import errors
from edgeconv.core.errors import ExitCode

from .conftest import Command

CONVERT = ("openvino", "--model", "x")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, edgeconv: Command) -> Any:
    """Run a conversion that raises what the test says."""

    def run(error: BaseException, *options: str) -> Any:
        def fail(job: conversion.Job, progress: Any) -> conversion.Artifact:
            raise error

        monkeypatch.setattr(conversion, "run", fail)
        return edgeconv(*CONVERT, *options)

    return run


KINDS = {
    errors.EdgeconvError: 1,
    errors.CheckpointError: 1,
    errors.ConversionError: 1,
    errors.ArtifactError: 1,
    errors.OutputError: 1,
    errors.UsageError: 2,
    errors.ParityError: 3,
    errors.AccessError: 4,
    errors.HubUnreachableError: 5,
}


def test_no_kind_of_error_is_forgotten() -> None:
    found = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert found == set(KINDS)


@pytest.mark.parametrize(("kind", "code"), KINDS.items())
def test_our_errors(failing: Any, kind: type[errors.EdgeconvError], code: int) -> None:
    result = failing(kind("It is broken.", "Mend it."))
    assert (result.code, result.out, result.err) == (code, "", "error: It is broken.\nhint: Mend it.\n")


def test_no_hint(failing: Any) -> None:
    assert failing(errors.EdgeconvError("It is broken.")).err == "error: It is broken.\n"


def test_the_usual_hint_of_a_class(failing: Any) -> None:
    assert "hint: `edgeconv COMMAND --help`" in failing(errors.UsageError("It is broken.")).err


def test_errors_as_json(failing: Any) -> None:
    result = failing(errors.AccessError("没有。", "Ask."), "--json")
    assert result.out == ""
    assert result.error == {"message": "没有。", "hint": "Ask.", "exit_code": 4, "kind": "AccessError"}


def test_the_unexpected_is_one_line_and_a_pointer(failing: Any) -> None:
    result = failing(KeyError("rotary"))
    assert result.code == 1
    assert result.err.splitlines()[0] == "error: Unexpected KeyError: 'rotary'"
    assert "-v" in result.err.splitlines()[1]
    assert "Traceback" not in result.err


@pytest.mark.parametrize("option", ["-v", "--verbose", "-qv"])
def test_verbose_gives_the_traceback(failing: Any, option: str) -> None:
    result = failing(KeyError("rotary"), option)
    assert "Traceback" in result.err
    assert "in fail" in result.err


def test_a_traceback_is_text(failing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = failing(ValueError("x\x1b[2J\n::error::evil"), "-v")
    assert "ValueError: x\\x1b[2J" in result.err
    assert "\n\\x3a:error::evil" in result.err
    assert "\x1b" not in result.err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory(failing: Any, error: Exception) -> None:
    result = failing(error)
    assert result.code == 1
    assert result.err.startswith("error: There is not enough memory.\nhint: ")


def test_an_error_of_the_system_names_its_file(failing: Any) -> None:
    result = failing(OSError(28, "No space left on device", "/data/file"))
    assert result.code == 1
    assert result.err == "error: /data/file: No space left on device.\nhint: Free some space.\n"


def test_interrupt(failing: Any) -> None:
    result = failing(KeyboardInterrupt())
    assert result.code == 130
    assert result.err.strip() == "error: Interrupted."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("openvino", "--model"),
        ("openvino --model x --precision int5", "int5"),
        ("openvino --model x --group-size many", "many"),
        ("openvino --model x --engine onnx", "onnx"),
        ("openvino --modle x", "--model"),
        ("inspect", "OUT"),
        ("convert", "convert"),
        ("chat OUT --temperature warm", "warm"),
    ],
)
def test_usage_errors(edgeconv: Command, line: str, said: str) -> None:
    result = edgeconv(*line.split())
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert said in result.err
    assert "--help" in result.err.splitlines()[-1]
    assert edgeconv(*line.split(), "--json").error["exit_code"] == 2


def test_no_command_shows_the_help(edgeconv: Command) -> None:
    result = edgeconv()
    assert result.code == 2
    assert "Usage: edgeconv" in result.err


def test_version(edgeconv: Command) -> None:
    assert edgeconv("--version").out == f"edgeconv {package.__version__}\n"


def python(program: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


STAGING = """
    import sys, time
    from edgeconv.convert import conversion
    from edgeconv.cli.main import main
    from edgeconv.core.staging import staged

    def run(job, progress):
        with staged(job.output) as folder:
            (folder / "half").write_text("half")
            sys.stderr.write("ready\\n")
            sys.stderr.flush()
            time.sleep(60)

    conversion.run = run
    main()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)], ids=["TERM", "HUP", "INT"]
)
def test_a_signal_leaves_nothing_behind(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = python(STAGING, *CONVERT, "-q", "-o", str(tmp_path / "out"))
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"])
def test_a_signal_that_a_library_takes_for_its_own_error(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """As pydantic does with whatever is raised while it builds a model; found by `make kill`."""
    program = f"""
        import os
        from edgeconv.convert import conversion
        from edgeconv.cli.main import main

        def run(job, progress):
            try:
                os.kill(os.getpid(), {int(number)})
            except BaseException as error:
                raise RuntimeError(f"Error building `model` serializer: {{type(error).__name__}}")

        conversion.run = run
        main()
    """
    process = python(program, *CONVERT, "-q", "-o", str(tmp_path / "out"))
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Unexpected" in err) == (code, False), err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=["TERM", "INT", "HUP"])
def test_a_signal_as_the_interpreter_ends_is_no_traceback(number: signal.Signals) -> None:
    """Everything is done by then; the shell hears 128 and the number, as from a handler of ours. Found by `make kill`."""
    program = f"""
        import atexit, os, sys
        from edgeconv.cli.main import main
        atexit.register(os.kill, os.getpid(), {int(number)})
        sys.argv = ["edgeconv", "--version"]
        main()
    """
    out, err = (process := python(program)).communicate(timeout=60)
    assert (process.returncode, err) == (-number, "")
    assert out


def test_nohup_is_respected(tmp_path: Path) -> None:
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + textwrap.dedent(STAGING)
    process = python(program, *CONVERT, "-q", "-o", str(tmp_path / "out"))
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.kill()
    process.communicate()


def test_a_forked_worker_does_not_clean_up_after_its_parent(tmp_path: Path) -> None:
    program = """
        import os, signal, sys
        from edgeconv.cli.main import _listen
        _listen()
        child = os.fork()
        try:
            if not child:
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        finally:
            print("cleaned by", "child" if not child else "parent", flush=True)
    """
    out, _ = python(program).communicate(timeout=60)
    assert out.split("\n")[:2] == ["143", "cleaned by parent"]


def test_a_reader_that_leaves_is_no_traceback(artifact: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "edgeconv", "inspect", str(artifact), "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_no_colors_in_a_pipe(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgeconv", "inspect", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.FAULT
    assert "\x1b" not in done.stdout + done.stderr


def test_the_module_and_the_script_are_the_same_program() -> None:
    script = Path(sys.executable).parent / "edgeconv"
    commands = ([sys.executable, "-m", "edgeconv"], [str(script)])
    said = [
        subprocess.run([*command, "doctor", "--jsn"], capture_output=True, text=True, check=False)
        for command in commands
    ]
    assert said[0].stderr == said[1].stderr != ""
    assert [done.returncode for done in said] == [2, 2]


@pytest.mark.parametrize("line", ["--help", "--version", "openvino --help", "chat --help", "doctor --help"])
def test_help_imports_nothing_heavy(line: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "edgeconv", *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {row.split("|")[-1].strip().split(".")[0] for row in done.stderr.splitlines() if "|" in row}
    heavy = {"torch", "openvino", "numpy", "pydantic", "transformers", "nncf", "optimum", "huggingface_hub", "rich"}
    assert "typer" in imported
    assert not imported & heavy


def test_completion_is_offered() -> None:
    environment = {**os.environ, "_EDGECONV_COMPLETE": "complete_bash", "COMP_WORDS": "edgeconv op", "COMP_CWORD": "1"}
    done = subprocess.run(
        [Path(sys.executable).parent / "edgeconv"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["openvino"]


def test_json_errors_are_one_line(failing: Any) -> None:
    assert json.loads(failing(errors.OutputError("a\nb"), "--json").err)["error"]["message"] == "a\nb"


def test_streams_that_are_closed(tmp_path: Path) -> None:
    """A file that is opened then would take their place, and get whatever a library prints."""
    program = "from edgeconv.cli.main import main, _open_streams; _open_streams(); import os, sys; "
    program += "opened = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT); assert opened > 2; print('lost'); main()"
    line = f'exec "{sys.executable}" -c "{program}" --version "{tmp_path / "file"}"'
    done = subprocess.run(["bash", "-c", f"{line} <&- >&- 2>&-"], check=False)
    assert (done.returncode, (tmp_path / "file").read_bytes()) == (0, b"")
