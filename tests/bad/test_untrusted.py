"""A hostile checkpoint is converted, inspected and measured under an audit hook: nothing of it runs without consent."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import Job, run
from edgeconv.convert.gguf.recipe import recipe
from edgeconv.quantize.scheme import Request

from . import hostile
from .checkpoints import edit
from .commands import Bench, environment

HOOK = Path(__file__).parent / "audit"
RUN = """
import json, sys
from edgeconv.cli import main
for line in json.loads(sys.argv[1]):
    print(main.run(line), file=sys.stderr)
"""


def audited(
    root: Path, model: Path, code: str, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Run Python in the model's folder, as the program `edgeconv` would be run there; return what it did that nothing may."""
    log = root / "audit.log"
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        **environment(root),
        "AUDIT_LOG": str(log), "AUDIT_MODEL": str(model), "AUDIT_ROOT": str(root),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HOOK), os.environ.get("EDGECONV_TEST_SITE")))),
        "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    del variables["HF_HUB_OFFLINE"]  # the hook sees who asks for the network
    command = [sys.executable, "-P", "-c", code, *arguments]
    done = subprocess.run(
        command, cwd=model, env=variables, input="y\n" * 9, capture_output=True, text=True, timeout=300, check=False
    )
    return done, [json.loads(line) for line in log.read_text().splitlines()]


def commands(root: Path, model: Path, *lines: list[str]) -> tuple[list[int], str, list[list[str]]]:
    done, seen = audited(root, model, RUN, json.dumps(lines))
    codes = [int(line) for line in done.stderr.splitlines() if line.isdigit()]
    return codes, done.stderr, seen


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The one folder that may be written to."""
    for name in ("tmp", "hf"):
        (tmp_path / "root" / name).mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def model(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    return hostile.make(tiny_model("llama"), tmp_path / "hostile" / "model")


@pytest.fixture(scope="module")
def whole(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact to measure against hostile references: a GGUF, for it is made at once."""
    return conversion.run(
        conversion.GgufJob(str(tiny_model("llama")), recipe("q8_0"), output=tmp_path_factory.mktemp("whole") / "gguf")
    ).path


@pytest.mark.fault(
    "untrusted: code in auto_map, pickles beside the weights, modules that shadow Python's",
    says="Converted (stream, trace, GGUF, ONNX), inspected and talked to; nothing of it runs.",
)
def test_nothing_of_the_checkpoint_runs(root: Path, model: Path) -> None:
    out, single, onnx = str(root / "ov"), str(root / "x.gguf"), str(root / "onnx")
    codes, said, seen = commands(
        root,
        model,
        ["openvino", "--model", str(model), "-p", "int8", "-o", out],
        ["openvino", "--model", ".", "-p", "int8", "--engine", "trace", "-o", str(root / "traced")],
        ["gguf", "--model", str(model), "-t", "q8_0", "-o", single],
        ["onnx", "--model", ".", "-p", "int8", "-o", onnx],
        ["chat", onnx, "--prompt", "x", "--max-new-tokens", "2"],
        ["inspect", out],
        ["inspect", single, "--tensors"],
        ["verify", out],
    )
    assert seen == []
    assert hostile.traces(model) == []
    assert codes == [0] * 8, said
    made = {path.name for folder in (out, onnx) for path in Path(folder).iterdir()}
    assert not [name for name in made if name.endswith(".py")]
    assert "auto_map" not in (root / "ov" / "config.json").read_text()


@pytest.mark.fault(
    "untrusted: an artifact with code beside it", says="Inspected, verified and measured; nothing of it runs."
)
def test_nothing_of_an_artifact_runs(root: Path, model: Path, whole: Path, tiny_model: Callable[..., Path]) -> None:
    """The hostile files lie in the artifact's folder itself, without a manifest that objects; the reference is hostile too."""
    artifact = run(Job(str(tiny_model("llama")), Request("int8"), output=root / "ov")).path
    for path in model.iterdir():
        if path.is_file() and path.suffix in (".py", ".bin", ".json") and "index" not in path.name:
            (artifact / path.name).write_bytes(path.read_bytes())
    (artifact / "edgeconv.json").unlink()
    few = ["--reference", str(model), "--quick", "--max-tokens", "300"]
    lines = [["inspect", str(artifact)], ["validate", str(artifact), *few], ["validate", str(whole), *few]]
    codes, said, seen = commands(root, artifact, *lines)
    assert [event for event in seen if event[0] != "open"] == []  # here the folder itself may be written to
    assert hostile.traces(model) == []
    assert codes == [0, 0, 0], said


