"""Read a suite: the built-in one, a suite.yaml, a plain text, or a JSONL of chats.

suite.yaml:

    suite: 1                       # version of this format
    name: my-suite                 # optional; the file's name without it
    documents:                     # at least one; content is exactly one of text, messages, file
      - {name: letter, kind: text, language: en, file: letter.txt}    # cut into documents of about 2,000 bytes
      - {name: parser, kind: code, language: python, text: "def f(): …"}
      - {name: greeting, kind: chat, messages: [{role: user, content: Hi}, {role: assistant, content: Hello!}]}
      - {name: chats, kind: chat, file: chats.jsonl}                  # one document a line
    prompts: prompts.jsonl         # optional: a JSONL of {"messages": […]}, or such a list; the built-in ones without it
    pictures:                      # optional, for vision-language models; the built-in ones without it
      - {file: photo.jpg, question: "What is in the picture?"}

Files are relative to the .yaml and stay in its folder. A key that is not listed here is refused.

.jsonl: a line holds a string, {"messages": […]} or {"text": "…"}, and perhaps name, kind, language and tools; other keys are left
alone. A message has role and content, and perhaps name, tool_calls, tool_call_id and reasoning_content, which the template gets.
The chats up to their first question become the prompts. .txt and .md: one text, cut at the ends of paragraphs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...core import limits
from ...core.digest import sha256_file
from ...core.errors import UsageError
from ...core.paths import own_file
from .model import Document, Kind, Message, Picture, Suite

BUILTIN = Path(__file__).parent / "suite.yaml"
DOCUMENT_BYTES = 2000
"""A longer text is cut: many short documents give the bootstrap over documents something to draw from."""
_MAX_PROMPTS = 12


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    kind: Kind
    language: str = ""
    text: str | None = None
    messages: list[Message] | None = None
    tools: list[dict[str, Any]] | None = None
    file: str | None = None


class _PictureEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    file: str = Field(min_length=1)
    question: str = Field(min_length=1)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    suite: Literal[1]
    name: str | None = None
    documents: list[_Entry] = Field(min_length=1)
    prompts: str | list[list[Message]] | None = None
    pictures: list[_PictureEntry] | None = None


def load(path: Path | None = None) -> Suite:
    """Read a suite; None is the built-in one.

    Raises:
        UsageError: the file is missing, of an unknown kind, malformed or empty, with file and key.
    """
    path = BUILTIN if path is None else path
    readers = {".yaml": _from_yaml, ".yml": _from_yaml, ".txt": _from_text, ".md": _from_text, ".jsonl": _from_jsonl}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path} is not a suite that can be read.", f"Kinds of file: {', '.join(readers)}.")
    suite = readers[path.suffix.lower()](path)
    names = [document.name for document in suite.documents]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"{path}: two documents are called {twice}.", "Give each a name of its own.")
    return suite


def _from_yaml(path: Path) -> Suite:
    try:
        content = _File.model_validate(_parse_yaml(path))
    except ValidationError as error:
        raise _refused(path, error) from error
    documents = [d for number, entry in enumerate(content.documents) for d in _documents(path, number, entry)]
    if isinstance(content.prompts, str):
        prompts = [d.messages for d in _lines(_beside(path, content.prompts, "prompts"), "prompt") if d.messages]
    else:
        prompts = [tuple(messages) for messages in content.prompts or []]
    if any(not messages for messages in prompts):
        raise UsageError(f"{path}: prompts: one has no messages.")
    return Suite(
        name=content.name or path.stem,
        documents=tuple(documents),
        prompts=tuple(prompts) if content.prompts is not None else load().prompts,
        pictures=_pictures(path, content.pictures) if content.pictures is not None else load().pictures,
    )


def named(path: Path) -> list[Path]:
    """Return the files that a suite.yaml names, each once. Raises UsageError, as `load`."""
    try:
        content = _File.model_validate(_parse_yaml(path))
    except ValidationError as error:
        raise _refused(path, error) from error
    found = [_beside(path, entry.file, "documents") for entry in content.documents if entry.file is not None]
    if isinstance(content.prompts, str):
        found.append(_beside(path, content.prompts, "prompts"))
    found += [_beside(path, entry.file, "pictures") for entry in content.pictures or []]
    return list(dict.fromkeys(found))


def _pictures(path: Path, entries: list[_PictureEntry]) -> tuple[Picture, ...]:
    found = []
    for entry in entries:
        file = _beside(path, entry.file, "pictures")
        found.append(Picture(name=file.stem, question=entry.question, sha256=sha256_file(file), path=file))
    return tuple(found)


def _from_text(path: Path) -> Suite:
    documents = tuple(cut(path.stem, "text", "", _read(path)))
    if not documents:
        raise UsageError(f"{path} is empty.", "A suite needs text to measure on.")
    return Suite(name=path.stem, documents=documents, prompts=load().prompts, pictures=load().pictures)


def _from_jsonl(path: Path) -> Suite:
    documents = tuple(_lines(path, path.stem))
    # a prompt is a question alone: of a chat with tools it would be another one
    chats = [document.messages for document in documents if document.messages and not document.tools]
    prompts = tuple(prompt for messages in chats[:_MAX_PROMPTS] if (prompt := _question(messages)))
    builtin = load()
    return Suite(name=path.stem, documents=documents, prompts=prompts or builtin.prompts, pictures=builtin.pictures)


def _question(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return a conversation up to its first question, which the model is then to answer; empty if it has none."""
    for end, message in enumerate(messages, 1):
        if message.role == "user":
            return messages[:end]
    return ()


