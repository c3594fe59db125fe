"""Secrets, and folders of this machine, in what is about to be published.

Text is searched wholly; of other files the first and last 64 MiB, where formats keep their metadata (GGUF's keys, ONNX's
properties, vocabularies). A report is also searched as the running text that its tokens make. What was found is never quoted.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ArtifactError
from ..hub.sealed import BLOCK, SealedFile
from ..hub.upload import Content
from ..validate.report.model import Report

_ENDS = 64 << 20
_OVERLAP = 4096
"""Bytes of a block that are searched again with the next one: no secret that is looked for is longer on one line."""
_SECRETS: dict[str, list[tuple[bytes, bytes]]] = {
    "a token of the Hub": [(rb"\bhf_[A-Za-z0-9]{30,}", b"hf_"), (rb"\bapi_org_[A-Za-z0-9]{30,}", b"api_org_")],
    "a token of GitHub": [
        *((rb"\b" + start + rb"[A-Za-z0-9]{36,}", start) for start in (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_")),
        (rb"\bgithub_pat_[A-Za-z0-9_]{40,}", b"github_pat_"),
    ],
    "a key of AWS": [
        (rb"\bAKIA[A-Z0-9]{16}\b", b"AKIA"),
        (rb"\bASIA[A-Z0-9]{16}\b", b"ASIA"),
        (rb"aws_secret_access_key[\"']?\s{0,9}[=:]\s{0,9}[\"']?[A-Za-z0-9/+]{40}", b"aws_secret_access_key"),
        (rb"AWS_SECRET_ACCESS_KEY[\"']?\s{0,9}[=:]\s{0,9}[\"']?[A-Za-z0-9/+]{40}", b"AWS_SECRET_ACCESS_KEY"),
    ],
    "a private key": [(rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----", b"PRIVATE KEY")],
    "a token of Slack": [(rb"\bxox[abprs]-[A-Za-z0-9-]{20,}", b"xox")],
    "a key of Google": [(rb"\bAIza[A-Za-z0-9_-]{35}", b"AIza")],
    "a token of PyPI": [(rb"\bpypi-AgEI[A-Za-z0-9_-]{40,}", b"pypi-AgEI")],
    "a token of npm": [(rb"\bnpm_[A-Za-z0-9]{36}\b", b"npm_")],
}
"""Expressions, each with a text that is in whatever it matches: to look for that alone is a hundred times as fast."""


@dataclass(frozen=True)
class Leak:
    """Something in a file that should not be published: the file's name there, and what it looks like."""

    name: str
    kind: str


class Search:
    """What is looked for, taken from this process's surroundings once."""

    def __init__(self, token: str | None, home: Path, folder: Path, temporary: Path) -> None:
        """Take the present access token (None: there is none), and the folders that are nobody else's business."""
        patterns = dict(_SECRETS)
        if token and len(token) >= 8:
            patterns["your access token"] = [(re.escape(token.encode()), token.encode())]
        self._secrets = [
            (kind, re.compile(pattern), part) for kind, pairs in patterns.items() for pattern, part in pairs
        ]
        places = {"your home folder": home, "the present folder": folder, "the folder of temporary files": temporary}
        self._places = [
            (kind, place, re.compile(re.escape(str(place).encode()) + rb"(?![A-Za-z0-9_.-])(?:/([A-Za-z0-9_.-]+))?"))
            for kind, path in places.items()
            for place in dict.fromkeys((path.absolute(), path.resolve()))
            if len(place.parts) > 1
        ]

    @classmethod
    def here(cls) -> Search:
        """Return the search for this process: its token, home, folder and TMPDIR."""
        from huggingface_hub import get_token

        return cls(get_token(), Path.home(), Path.cwd(), Path(tempfile.gettempdir()))

    def kinds(self, data: bytes) -> Iterator[str]:
        """Yield what a piece of content holds."""
        for kind, pattern, part in self._secrets:
            if part in data and pattern.search(data):
                yield kind
        for kind, place, pattern in self._places:
            if str(place).encode() in data and any(_is_told(place, found) for found in pattern.finditer(data)):
                yield f"a path in {kind}"

    def file(self, name: str, content: Content) -> Iterator[Leak]:
        """Yield what a file holds. Raises ArtifactError if it changed since it was sealed."""
        found = {kind for piece in _pieces(content) for kind in self.kinds(piece)}
        yield from (Leak(name, kind) for kind in sorted(found))

    def report(self, name: str, report: Report) -> Iterator[Leak]:
        """Yield what the texts of a report say, read as running text."""
        texts = ["".join(token.text for token in document.tokens) for document in report.documents]
        texts += [
            text for pair in report.generations for text in (pair.prompt, pair.artefact_text, pair.reference_text)
        ]
        found = {kind for text in texts for kind in self.kinds(text.encode("utf-8", "replace"))}
        yield from (Leak(name, kind) for kind in sorted(found))


def require_none(search: Search, files: Mapping[str, Content], reports: Iterable[tuple[str, Report]] = ()) -> None:
    """Refuse to publish what holds a secret or a path of this machine.

    Args:
        search: what is looked for.
        files: everything that will be sent.
        reports: those among them, parsed, by the name to call them by.

    Raises:
        ArtifactError: something was found; it names file and kind, never the text.
    """
    found = [leak for name, content in sorted(files.items()) for leak in search.file(name, content)]
    found += [leak for name, report in reports for leak in search.report(name, report)]
    if not found:
        return
    told = "; ".join(dict.fromkeys(f"{leak.name} holds {leak.kind}" for leak in found))
    secret = any(not leak.kind.startswith("a path") for leak in found)
    raise ArtifactError(
        f"Nothing is published: {told}.",
        "Take it out of what the model or its report was made from and make them again"
        + (", and revoke the secret if anybody else could read it." if secret else "."),
    )


def _is_told(place: Path, found: re.Match[bytes]) -> bool:
    """Whether a match tells of this machine: vocabularies and sample programs say /tmp and /root too.

    Below a folder of one name, a path counts if it begins at something that is there.
    """
    if len(place.parts) > 2:
        return True
    below = found[1]
    return below is not None and below not in (b".", b"..") and (place / below.decode()).exists()


def _pieces(content: Content) -> Iterator[bytes]:
    """Yield what is searched of a file, in pieces that overlap."""
    if isinstance(content, bytes):
        yield content
        return
    starts = [(0, content.size)]
    if content.size > 2 * _ENDS and not _is_text(content):
        starts = [(0, _ENDS), (content.size - _ENDS, content.size)]
    reader = content.open()
    for start, end in starts:
        reader.seek(start)
        kept = b""
        while (at := reader.tell()) < end:
            kept += reader.read(min(BLOCK, end - at))
            yield kept
            kept = kept[-_OVERLAP:]


def _is_text(content: SealedFile) -> bool:
    """By the first block: text has no NUL."""
    return b"\0" not in content.open().read(BLOCK)
