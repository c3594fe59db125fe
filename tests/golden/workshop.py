"""Runs the corpus's command lines in this process, and makes digests of what comes out."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeconv.cli import main

from . import normal, pages, sources
from .cases import GGUF_SOURCES, Case

CONVERT = ("openvino", "gguf", "onnx")
MEASURED = ("validate", "doctor")
"""Commands whose answers hold figures: their outline is compared. `doctor --model` has none."""
PLACE = re.compile(r"\{([\w.-]+)\}")
ENVIRONMENT = {
    "COLUMNS": "100",
    "NO_COLOR": "1",
    "EDGECONV_SMOKE_TEST": "0",
    "ORT_DISABLE_TELEMETRY": "1",
}
Found = dict[str, Any]


class Workshop:
    """A working folder in which checkpoints are made once and lines run with names that are the same on every machine.

    Args:
        root: the folder.
        keep: where what is compared is written too, file by file; None: nowhere.
    """

    def __init__(self, root: Path, keep: Path | None = None) -> None:
        self.root = root.resolve()
        self._keep = keep.resolve() if keep else None

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Work in the folder, with an environment that does not depend on the user's."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        given = ENVIRONMENT | {"EDGECONV_CACHE": str(self.root / "cache"), "HF_HOME": str(self.root / "hub")}
        before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        try:
            with contextlib.chdir(self.root):
                yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def run(self, case: Case) -> Found:
        """Run a case and return what is compared: name → digest, or the text itself where it is short."""
        if case.group == "pages":
            return {name: self._digest(case, name, text.encode()) for name, text in pages.texts().items()}
        first, *steps = case.line.removeprefix("~").split(" | ")
        out = Path("out") / _plain(case.group) / _plain(first)
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            found = self._command(case, self._completed(case, first), out, "")
            for path in self._files(out):
                name = path.relative_to(out).as_posix() if out in path.parents else path.name
                found[name] = self._digest(case, name, normal.content(path, self.root, noisy=case.noisy))
            for step in steps:
                done = self._step(case, step, out)
                found |= {f"| {step}{' ' if key else ''}{key}": value for key, value in done.items()}
        finally:
            for path in out.parent.glob(f"{out.name}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return found

    def source(self, name: str) -> Path:
        """Return a checkpoint, or a file that options name; made if need be. The path is relative to the working folder."""
        path = Path("sources") / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            if name in sources.FILES:
                sources.FILES[name](path)
            elif name in GGUF_SOURCES:
                origin, kind = GGUF_SOURCES[name]
                code, _, told = self._call(
                    ["gguf", "-m", str(self.source(origin)), "-t", kind, "-o", str(path), "--json"]
                )
                if code:
                    raise RuntimeError(f"{name} cannot be made: {told}")
            else:
                with _silence():
                    sources.make(name, path, self.source)
        return path

    def _completed(self, case: Case, line: str) -> str:
        if case.group in ("refusals", "answers"):
            return line
        named = f"{line} --model {{{case.group}}}"
        return named if "--output " in line else f"{named} --output {{out}}"

    def _step(self, case: Case, step: str, out: Path) -> Found:
        if step == "card":
            return {"": self._digest(case, "card.md", normal.neutral(pages.card(out).encode(), self.root))}
        return self._command(case, step.replace("{source}", f"{{{case.group}}}"), out, step)

    def _command(self, case: Case, line: str, out: Path, label: str) -> Found:
        arguments = [
            PLACE.sub(lambda m: str(out if m[1] == "out" else self.source(m[1])), word) for word in shlex.split(line)
        ]
        code, answer, told = self._call([*arguments, "--json"])
        found: Found = {"exit": code} if code or not label else {}
        if answer:
            content = self._answer(arguments, answer)
            found["answer" if not label else ""] = self._digest(
                case, f"{label or line.split(maxsplit=1)[0]}.json", content
            )
        error = json.loads(told)["error"] if told.startswith('{"error"') else None
        if error:
            found |= {key: self._text(str(error[key])) for key in ("message", "hint", "kind")}
        elif told:
            found["stderr"] = self._text(told)
        return found

    def _answer(self, arguments: list[str], text: str) -> bytes:
        try:
            value = json.loads(text)
        except ValueError:
            return normal.neutral(text.encode(), self.root)
        measured = arguments[0] in MEASURED and "--model" not in arguments
        value = normal.outline(value) if measured else normal.answer(value)
        return normal.neutral(json.dumps(value, indent=1, ensure_ascii=False).encode(), self.root)

    def _text(self, text: str) -> str:
        return normal.neutral(text.encode(), self.root).decode()

    def _call(self, arguments: list[str]) -> tuple[int, str, str]:
        told, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(errors):
            code = int(main.run(arguments))
        return code, told.getvalue(), errors.getvalue()

    def _files(self, out: Path) -> list[Path]:
        beside = [path for path in out.parent.glob(f"{out.name}*") if path.is_file()]
        return sorted([*beside, *(path for path in out.rglob("*") if path.is_file())])

    def _digest(self, case: Case, name: str, content: bytes) -> str:
        if self._keep:
            path = self._keep / _plain(case.group) / _plain(case.line) / name.replace(" | ", "-")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return hashlib.sha256(content).hexdigest()[:20]


def _plain(text: str) -> str:
    """Return a name for a folder."""
    return re.sub(r"[^\w.=-]+", "_", text).strip("_")[:120]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep transformers' bars from the screen."""
    with open(os.devnull, "w", encoding="utf-8") as null, contextlib.redirect_stderr(null):  # noqa: PTH123 - a device
        yield
