"""What strangers write stays their words, whatever shows it: the card, the report's renderings, a terminal, a log."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any
from xml.etree import ElementTree as Tree

import pytest
import yaml

from edgeconv.cli.output import Output
from edgeconv.core.manifest import FileDigest, Manifest, VisionFacts
from edgeconv.publish import card, gate
from edgeconv.quantize.scheme import Request, resolve
from edgeconv.validate.report import html, junit, markdown
from edgeconv.validate.report.model import Report, RuntimeDefect

from .. import foreign
from ..hub.conftest import Recorder
from ..validate import report_samples
from .conftest import Make

OURS = re.compile(r"https://huggingface\.co/|parity/parity\.(md|html)$")


@cache
def report(kind: str) -> Report:
    """One that has something at every place."""
    found = report_samples.report(kind, tokens=8)
    defect = RuntimeDefect(
        name="n", engine="e", versions="v", concerns="c", effect="f", count=2, examples=["one", "two"]
    )
    rungs = [one.model_copy(update={"defects": [defect], "warnings": ["w"], "failures": ["f"]}) for one in found.rungs]
    pairs = [pair.model_copy(update={"runtime": "r"}) for pair in found.generations]
    return found.model_copy(
        update={"rungs": rungs, "generations": pairs, "notes": ["one", "two"], "documents": found.documents[:1]}
    )


@cache
def poisoned(kind: str, text: str) -> Report:
    return foreign.poisoned(report(kind), text)


@pytest.fixture
def cleared(artifact: Make, progress: Recorder) -> gate.Cleared:
    return gate.clear(artifact(), progress)


def manifests(base: Manifest) -> dict[str, Manifest]:
    """One for each kind of card."""
    seeing = VisionFacts(scheme=resolve(Request("fp16")).as_dict(), image_size=672, image_tokens=578, placeholder_id=1)
    words = {
        "license": "other",
        "license_name": "name",
        "license_link": "LICENSE",
        "language": ["en"],
        "tags": ["chat"],
    }
    source = base.source.model_copy(update={"card": words | {"pipeline_tag": "text-generation"}})
    large = FileDigest(size=3_000_000, sha256="0" * 64)
    common: dict[str, Any] = {"source": source, "assumed": ["one"], "notes": ["two"], "outputs": {"big.bin": large}}
    ggufs = {"name.gguf": large, "mmproj-name.gguf": large}
    gguf = common | {"target": "gguf", "vision": None, "outputs": ggufs, "scheme": {"file_type": "q4_k_m", "new": "x"}}
    return {
        "openvino": base.model_copy(update=common),
        "seeing": base.model_copy(update=common | {"vision": seeing}),
        "onnx": base.model_copy(update=common | {"target": "onnx", "scheme": {"precision": "int4", "new": "x"}}),
        "onnx, seeing": base.model_copy(update=common | {"target": "onnx", "vision": seeing}),
        "gguf": base.model_copy(update=gguf),
    }  # fmt: skip


def test_every_place_of_a_text_is_reached() -> None:
    found = foreign.poisoned(report("failed"), "EVIL")
    assert {found.artifact.name, found.rungs[0].failures[0], found.generations[0].prompt} == {"EVIL"}
    assert all("EVIL" in key for key in [*found.artifact.facts, *found.versions])
    assert found.rungs[0].name == "structure"


@pytest.mark.parametrize("text", foreign.TEXTS.values(), ids=foreign.TEXTS)
@pytest.mark.parametrize("kind", ["openvino", "seeing", "onnx", "onnx, seeing", "gguf"])
def test_a_card_says_what_it_would_say_of_honest_words(text: str, kind: str, cleared: gate.Cleared) -> None:
    base = manifests(cleared.manifest)[kind]
    for shown in (True, False):
        honest, hostile = (
            card.render(
                replace(
                    cleared,
                    place=replace(cleared.place, manifest=foreign.poisoned(base, words)),
                    report=poisoned("passed", words) if shown else None,
                    objection=words,
                ),
                "org/word",
                None if shown else words,
            )
            for words in (foreign.BENIGN, text)
        )
        assert yaml.safe_load(hostile.split("\n---\n")[0][3:]) is not None
        bodies = [one.split("\n---\n\n", 1)[1] for one in (honest, hostile)]
        (parts, _, honest_code), (found, links, code) = map(foreign.skeleton, bodies)
        assert without_links(found) == without_links(parts)
        assert [link for link in links if not OURS.match(link)] == []
        assert list(map(foreign.shape, code)) == list(map(foreign.shape, honest_code))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\udc80]", bodies[1])


def without_links(parts: list[str]) -> list[str]:
    """A link whose target is not an address is a word."""
    return [part for part in parts if not part.startswith("link_")]


RENDERED: dict[str, Callable[[Report], Any]] = {
    "markdown": lambda one: foreign.skeleton(markdown.render(one)),
    "html": lambda one: foreign.Elements(html.render(one)).found,
    "junit": lambda one: [(e.tag, sorted(e.attrib)) for e in Tree.fromstring(junit.render(one)).iter()],
}


@pytest.mark.parametrize("text", foreign.TEXTS.values(), ids=foreign.TEXTS)
@pytest.mark.parametrize("kind", ["passed", "failed", "crashed"])
@pytest.mark.parametrize("form", RENDERED)
def test_a_report_is_built_as_of_honest_words(form: str, kind: str, text: str) -> None:
    honest, hostile = (RENDERED[form](poisoned(kind, words)) for words in (foreign.BENIGN, text))
    assert hostile == honest


def test_no_page_names_an_address() -> None:
    for text in foreign.TEXTS.values():
        page = html.render(poisoned("failed", text))
        assert not [one for one in foreign.Elements(page).addresses if one != "data:," and not one.startswith("#")]


@pytest.mark.parametrize("text", foreign.TEXTS.values(), ids=foreign.TEXTS)
def test_what_reaches_a_terminal_or_a_log_is_words(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    out = Output(verbose=True)
    out.result(text)
    out.say(text)
    out.pairs([(text, text)])
    with out.working() as progress:
        progress.task(text).finish()
        progress.note(text)
        progress.detail(text)
    shown = "".join(capsys.readouterr())
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\udc80]", shown)
    assert not re.search(r"(?m)^\s*::|##\[|##vso\[", shown)
    monkeypatch.delenv("GITHUB_ACTIONS")
    out.result("a::b\n::c ##[d]")
    assert capsys.readouterr().out == "a::b\n::c ##[d]\n"


@pytest.mark.parametrize("text", foreign.TEXTS.values(), ids=foreign.TEXTS)
def test_json_is_the_same_data_and_no_orders_to_a_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    text = text.replace("\udc80", "")
    Output(json=True).data({text: [text]})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {text: [text]}
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