@pytest.mark.fault(
    "untrusted: a model_type that only the checkpoint's code knows", says="It is refused, and the files are named."
)
def test_an_unknown_type_is_refused(root: Path, model: Path) -> None:
    hostile.unknown(model)
    codes, said, seen = commands(
        root, model, *(["openvino", "--model", ".", "--engine", e, "-o", str(root / e)] for e in ("auto", "trace"))
    )
    assert codes == [1, 1]
    assert "modeling_evil.py" in said
    assert "Only architectures that transformers itself implements" in said
    assert (seen, hostile.traces(model)) == ([], [])


@pytest.mark.fault(
    "untrusted: weights that are a pickle with a program in it", says="It is looked through, refused, and not run."
)
def test_a_pickle_is_not_run(root: Path, model: Path) -> None:
    for path in model.glob("*.safetensors*"):
        path.unlink()
    codes, said, seen = commands(
        root, model, *([command, "--model", ".", "-o", str(root / command)] for command in ("openvino", "gguf"))
    )
    assert codes == [1, 1]
    assert "pytorch_model.bin holds more than tensors" in said
    assert (seen, hostile.traces(model)) == ([], [])


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(
            key, id=key, marks=pytest.mark.fault(f"untrusted: {key} in tokenizer_config.json is a file of the machine")
        )
        for key in hostile.PATHS
    ],
)
def test_a_tokenizer_that_reads_other_files(key: str, model: Path, whole: Path, bad: Bench) -> None:
    edit(model / "tokenizer_config.json", lambda c: c.update({key: hostile.PATHS[key]}))
    says = "names a file that is not the checkpoint's own"
    bad.refused("openvino", "--model", model, "--output", "out", says=says, names="tokenizer_config", source=model)
    bad.refused("validate", whole, "--reference", model, says=says, names="tokenizer_config", source=model)


@pytest.mark.fault("untrusted: a tokenizer that only the checkpoint's code knows")
def test_a_tokenizer_of_its_own(model: Path, whole: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers would ask on the terminal; a `y` that comes by a pipe is not a consent."""
    hostile.tokenizer_of_its_own(model)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    says = "known to the checkpoint's own code alone, which is not run"
    bad.refused("openvino", "--model", model, "--output", "out", says=says, source=model)
    bad.refused("validate", whole, "--reference", model, says=says, source=model)
    assert hostile.traces(model) == []


@pytest.mark.fault("untrusted: code of another repository, with --trust-remote-code")
def test_code_of_another_repository(model: Path, bad: Bench) -> None:
    edit(
        model / "tokenizer_config.json",
        lambda c: c.update(auto_map={"AutoTokenizer": ["org/evil--tokenization.T", None]}),
    )
    line = ("openvino", "--model", model, "--output", "out", "--trust-remote-code")
    bad.refused(*line, says="another repository, org/evil", names="tokenizer_config", source=model)


@pytest.mark.fault(
    "untrusted: code of its own, with --trust-remote-code",
    says="The plan names every file that may run, and its commit, before one does.",
)
def test_the_hook_sees_code_that_runs_with_consent(root: Path, model: Path) -> None:
    """This is the control too: otherwise the tests above could not fail."""
    hostile.tokenizer_of_its_own(model)
    line = ["openvino", "--model", str(model), "-p", "int8", "-o", str(root / "out")]
    codes, said, seen = commands(root, model, [*line, "--trust-remote-code"])
    assert codes == [1], said  # it is not a tokenizer
    ran = {Path(path).name for event, path in seen if event == "exec"}
    assert ran == {"configuration_evil.py"}
    assert hostile.traces(model) == ["ran-configuration"]
    (told,) = [line for line in said.splitlines() if "--trust-remote-code lets" in line]
    assert all(path.name in told for path in model.glob("*.py"))
    assert told.endswith("from the folder model, of no known commit")
    assert said.index(told) < said.index("Writing weights")


CONTROLS = {
    "os.system": "import os; os.system('true')",
    "subprocess.Popen": "import subprocess; subprocess.run(['true'])",
    "socket.connect": "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: pass",
    "open": "open('/var/tmp/edgeconv-control', 'w').close(); import os; os.unlink('/var/tmp/edgeconv-control')",
    "pickle.find_class": "import pickle; pickle.loads(b'cos\\nsystem\\n.')",
    "exec": "import sys; sys.path.insert(0, '.'); import modeling_evil",
    "os.exec": "import os; os.execv('/bin/true', ['true'])",
}


@pytest.mark.parametrize("event", CONTROLS)
def test_the_hook_sees(event: str, root: Path, model: Path) -> None:
    _, seen = audited(root, model, CONTROLS[event])
    assert event in {name for name, _ in seen}


def test_the_hook_reaches_children(root: Path, model: Path) -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import os; os.system(\"true\")'])"
    _, seen = audited(root, model, child)
    assert {name for name, _ in seen} == {"subprocess.Popen", "os.system"}
