"""`edgeconv chat` with what is not a model, is damaged, or will not end; and with what is not a question."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from edgeconv.convert import conversion
from edgeconv.convert.conversion import Job, run
from edgeconv.core import chat_template
from edgeconv.quantize.scheme import Request

from .commands import Bench

fault = pytest.mark.fault
TOKENIZER, DETOKENIZER = "openvino_tokenizer.xml", "openvino_detokenizer.xml"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}\n{% set c = a %}{% endfor %}{% endfor %}"


@pytest.fixture(scope="module")
def whole(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact without a fault."""
    return run(Job(str(tiny_model("llama")), Request("int8"), output=tmp_path_factory.mktemp("whole") / "ov")).path


@pytest.fixture
def artifact(whole: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return shutil.copytree(whole, tmp_path / "ov")


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def template(folder: Path, text: str) -> None:
    """Replace the template in the tokenizer's IR, which openvino_genai prefers to the files."""
    path = folder / TOKENIZER
    path.write_text(re.sub('(<chat_template value=)"[^"]*"', lambda m: m[1] + quoteattr(text), path.read_text()))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "there is no such folder": (shutil.rmtree, "There is no folder"),
    "the tokenizer is not there": (lambda folder: (folder / "openvino_tokenizer.bin").unlink(), "openvino_tokenizer.bin missing"),
    "the tokenizer's IR is truncated": (lambda folder: half(folder / TOKENIZER), "cannot be loaded on CPU: Error parsing"),
    "the .bin is truncated": (lambda folder: half(folder / "openvino_model.bin"), "cannot be loaded on CPU: Incorrect weights"),
    "generation_config.json is not JSON": (
        lambda folder: (folder / "generation_config.json").write_text("{"), "cannot be loaded on CPU: .*parse error"
    ),
    "the template runs for ever": (lambda folder: template(folder, ENDLESS), "chat template .*cannot be used: it runs for more"),
    "the template runs for ever on this question alone": (
        lambda folder: template(folder, "{% if messages[0].content == 'Hello!!' %}" + ENDLESS + "{% endif %}"),
        "chat template .*cannot be used: it runs for more",
    ),
    "the template cannot be rendered": (
        lambda folder: template(folder, "{{ raise_exception('no') }}"), r"generation failed: no at row 1, column 19"
    ),
}  # fmt: skip
ONNX_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "the graph is not there": (lambda folder: (folder / "model.onnx").unlink(), r"chat model: model\.onnx missing"),
    "the graph is truncated": (lambda folder: half(folder / "model.onnx"), r"model\.onnx is not an ONNX model"),
    "the graph is another one": (lambda folder: rename_input(folder / "model.onnx"), "has the input pixels"),
    "the weights are not there": (lambda folder: (folder / "model.onnx_data").unlink(), r"model\.onnx_data', which is not there"),
    "the weights are truncated": (lambda folder: half(folder / "model.onnx_data"), r"model\.onnx_data ends before"),
    "the tokenizer is not there": (lambda folder: (folder / "tokenizer.json").unlink(), r"has no tokenizer\.json"),
    "the tokenizer is truncated": (lambda folder: half(folder / "tokenizer.json"), r"tokenizer\.json cannot be read"),
    "config.json is not JSON": (lambda folder: (folder / "config.json").write_text("{"), r"config\.json is not valid JSON"),
    "generation_config.json says a text for a number": (
        lambda folder: (folder / "generation_config.json").write_text('{"temperature": "hot"}'),
        r"generation_config\.json: temperature cannot be 'hot'",
    ),
    "there is no template": (lambda folder: (folder / "chat_template.jinja").unlink(), "has no chat template"),
    "the template runs for ever": (lambda folder: (folder / "chat_template.jinja").write_text(ENDLESS), "it runs for more than"),
    "the template cannot be rendered": (
        lambda folder: (folder / "chat_template.jinja").write_text("{{ raise_exception('no') }}"), "refuses this .*: no"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(name, id=name, marks=fault(f"chat: {name}")) for name in FAULTS])
def test_an_artifact_that_cannot_talk(name: str, artifact: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.6)
    spoil, says = FAULTS[name]
    spoil(artifact)
    bad.refused("chat", artifact, "--prompt", "Hello!!", "--max-new-tokens", "4", says=says, names="ov|generation")


