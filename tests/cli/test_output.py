import io
from typing import Any

import pytest

from edgeconv.cli.output import Output, console, duration, paint, size
from edgeconv.cli.progress import bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (11.7e6, "11.7 MB"), (3.19e9, "3.19 GB")],
)  # fmt: skip
def test_size(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (7.44, "7.4 s"), (59.9, "59.9 s"), (125.2, "2 min 5 s")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_colors_only_on_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert paint("error:", "1;31", Terminal()) == "\x1b[1;31merror:\x1b[0m"
    assert paint("error:", "1;31", io.StringIO()) == "error:"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("error:", "1;31", Terminal()) == "error:"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert paint("error:", "1;31", Terminal()) == "error:"


def test_a_table_is_aligned_by_width_and_ends_without_blanks() -> None:
    text = io.StringIO()
    Output().table(["name", "bytes"], [["東京", "7"], ["a", "1,000"]], right=(1,), stream=text)
    assert text.getvalue() == "name   bytes\n東京       7\na      1,000\n"


def test_text_is_taken_as_it_is() -> None:
    text = io.StringIO()
    Output().table((), [("[bold]x[/bold]", ":smile:")], stream=text)
    assert text.getvalue() == "[bold]x[/bold]   :smile:\n"


def drawn(monkeypatch: pytest.MonkeyPatch, act: Any) -> str:
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    with bars(console(screen), verbose=False) as progress:
        act(progress)
    return screen.getvalue()


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(progress: Any) -> None:
        task = progress.task("Reading weights", 10)
        task.advance(4)
        progress.note("engine: stream")
        progress.detail("layer 1")
        task.finish()
        progress.task("Tokenizer").finish()

    text = drawn(monkeypatch, act)
    assert "Reading weights" in text
    assert "Tokenizer" in text
    assert text.count("100%") >= 2
    assert "engine: stream" in text
    assert "layer 1" not in text


def test_the_cursor_comes_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    with pytest.raises(ValueError, match="x"), bars(console(screen), verbose=False) as progress:
        progress.task("Reading weights", 10)
        raise ValueError("x")
    assert screen.getvalue().rfind("\x1b[?25h") > screen.getvalue().rfind("\x1b[?25l")
