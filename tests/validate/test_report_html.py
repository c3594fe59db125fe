import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.validate.report import words
from edgeconv.validate.report.html import documents, render
from edgeconv.validate.report.html import page as page_module
from edgeconv.validate.report.html.page import MAX_BYTES
from edgeconv.validate.report.model import (
    Alternative,
    Comparison,
    DocumentScore,
    Estimate,
    Histogram,
    PositionBlock,
    Report,
    Subject,
    TokenScore,
)

from . import report_samples as samples

ATTACK = "</script><script>alert(1)</script>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0",
    "--virtual-time-budget=2000",
]  # fmt: skip


def data_of(page: str) -> dict[str, list]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_sections_stand_in_their_order() -> None:
    report = samples.report("failed", tokens=60)
    page = render(report)
    marks = ['<h1 id="verdict-title">Failed', 'id="budget"', 'id="distribution"', 'id="long-context"', 'id="errors"',
             'id="ladder"', 'id="generations"', 'id="documents"', 'id="facts"']  # fmt: skip
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)
    value = words.measured(report.budgets[0])
    assert "at worst" in value, "the figure and what is held against the limit have two names"
    assert f"Over budget: mean KL is {value}, wanted ≤ 0.1 nats" in page


def test_the_page_asks_the_network_for_nothing() -> None:
    page = render(samples.report("failed", tokens=60))
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=(?!"#|"data:,)""", page)
    assert "url(" not in page
    assert "@import" not in page
    assert not re.findall(r"\sstyle=", page)  # the policy would refuse them


def hostile() -> Report:
    """Every text of a report says the same thing."""
    text = json.dumps(samples.report("failed", tokens=40).model_dump(mode="json"))
    report = json.loads(text)

    def poison(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: poison(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [poison(item, key) for item in value]
        kept = ("name", "status", "verdict", "first_failed", "metric")
        return (
            ATTACK + "\"'<img src=x onerror=alert(1)>\u202e\x00"
            if isinstance(value, str) and key not in kept
            else value
        )

    return Report.model_validate(poison(report))


def test_hostile_text_stays_text() -> None:
    page = render(hostile())
    assert page.count("<script") == 2  # ours: the data and the program
    assert page.count("</script") == 2
    assert "<img" not in page
    assert "\u202e" not in page
    assert "\x00" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert any(text.startswith(ATTACK) for text in data_of(page)["texts"])


def test_tokens_carry_their_level_and_data() -> None:
    levels = {None: "u", math.nan: "x", math.inf: "x", 0.0: "", 0.01: "k1", 0.05: "k2", 0.1: "k3", 0.5: "k4", 3.0: "k5"}
    assert {kl: documents.level(kl) for kl in levels} == levels
    other = [Alternative(text="\n", reference=0.25, artifact=math.nan)]
    scores = [TokenScore(text="a"), TokenScore(text="\n", kl=0.2, alternatives=other), TokenScore(text="b", kl=0.001)]
    document = DocumentScore(name="n", kind="text", mean_kl=0.1, tokens=scores)
    assert documents.view(document).body == '<b class=u>a</b><b class="k3 n">\n</b><b>b</b>'
    assert json.loads(documents.data([documents.view(document)], 0.0)) == {
        "texts": ["↵"],
        "documents": [["", ["0.200", 0, 2500, -1], "0.00100"]],
    }


def test_the_worst_document_is_first_and_alone_open() -> None:
    report = samples.report("failed", tokens=200)
    first = max(report.documents, key=lambda one: one.mean_kl)
    broken = first.model_copy(update={"name": "broken", "mean_kl": math.nan})
    assert [one.name for one in documents.worst_first([*report.documents, broken])][:2] == ["broken", first.name]
    opened = re.findall(r'<details class="document" open>\s*<summary><span class="name">([^<]*)', render(report))
    assert opened == [first.name]


def test_fifteen_thousand_tokens_with_all_alternatives_fit_into_two_megabytes() -> None:
    report = samples.report("failed", tokens=15_000)
    page = render(report)
    assert len(page.encode()) <= MAX_BYTES < 2_000_000
    assert "To keep this page small" not in page
    shown = [entry for document in data_of(page)["documents"] for entry in document]
    assert len(shown) == sum(len(document.tokens) for document in report.documents)
    assert sum(isinstance(entry, list) for entry in shown) == len(shown) - len(report.documents)


def test_what_does_not_fit_is_left_out_the_least_bad_first(monkeypatch: pytest.MonkeyPatch) -> None:
    report = samples.report("failed", tokens=3000)
    whole = len(render(report).encode())
    monkeypatch.setattr(page_module, "MAX_BYTES", whole - 100_000)
    page = render(report)
    assert len(page.encode()) <= whole - 100_000
    found = data_of(page)["documents"]
    assert len(found) == len(report.documents)
    kept = [float(entry[0]) for row in found for entry in row if isinstance(entry, list)]
    bare = [float(entry) for row in found for entry in row if isinstance(entry, str) and entry]
    assert kept
    assert min(kept) >= max(bare)
    monkeypatch.setattr(page_module, "MAX_BYTES", whole - 250_000)
    page = render(report)
    assert len(page.encode()) <= whole - 250_000
    count = len(data_of(page)["documents"])
    assert 0 < count < len(report.documents)
    names = [one.name for one in documents.worst_first(report.documents)]
    assert re.findall(r'<span class="name">([^<]*)</span><span class="kind">', page) == names[:count]
    assert f"{len(names) - count} documents, the least bad, are left out" in page


def strange() -> list[Report]:
    """What an unlucky run can leave: figures that are not numbers, one token, empty lists, odd histograms."""
    base = samples.report("failed", tokens=40)
    block = PositionBlock(start=0, stop=1, tokens=1, mean_kl=math.nan, top1=math.nan, max_abs_logit=math.inf)
    nothing = Histogram(edges=[], counts=[])
    open_ended = Histogram(edges=[0.0, 1e-3, 1e-1, math.inf], counts=[3, 0, 4])
    found = []
    for value, histogram in (
        (math.nan, nothing),
        (math.inf, open_ended),
        (0.0, Histogram(edges=[1e-3, 1], counts=[0])),
    ):
        figures = {"mean_kl": Estimate(value=value, low=value, high=value), "top1": Estimate(value=value)}
        changed = {"figures": figures, "histogram": histogram, "positions": [block]}
        comparisons = [one.model_copy(update=changed) for one in base.comparisons]
        lines = [line.model_copy(update={"value": value, "worst": value, "limit": 0.0}) for line in base.budgets]
        found.append(base.model_copy(update={"comparisons": comparisons, "budgets": lines, "documents": []}))
    facts = {"reference": "", "artefact": "", "tokens": 0, "documents": 0, "figures": {}, "positions": []}
    bare = Comparison(name="quantisation", histogram=nothing, **facts)
    lone = [TokenScore(text="a", kl=math.nan)]
    scores = [DocumentScore(name=str(len(t)), kind="", mean_kl=math.nan, tokens=t) for t in ([], lone)]
    nobody = Subject(name="", digest="")
    empty = {
        "budgets": [],
        "rungs": [],
        "generations": [],
        "seconds": {},
        "versions": {},
        "notes": [],
        "artefact": nobody,
    }
    found.append(base.model_copy(update={"comparisons": [bare], "documents": scores, **empty}))
    found.append(base.model_copy(update={"comparisons": [], "documents": [], **empty}))
    return found


@pytest.mark.parametrize("index", range(5))
def test_strange_reports_are_rendered(index: int) -> None:
    page = render(strange()[index])
    assert page.rstrip().endswith("</html>")
    assert not re.search(r'="[^"]*\b(nan|inf)\b', page), "a coordinate is not a number"


def test_open_ends_of_a_histogram_are_drawn() -> None:
    page = render(strange()[1])
    assert page.count('<rect class="bar"') == 3
    assert "0.00100 to 0.100" in page


def test_a_run_that_ended_early_says_so() -> None:
    page = render(samples.report("crashed"))
    assert "Tokens: emoji.txt, character 118" in page
    assert "No logits were compared" in page
    assert "The check left no result" in page
    assert 'id="documents"' not in page
    assert 'id="errors"' not in page


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., tuple[str, list[str]]]:
    """Open a page in headless Chromium; returns the DOM after its scripts ran, and what they wrote to the console."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")

    def run(page: str, *, dark: bool = False, script: str = "") -> tuple[str, list[str]]:
        if script:  # the page's own policy would refuse a script of ours
            page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
            page = page.replace("</body>", f"<script>{script}</script></body>")
        path = tmp_path / "page.html"
        path.write_text(page, "utf-8")
        options = [
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        ]
        done = subprocess.run(
            [CHROMIUM, *QUIET, *options, "--dump-dom", path.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


def test_the_console_check_sees_errors_and_refused_scripts(browse: Callable[..., tuple[str, list[str]]]) -> None:
    page = render(samples.report("crashed"))
    _, console = browse(page, script="undefined_function()")
    assert any("undefined_function" in line for line in console)
    _, console = browse(page.replace("</body>", "<script>document.title = 'taken'</script></body>"))
    assert any("Content Security Policy" in line for line in console)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("kind", ["passed", "failed", "crashed", "hostile"])
def test_the_page_renders_without_console_errors(
    kind: str, dark: bool, browse: Callable[..., tuple[str, list[str]]]
) -> None:
    page = render(hostile() if kind == "hostile" else samples.report(kind, tokens=200))
    dom, console = browse(page, dark=dark)
    assert console == []
    assert re.search(r'<button[^>]*id="theme"(?![^>]*hidden)', dom), "the page's own script did not run"


@pytest.mark.parametrize(("dark", "color"), [(False, "rgb(245, 245, 242)"), (True, "rgb(17, 19, 23)")])
def test_the_theme_follows_the_system_and_the_button(
    dark: bool, color: str, browse: Callable[..., tuple[str, list[str]]]
) -> None:
    look = "document.title = getComputedStyle(document.body).backgroundColor"
    page = render(samples.report("crashed"))
    dom, _ = browse(page, dark=dark, script=look)
    assert f"<title>{color}</title>" in dom
    press = "document.getElementById('theme').click();"  # auto → light → dark
    dom, console = browse(page, dark=not dark, script=press * (2 if dark else 1) + look)
    assert f"<title>{color}</title>" in dom
    assert console == []


def test_alternatives_show_on_focus_and_arrows_move(browse: Callable[..., tuple[str, list[str]]]) -> None:
    report = samples.report("failed", tokens=120)
    worst = documents.worst_first(report.documents)[0]
    script = """
      const box = document.querySelector(".tokens"), first = box.firstElementChild;
      const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      first.focus(); press("ArrowRight");
      document.title = [...document.querySelectorAll("#tip td, #tip strong")].map((cell) => cell.textContent).join("|");
      document.body.dataset.place = [...box.children].indexOf(document.activeElement);
      press("Escape"); document.body.dataset.closed = document.getElementById("tip").hidden;
      document.querySelector("[data-level='5']").click();
    """
    dom, console = browse(render(report), script=script)
    assert console == []
    assert 'data-place="1"' in dom
    assert 'data-closed="true"' in dom
    assert 'data-least="5"' in dom
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title
    best = worst.tokens[1].alternatives[0]
    assert f"{best.reference * 100:.2f} %" in title[1]
    assert best.text in title[1]
