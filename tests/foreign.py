"""Texts by which a stranger would speak in our name, put into every place of a manifest or a report where a text stands."""

import ast
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import PurePath
from typing import Any, TypeVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import BaseModel, ValidationError

BENIGN = "word"
TEXTS = {
    "heading": "\n\n# evil heading\n\n",
    "underlined": "evil\n===\nevil\n---\n",
    "front matter": "\n---\nlicense: mit\n---\n",
    "list": "- evil\n1. evil\n> evil",
    "link": "](http://evil.example) [evil](http://evil.example 'x') [x]: http://evil.example",
    "picture": "![evil](http://evil.example/x.png)",
    "bare addresses": "www.evil.example http://evil.example evil@evil.example mailto:evil@evil.example @evil",
    "html": "</code></td><script>evil()</script><img src=x onerror=evil()><a href='http://evil.example'>x</a><!-- ",
    "entities": "&lt;script&gt; &#60;b&#62; \\<b\\> <http://evil.example>",
    "attribute": '" onload="evil()" \' onload=\'evil()',
    "code": "`evil` ``evil` \\` |",
    "fence": "x\n```\n# evil\n````\n~~~\n",
    "table": "a | b || \\| c |\n| --- | --- |\n",
    "emphasis": "**evil** _evil_ ~~evil~~ $evil$ \\(evil\\) \\",
    "python": 'x"+__import__("os").system("id")+"\\" {evil} {0}',
    "python lines": 'x"\nimport os\n\\',
    "shell": "x'; id; $(id) `id` \" && id #\\",
    "shell lines": "x\nid\n",
    "terminal": "\x1b]0;evil\x07\x1b[2Jevil\x9b2J\r\u202elive",
    "log": "\n::error::evil\n  ::stop-commands::x\n##[error]evil ##vso[task.setvariable]x",
    "no text": "\udc80 \x00 \ufffe",
}
Model = TypeVar("Model", bound=BaseModel)


def poisoned(model: Model, text: str) -> Model:
    """Return the model with every string in it, and every key of a dictionary, replaced by `text`, where it admits any.

    A key keeps its end (".gguf"), and is numbered, for keys differ; figures are added to those that are known.
    """
    content = model.model_dump()
    for path in list(_places(content)):
        before = _get(content, path)
        _set(content, path, text)
        if not _admitted(type(model), content):
            _set(content, path, before)
    for path in list(_dictionaries(content)):
        before = _get(content, path)
        renamed = {f"{i}{text}{PurePath(key).suffix}": value for i, (key, value) in enumerate(before.items())}
        _set(content, path, before | renamed if path[-1] == "figures" else renamed)
        if not _admitted(type(model), content):
            _set(content, path, before)
    return type(model).model_validate(content)


def _admitted(kind: type[BaseModel], content: Any) -> bool:
    try:
        kind.model_validate(content)
    except ValidationError:
        return False
    return True


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(below, (*path, key))


def _dictionaries(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Those within come first, so that paths stay true while keys change."""
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _dictionaries(below, (*path, key))
        if isinstance(value, dict) and path:
            yield path


def _get(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


def _set(content: Any, path: tuple[Any, ...], value: Any) -> None:
    _get(content, path[:-1])[path[-1]] = value


def skeleton(text: str) -> tuple[list[str], list[str], list[str]]:
    """Read Markdown as GitHub does. Returns what it consists of but its words, where its links go, and its blocks of code.

    A `<code>` element counts as the span of code that it stands for.
    """
    parts: list[str] = []
    links: list[str] = []
    blocks: list[str] = []
    for token in _flat(MarkdownIt("gfm-like").parse(text)):
        if token.type == "fence":
            blocks.append(f"{token.info}\n{token.content}")
        if token.type in ("link_open", "image"):
            links.append(str(token.attrs.get("href") or token.attrs.get("src")))
        if token.type == "html_inline" and token.content in ("<code>", "</code>"):
            parts += ["code_inline code "] if token.content == "<code>" else []
        elif token.type not in ("text", "inline", "text_special"):
            parts.append(f"{token.type} {token.tag} {token.content if 'html' in token.type else ''}")
    return parts, links, blocks


def _flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _flat(token.children or [])


def shape(block: str) -> str:
    """Return what a snippet does, whatever its words are: Python's syntax tree, or a shell's words and operators."""
    language, _, code = block.partition("\n")
    if language == "python":
        return re.sub(r"(value=)'(?:[^'\\]|\\.)*'|(value=)\"(?:[^\"\\]|\\.)*\"", "value=…", ast.dump(ast.parse(code)))
    lexer = shlex.shlex(re.sub(r"\$(?=')", "", code), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    return " ".join("…" if re.search(r"word|evil|id\b|x|live|\udc80", word) else word for word in lexer)


class Elements(HTMLParser):
    """The elements of a page with their attributes' names (but class: a token that ends a line has one), and all addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs if name != "class")))
        self.addresses += [str(value) for name, value in attrs if name in ("href", "src", "action")]

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", ()))
