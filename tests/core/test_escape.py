import ast
import json
import subprocess

import pytest

from edgeconv.core import escape

from .. import foreign

WORDS = [*foreign.TEXTS.values(), "", " ", "a b.gguf", "~/x", "-rf", "𝄞 東京", "\\", "'", '"', "`"]


@pytest.mark.parametrize("text", WORDS)
def test_a_literal_of_python_is_the_text(text: str) -> None:
    written = escape.python(text)
    assert ast.literal_eval(written) == text
    assert written.isprintable()


@pytest.mark.parametrize("text", [text for text in WORDS if "\x00" not in text])
def test_a_word_of_a_shell_is_the_text(text: str) -> None:
    written = escape.shell(text)
    shown = subprocess.run(["bash", "-c", f"printf %s {written}"], capture_output=True, check=True).stdout
    assert shown == text.encode("utf-8", "surrogateescape" if "\udc80" not in text else "surrogatepass")
    assert written.isprintable()


@pytest.mark.parametrize("text", WORDS)
def test_what_markdown_shows_of_a_block_is_the_text(text: str) -> None:
    blocks = foreign.skeleton("before\n\n" + escape.block(text, "x") + "\n\n# after")
    assert blocks[2] == ["x\n" + escape.visible(text) + "\n"]
    assert "heading_open h1 " in blocks[0]


def test_ordinary_text_is_left_alone() -> None:
    plain = "Qwen2.5-0.5B, 4 bits (group 128): 3.2 % - 東京, naïve; a/b c@"
    assert escape.terminal(plain) == escape.visible(plain) == plain
    assert escape.markdown(plain[:-1]) == plain[:-1]
    assert escape.code("model-00001-of-00002.safetensors") == "`model-00001-of-00002.safetensors`"
    assert escape.shell("org/name") == "org/name"


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("LICENSE", "LICENSE"),
        ("sub/LICENSE.txt", "sub/LICENSE.txt"),
        ("https://example.org/a?b=c#d", "https://example.org/a?b=c#d"),
        ("https://example.org/a b)(", "https://example.org/a%20b%29%28"),
        ("javascript:evil()", None),
        ("data:text/html,x", None),
        ("//evil.example", None),
        ("http://[", None),
        ("", None),
    ],
)
def test_an_address_is_of_http_or_relative(target: str, found: str | None) -> None:
    assert escape.address(target) == found
    assert escape.link("x", target) == (f"[x]({found})" if found else "x")


def test_a_text_is_cut() -> None:
    assert escape.markdown("a * b * c", 5) == r"a \*…"


def test_pieces_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION"):
        monkeypatch.delenv(name, raising=False)
    lines = escape.Lines()
    pieces = [lines.feed(piece) for piece in ("a\x1b[", "2J:", ":error::x\n")]
    assert [*pieces, lines.rest()] == ["a\\x1b[", "2J:", ":error::x\n", ""]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    pieces = [lines.feed(piece) for piece in ("ok\n ", ":", ":stop-commands::x\nstd::vec", "tor #", "#[error]x")]
    assert "".join([*pieces, lines.rest()]) == "ok\n \\x3a:stop-commands::x\nstd::vector #\\x23[error]x"


@pytest.mark.parametrize("text", WORDS)
def test_json_is_equal_data(text: str) -> None:
    written = escape.json(json.dumps([text], ensure_ascii=False))
    assert json.loads(written) == [text]
    assert written.isprintable() or "\ufffe" in text