@pytest.fixture(scope="module")
def whole_onnx(tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as ONNX."""
    output = tmp_path_factory.mktemp("whole") / "onnx"
    return conversion.run(conversion.OnnxJob(str(tiny_model("llama")), Request("int8"), output=output)).path


def rename_input(path: Path) -> None:
    from onnx import load, save

    model = load(path, load_external_data=False)
    model.graph.input[0].name = "pixels"
    for node in model.graph.node:
        node.input[:] = ["pixels" if name == "input_ids" else name for name in node.input]
    save(model, path)


@pytest.mark.parametrize(
    "name", [pytest.param(name, id=name, marks=fault(f"chat: ONNX, {name}")) for name in ONNX_FAULTS]
)
def test_an_onnx_model_that_cannot_talk(
    name: str, whole_onnx: Path, tmp_path: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.6)
    spoil, says = ONNX_FAULTS[name]
    folder = shutil.copytree(whole_onnx, tmp_path / "onnx")
    spoil(folder)
    code = 2 if name == "the template cannot be rendered" else 1
    bad.refused("chat", folder, "--prompt", "Hello!!", says=says, code=code)


@fault("chat: ONNX, another device than the CPU")
def test_an_onnx_model_on_another_device(whole_onnx: Path, bad: Bench) -> None:
    bad.refused("chat", whole_onnx, "--device", "GPU", "--prompt", "x", says="cannot run on GPU", code=2)


@fault("chat: a question that is not UTF-8")
def test_a_question_that_is_no_text(artifact: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("--max-new-tokens", "2")
    for line in (("--prompt", "caf\udce9"), ("--prompt", "x", "--system", "caf\udce9")):
        assert bad.run("chat", artifact, *few, *line).message.endswith("is not UTF-8 text.")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), "utf-8"))
    bad.refused("chat", artifact, *few, says="The question is not UTF-8 text", code=2)


@fault("chat: nobody asks anything", says="It ends without a word.")
def test_no_question(artifact: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    ran = bad.run("chat", artifact)
    assert (ran.code, ran.out, ran.err) == (0, "", "")


@fault("chat: a device that is not there", says="Refused before anything is loaded; those that are there are named.")
def test_a_device_that_is_not_there(artifact: Path, bad: Bench) -> None:
    for device in ("NPU7", "HETERO:CPU,NPU7"):
        ran = bad.run("chat", artifact, "--device", device, "--prompt", "x")
        assert (ran.code, ran.message) == (2, f"There is no device {device} here.")
        assert ran.hint.startswith("OpenVINO sees: CPU")


@fault("chat: the template runs for ever in openvino_genai alone")
def test_a_template_that_tells_the_engines_apart(artifact: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jinja knows `dict`, openvino_genai's own engine does not: only it loops, and nothing but an end of its process stops it."""
    monkeypatch.setattr(chat_template, "SECONDS", 0.6)
    template(artifact, "{% if dict is defined %}Hello{% else %}" + ENDLESS + "{% endif %}")
    bad.refused("chat", artifact, "--prompt", "Hello!!", says="cannot be used: it runs for more than 1.8 s", names="ov")


def test_validate_ends_with_a_template_that_tells_the_engines_apart(
    artifact: Path, tiny_model: Callable[..., Path], tmp_path: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.6)
    said = "{% for m in messages %}{{ m.role + ': ' + m.content }}\n{% endfor %}"
    text = "{% if dict is defined %}" + said + "{% else %}" + ENDLESS + "{% endif %}"
    source = shutil.copytree(tiny_model("llama"), tmp_path / "source")
    (source / "chat_template.jinja").write_text(text)
    (artifact / "chat_template.jinja").write_text(text)
    template(artifact, text)
    (artifact / "edgeconv.json").unlink()  # the digests alone would give it away
    ran = bad.run("validate", artifact, "--reference", source, "--quick", "--max-tokens", "300")
    assert ran.code in (1, 3), ran.err
    assert "it runs for more than 1.8 s" in ran.out + ran.err
    assert "Traceback" not in ran.err