def _documents(path: Path, number: int, entry: _Entry) -> Iterator[Document]:
    where = f"documents.{number}"
    given = [key for key in ("text", "messages", "file") if getattr(entry, key) is not None]
    if len(given) != 1:
        raise UsageError(
            f"{path}: {where} ({entry.name}) has {' and '.join(given) or 'none of text, messages, file'}.",
            "A document has exactly one of text, messages and file.",
        )
    if entry.file is None:
        try:
            yield Document(**entry.model_dump(exclude={"file"}))
        except ValidationError as error:
            raise _refused(path, error, where) from error
        return
    file = _beside(path, entry.file, f"{where}.file")
    if entry.kind == "chat":
        yield from _lines(file, entry.name)
        return
    pieces = list(cut(entry.name, entry.kind, entry.language, _read(file)))
    if not pieces:
        raise UsageError(f"{path}: {where}.file: {file} is empty.")
    yield from pieces


def cut(name: str, kind: Kind, language: str, text: str) -> Iterator[Document]:
    """Cut a text into documents of about DOCUMENT_BYTES bytes (UTF-8) at the ends of paragraphs, else of lines."""
    pieces, size = [""], 0
    for block in _blocks(text):
        length = len(block.encode("utf-8", "surrogatepass"))
        if size and size + length > DOCUMENT_BYTES:
            pieces.append("")
            size = 0
        pieces[-1] += block
        size += length
    whole = [piece for piece in pieces if piece.strip()]
    for number, piece in enumerate(whole, 1):
        own = name if len(whole) == 1 else f"{name}/{number}"
        yield Document(name=own, kind=kind, language=language, text=piece)


def _blocks(text: str) -> Iterator[str]:
    """Cut into paragraphs with the blank lines after them; one longer than a document into its lines."""
    paragraph: list[str] = []
    for line in text.splitlines(keepends=True):
        if paragraph and line.strip() and not paragraph[-1].strip():
            yield from _lines_if_long(paragraph)
            paragraph = []
        paragraph.append(line)
    yield from _lines_if_long(paragraph)


def _lines_if_long(paragraph: list[str]) -> Iterator[str]:
    text = "".join(paragraph)
    if len(text.encode("utf-8", "surrogatepass")) > DOCUMENT_BYTES:
        yield from paragraph
    elif text:
        yield text


def _lines(path: Path, stem: str) -> Iterator[Document]:
    found = False
    for number, line in enumerate(_read(path).split("\n"), 1):
        if not line.strip():
            continue
        found = True
        where = f"line {number}"
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}: {where} is not JSON: {error}.", "Each line is a chat, as JSON.") from error
        if isinstance(content, str):
            content = {"text": content}
        if not isinstance(content, dict) or not ({"text", "messages"} & set(content)):
            raise UsageError(f"{path}: {where} has neither messages nor text.", "See the suite's documentation.")
        fields = {
            key: content[key] for key in ("name", "kind", "language", "text", "messages", "tools") if key in content
        }
        fields = {key: value for key, value in fields.items() if key != "tools" or value}
        if fields.get("messages") is not None:
            fields["messages"] = [_message(message) for message in _list(fields["messages"])]
        kind = "text" if fields.get("messages") is None else "chat"
        try:
            yield Document(**{"name": f"{stem}/{number}", "kind": kind, **fields})
        except ValidationError as error:
            raise _refused(path, error, where) from error
    if not found:
        raise UsageError(f"{path} is empty.", "A suite needs documents to measure on.")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_READ = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content")


def _message(value: Any) -> Any:
    """Keep what a template reads; data sets of chats carry more (ids, weights) with each message."""
    return {key: value[key] for key in _READ if key in value} if isinstance(value, dict) else value


def _read(path: Path) -> str:
    try:
        return limits.read_text(path, limits.SUITE, UsageError, encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error.reason} at byte {error.start}.", "Save it as UTF-8.") from error


def _beside(path: Path, name: str, key: str) -> Path:
    return own_file(path.parent, name, UsageError, whose=f"{path}: {key}", hint="Put the file beside the suite.")


def _parse_yaml(path: Path) -> Any:
    """Parse without aliases, which can make a kilobyte into gigabytes, and without tags, which can make objects."""
    import yaml

    text = _read(path)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise UsageError(f"{path} uses YAML aliases (*name), which a suite does not need.", "Write them out.")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}" if place else ""
        reason = getattr(error, "problem", None) or str(error).split("\n", 1)[0]
        raise UsageError(f"{path} is not valid YAML{where}: {reason}.") from error


def _refused(path: Path, error: ValidationError, where: str = "") -> UsageError:
    first = error.errors()[0]
    key = ".".join([where, *map(str, first["loc"])] if where else map(str, first["loc"])) or "the file"
    reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    return UsageError(f"{path}: {key}: {reason}.", "The format of a suite is described in docs/validation.md.")
