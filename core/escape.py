"""Foreign text made inert, one function for each medium that shows it.

Foreign is what a checkpoint, a recipe, a suite, a manifest, a report, a model or the Hub says: names of files, fields of
config.json, answers. A renderer takes such a text only through here. (HTML is the exception: there jinja2's and markupsafe's
own escaping is on for everything, after `visible`.)
"""

from __future__ import annotations

import os
import re
import shlex
from urllib.parse import quote, urlsplit

_CONTROL = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: terminals obey them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # these turn the direction of what follows
    "\ud800-\udfff"  # halves of surrogate pairs, as which Python gives bytes of file names that are not text
)
_UNPRINTABLE = re.compile(f"[{_CONTROL}]")
_INVISIBLE = re.compile(
    "[" + _CONTROL + "".join(f"{chr(p << 16 | 0xFFFE)}{chr(p << 16 | 0xFFFF)}" for p in range(17)) + "]"
)
_MARKDOWN = re.compile(r"[`*_{}\[\]<>#!|~$&\\]")
_ENTITIES = {"<": "&lt;", "&": "&amp;", "\\": "&#92;"}
"""Of a backslash too: of "\\\\(" the Hub would make the begin of a formula."""
_FIRST = re.compile(r"^(?:(?P<sign>[-+=])|(?P<digits>\d{1,9})(?P<dot>[.)]))")
"""What begins a list, an underline of a heading or a rule of a table where it stands first in a line."""
_LINKED = re.compile(r"(?i)(?P<before>www(?=\.)|(?:mailto|xmpp)(?=:)|@|:(?=//))")
"""Where GitHub's Markdown makes a link, or a mention of somebody, of bare words."""
_BREAK = "\u200b"
"""A space of no width: whoever reads sees the words, and no renderer takes them for an address."""
_PLAIN_CODE = re.compile(r"[^`|\\\s](?:[^`|\\\s]| (?! ))*")
_RUNNERS = ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")
"""Variables by which a CI system is known that obeys lines of a log: GitHub (and Gitea, Forgejo), Azure, TeamCity."""
_ORDERS = re.compile(r"(?m)(?P<before>^\s*)::|(?P<hash>##)(?=\[|vso\[|teamcity\[)")


def visible(text: str, keep: str = "\n\t") -> str:
    """Show control characters and marks that turn the writing direction by signs: for documents."""
    return _INVISIBLE.sub(lambda found: found[0] if found[0] in keep else _sign(found[0]), text)


def terminal(text: str, keep: str = "\n\t") -> str:
    r"""Write control characters as escapes of Python ("\x1b"): for a terminal, or a pipe that somebody looks at.

    Where a CI system reads along, what it would obey is made inert too (`log`).
    """
    return log(_UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text))


def log(text: str) -> str:
    """Make commands to a CI system in a text (`::error`, `##[group]`) inert; unchanged where none reads along.

    GitHub's runner obeys a line that begins with `::` after blanks, and `##[` anywhere (ActionCommand.cs of actions/runner).
    The text must begin where a line begins.
    """
    if not any(os.environ.get(name) for name in _RUNNERS):
        return text
    return _ORDERS.sub(lambda found: r"#\x23" if found["hash"] else rf"{found['before']}\x3a:", text)


def json(text: str) -> str:
    """Write what a terminal obeys, or no file can hold, in a JSON document by JSON's own escapes: the data stay equal."""
    return re.sub(f"(?![\n\r\t])[{_CONTROL}]", lambda found: f"\\u{ord(found[0]):04x}", text)


class Lines:
    """Text that comes in pieces, for a pipe: `terminal` for each, whole lines where a CI system reads along."""

    def __init__(self) -> None:
        self._waits = ""

    def feed(self, piece: str) -> str:
        """Return what may be written of the text so far."""
        if not any(os.environ.get(name) for name in _RUNNERS):
            return terminal(piece)
        lines, newline, self._waits = (self._waits + piece).rpartition("\n")
        return terminal(lines + newline)

    def rest(self) -> str:
        """Return what was held back: the text is at its end."""
        waits, self._waits = self._waits, ""
        return terminal(waits)


def markdown(text: str, length: int | None = None) -> str:
    """Make text inert in Markdown (GitHub's or the Hub's), in a cell of a table too: one line, no markup, no links, no mentions.

    Args:
        text: any.
        length: characters, before escaping, at which it is cut.
    """
    line = " ".join(visible(text).split())
    if length is not None:
        line = shorten(line, length)
    line = _MARKDOWN.sub(lambda found: _ENTITIES.get(found[0], "\\" + found[0]), line)
    line = _FIRST.sub(lambda f: f"\\{f['sign']}" if f["sign"] else f"{f['digits']}\\{f['dot']}", line)
    return _LINKED.sub(rf"\g<before>{_BREAK}", line)


def code(text: str) -> str:
    """Return a span of code in Markdown, in a cell of a table too; what backquotes cannot hold there stands in an element."""
    line = visible(text, keep="")
    return f"`{line}`" if _PLAIN_CODE.fullmatch(line) else f"<code>{markdown(line)}</code>"


def block(text: str, language: str = "") -> str:
    """Return a fenced block of code in Markdown; the fence is longer than any in the text."""
    body = visible(text)
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def link(label: str, target: str) -> str:
    """Return a link in Markdown; the label alone if the target is neither of http(s) nor relative."""
    where = address(target)
    return f"[{markdown(label)}]({where})" if where else markdown(label)


def address(target: str) -> str | None:
    """Return an address with everything quoted that could end it; None if it is neither of http(s) nor a relative path."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return None
    if parts.scheme not in ("", "http", "https") or bool(parts.scheme) != bool(parts.netloc):
        return None
    return quote(target, safe="/:?&=%@+,;.~#-_", errors="surrogatepass") or None


def python(text: str) -> str:
    """Return a literal of Python, in double quotes and on one line, whose value is the text."""
    inner = (c if c.isprintable() and c not in '"\\' else _escaped(c) if c not in '"\\' else "\\" + c for c in text)
    return '"' + "".join(inner) + '"'


def shell(text: str) -> str:
    """Return one word of a POSIX shell whose value is the text; where characters cannot be shown, of bash (`$'...'`)."""
    if text.isprintable():
        return shlex.quote(text)
    inner = (_bytes(c) if not c.isprintable() else "\\" + c if c in "'\\" else c for c in text)
    return "$'" + "".join(inner) + "'"


def shorten(text: str, length: int) -> str:
    """Cut a text at `length` characters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _sign(character: str) -> str:
    number = ord(character)
    return chr(0x2400 + number) if number < 0x20 else f"⟨U+{number:04X}⟩"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
