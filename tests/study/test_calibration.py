"""`--calibration` from the text to the artifact: what is refused before a weight is read, what is kept, what is recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeconv.convert.conversion import Job, plan, run
from edgeconv.core.errors import UsageError
from edgeconv.core.manifest import read_manifest
from edgeconv.quantize.scheme import Request
from edgeconv.study.calibration import OWN, texts
from edgeconv.validate.suite import load

Make = Callable[..., Path]
GPTQ = {"precision": "int4_sym", "group_size": 32, "gptq": True, "num_samples": 3}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECONV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Heard:
    """A progress that remembers the names of the steps."""

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}

    def task(self, description: str, total: int | None = None) -> Any:
        self.steps[description] = 0
        return _Step(self.steps, description)

    def note(self, message: str) -> None: ...

    def detail(self, message: str) -> None: ...


class _Step:
    def __init__(self, steps: dict[str, int], name: str) -> None:
        self._steps, self._name = steps, name

    def advance(self, amount: int) -> None:
        self._steps[self._name] += amount

    def finish(self) -> None: ...


def asked(model: Path, output: Path | None = None, **options: Any) -> Job:
    return Job(str(model), Request(**(GPTQ | options)), output=output, calibrator=OWN)


def test_the_shipped_text_shares_nothing_with_the_suite() -> None:
    text = texts.text_of("suite")  # raises if it does
    assert len(text.documents) >= 200
    assert {document.kind for document in text.documents} == {"text", "chat"}
    assert text.digest != load().digest


def test_a_text_that_is_measured_on_is_refused_by_its_content(builtin_model: Path, tmp_path: Path) -> None:
    stolen = tmp_path / "innocent.txt"
    text = next(document.text for document in load().documents if document.name.startswith("udhr-en"))
    stolen.write_text("A preface of my own.\n\n" + re.sub(r"\s+", "\n", str(text)).upper())
    with pytest.raises(UsageError, match="share a passage"):
        plan(asked(builtin_model, calibration=str(stolen)))


def test_what_is_no_text_to_measure_on_is_refused(builtin_model: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("Too short.")
    with pytest.raises(UsageError, match="calibration needs 1024"):
        plan(asked(builtin_model, calibration=str(short)))
    with pytest.raises(UsageError, match="cannot be read"):
        plan(asked(builtin_model, calibration=str(tmp_path / "absent.txt")))
    with pytest.raises(UsageError, match="sees none"):
        plan(asked(builtin_model, calibration=str(pictures(tmp_path))))


def test_a_plan_says_what_will_be_measured_on(builtin_model: Path, tmp_path: Path) -> None:
    made = plan(asked(builtin_model, calibration="suite", num_samples=40))
    assert made.calibration
    assert (made.calibration.name, made.calibration.samples) == ("suite", 40)
    assert made.compressor == "nncf"
    rows = dict(made.rows())
    assert rows["calibration"].startswith("suite: 40 samples, ")
    assert "GPTQ on 40 samples of suite" in rows["scheme"]
    plain = plan(asked(builtin_model, gptq=None, num_samples=None))
    assert made.cost.memory_bytes > 2 * plain.cost.memory_bytes  # type: ignore[union-attr]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_chats_go_through_the_models_template(builtin_model: Path, tmp_path: Path) -> None:
    from edgeconv.convert.open_checkpoint import open_checkpoint
    from edgeconv.convert.openvino.choose import choose
    from edgeconv.quantize.scheme import resolve
    from edgeconv.study.calibration import openvino as calibration

    lines = [json.dumps({"messages": [{"role": "user", "content": f"Count to {n}, please."}]}) for n in range(120)]
    lines += [json.dumps("A line that is a plain string."), json.dumps({"text": "A text. " * 40})]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    checkpoint = open_checkpoint(builtin_model)
    request = Request("int4", gptq=True, calibration=str(tmp_path / "mine.jsonl"))
    choice = choose(checkpoint.config, names=checkpoint.names)
    made = calibration.samples(str(request.calibration), resolve(request), checkpoint, choice)
    assert made
    tokens = json.loads((builtin_model / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    user = next(token["id"] for token in tokens if token["content"] == "<|user|>")
    assert sum(user in ids for ids in made.documents) == 120
    assert len(made.documents) == 122
    assert made.name == "mine.jsonl"


def pictures(folder: Path) -> Path:
    from PIL import Image

    Image.new("RGB", (64, 48), (200, 30, 30)).save(folder / "red.png")
    lines = [{"image": "red.png", "text": f"Which color, said {n} times?"} for n in range(2)]
    lines += [{"text": "Words without a picture, many of them. " * 90}]
    (folder / "seen.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "seen.jsonl"


def test_a_model_that_sees_is_measured_on_pictures_and_text(tiny_vision_model: Make, tmp_path: Path) -> None:
    heard = Heard()
    job = asked(
        tiny_vision_model(), tmp_path / "out", calibration=str(pictures(tmp_path)), num_samples=9, gptq=None, awq=True
    )
    made = run(job, heard)
    facts = made.manifest.calibration
    assert facts
    assert (facts.name, facts.samples < 9, facts.pictures) == ("seen.jsonl", True, 2)
    assert read_manifest(tmp_path / "out").calibration == facts
    assert made.manifest.compressor == "nncf"
    assert heard.steps["Looking at pictures"] > 0
    assert heard.steps["Measuring activations"] == facts.samples
    assert made.manifest.scheme["awq"] is True
    assert made.manifest.vision
    assert "awq" not in made.manifest.vision.scheme


def test_a_picture_of_the_suite_is_refused(tiny_vision_model: Make, tmp_path: Path) -> None:
    picture = load().pictures[0]
    (tmp_path / "holiday.jpg").write_bytes(picture.path.read_bytes())
    (tmp_path / "seen.jsonl").write_text(json.dumps({"image": "holiday.jpg", "text": "Who is this, then?"}))
    with pytest.raises(UsageError, match="the suite that validations measure on"):
        plan(asked(tiny_vision_model(), calibration=str(tmp_path / "seen.jsonl")))
