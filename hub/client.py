"""Requests to the Hub: what a revision holds, parts of files, and the patience for both.

huggingface_hub's own listing call has no timeout and is not retried, so the two API calls are made here, with its
session, headers and errors.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from .. import __version__
from ..core import limits
from ..core.errors import HubUnreachableError
from ..core.progress import Progress
from ..core.redact import redact
from .faults import endpoint, is_transient, translated
from .listing import CommitListing, from_tree
from .source import DEFAULT_REVISION, is_commit, is_repo_id

_MAX_PAGES = 1000

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """How often a request that failed for a passing reason is repeated, and after how many seconds (doubling)."""

    attempts: int = 5
    first_delay: float = 1.0
    longest_delay: float = 15.0

    def run(self, call: Callable[[], T], progress: Progress) -> T:
        """Answer `call()`; when it fails for good, raise its last error."""
        for attempt in range(1, self.attempts):
            try:
                return call()
            except Exception as error:
                if not is_transient(error):
                    raise
                delay = min(self.longest_delay, max(self.first_delay * 2 ** (attempt - 1), _asked_delay(error)))
                progress.detail(f"The Hub: {_name(error)}; attempt {attempt + 1} of {self.attempts} in {delay:g} s")
                time.sleep(delay)
        return call()


def _name(error: Exception) -> str:
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else f"status {response.status_code}"


def _asked_delay(error: Exception) -> float:
    """Seconds that the server asks for in Retry-After (0.0: none; a date is ignored)."""
    response = getattr(error, "response", None)
    value = "" if response is None else response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def headers() -> dict[str, str]:
    """The headers of each request, with the user's token if there is one."""
    from huggingface_hub.utils import build_hf_headers

    answer: dict[str, str] = build_hf_headers(library_name="edgeconv", library_version=__version__)
    return answer


def resolve(repo_id: str, revision: str | None, retry: Retry, progress: Progress) -> CommitListing:
    """Pin `revision` (None: the default branch) to a commit and list that commit's files.

    The answer's `repo_id` is the name that the repository has now, which differs after a renaming.

    Raises:
        AccessError, HubUnreachableError: as `faults.translated`.
        CheckpointError: the list holds names that would leave the folder.
    """
    from huggingface_hub import constants

    _warn_of_plain_http(progress)
    with translated(repo_id, revision):
        base = f"{constants.ENDPOINT}/api/models/"
        url = f"{base}{repo_id}/revision/{quote(revision or DEFAULT_REVISION, safe='')}"
        info, _ = _get_json(url, retry, progress)
        name, commit = _identity(info, repo_id)
        if revision is not None and is_commit(revision) and commit != revision:
            raise HubUnreachableError(f"{repo_id}: the Hub answered commit {commit} when asked for {revision}.")
        entries: list[Any] = []
        url = f"{base}{name}/tree/{commit}?recursive=true&expand=false"
        for _ in range(_MAX_PAGES):
            page, next_url = _get_json(url, retry, progress)
            if not isinstance(page, list):
                raise HubUnreachableError(f"The file list of {name} is not in the form that the Hub documents.")
            entries += page
            if len(entries) > limits.LISTING:
                break
            if next_url is None:
                return from_tree(name, commit, entries)
            url = next_url
    raise HubUnreachableError(
        f"The file list of {name} does not end: {limits.LISTING:,} files are more than any model needs."
    )


def _warn_of_plain_http(progress: Progress) -> None:
    """Say that a token goes to the endpoint unencrypted; to this machine itself it goes nowhere."""
    from huggingface_hub import constants, get_token

    parts = urlsplit(str(constants.ENDPOINT))
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1") and get_token():
        progress.note(f"Your access token goes to {endpoint()} over http, where everybody on the way can read it.")


def model_info(repo_id: str, retry: Retry, progress: Progress) -> dict[str, Any]:
    """Return what the Hub says of a repository, as it says it. Raises what huggingface_hub raises."""
    from huggingface_hub import constants

    info, _ = _get_json(f"{constants.ENDPOINT}/api/models/{repo_id}", retry, progress)
    if not isinstance(info, dict):
        raise HubUnreachableError(f"The Hub's answer about {repo_id} is not in the form that it documents.")
    return info


def who_am_i(retry: Retry, progress: Progress) -> dict[str, Any]:
    """Return what the Hub says of the token's owner, as it says it. Raises what huggingface_hub raises."""
    from huggingface_hub import constants

    answer, _ = _get_json(f"{constants.ENDPOINT}/api/whoami-v2", retry, progress)
    if not isinstance(answer, dict):
        raise HubUnreachableError("The Hub's answer about the access token is not in the form that it documents.")
    return answer


def _identity(info: Any, repo_id: str) -> tuple[str, str]:
    name = info.get("id") if isinstance(info, dict) else None
    commit = info.get("sha") if isinstance(info, dict) else None
    # Both become names of folders in the cache.
    if not (isinstance(name, str) and is_repo_id(name) and isinstance(commit, str) and is_commit(commit)):
        raise HubUnreachableError(f"The Hub's answer about {repo_id} names no repository and commit.")
    return name, commit


def _get_json(url: str, retry: Retry, progress: Progress) -> tuple[Any, str | None]:
    """The decoded answer, and the address of the next page if there is one."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session, hf_raise_for_status

    def call() -> tuple[bytes, str | None]:
        with get_session().stream("GET", url, headers=headers(), timeout=constants.HF_HUB_ETAG_TIMEOUT) as response:
            data = limits.gather(response.iter_bytes(), limits.ANSWER, limits.ANSWER_SECONDS)
            response._content = data
            hf_raise_for_status(response)
            return data, response.links.get("next", {}).get("url")

    data, next_url = retry.run(call, progress)
    return json.loads(data), None if next_url is None else _on_endpoint(next_url)


def _on_endpoint(url: str) -> str:
    """The page's address at the Hub that we talk to, for the user's token goes to no other host.

    A mirror may pass on the public Hub's links.
    """
    from huggingface_hub import constants

    if url.startswith(constants.ENDPOINT + "/"):
        return url
    parts = urlsplit(url)
    return f"{constants.ENDPOINT}{parts.path}?{parts.query}"


def read_range(listing: CommitListing, path: str, start: int, count: int, *, retry: Retry, progress: Progress) -> bytes:
    """Bytes `start` to `start + count` of a file, without downloading the rest of it.

    Raises:
        AccessError, HubUnreachableError: as `faults.translated`; also when fewer bytes come.
    """
    from huggingface_hub import hf_hub_url

    with translated(listing.repo_id, listing.commit):
        url = hf_hub_url(listing.repo_id, path, revision=listing.commit)
        data = retry.run(lambda: _stream_range(url, start, count), progress)
    if len(data) != count:
        raise HubUnreachableError(f"{listing.repo_id}/{path}: the Hub sent {len(data)} of {count} bytes.")
    return data


def _stream_range(url: str, start: int, count: int) -> bytes:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session, hf_raise_for_status

    wanted = {**headers(), "Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"}
    with get_session().stream("GET", url, headers=wanted, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        hf_raise_for_status(response)
        skip = start
        if response.status_code == 206:
            got = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if got is None or int(got[1]) != start:
                raise ValueError("the answer is another range than the one asked for")
            skip = 0
        data = bytearray()
        until = time.monotonic() + limits.ANSWER_SECONDS + (skip + count) / limits.RANGE_BYTES_A_SECOND
        for chunk in response.iter_bytes():
            data += chunk
            if time.monotonic() > until:
                raise ValueError("a part of a file that drips")
            if len(data) >= skip + count:  # a server that ignores Range would send the whole file
                break
    return bytes(data[skip : skip + count])


@contextmanager
def library_log_to(progress: Progress) -> Iterator[None]:
    """Send huggingface_hub's warnings to `progress` instead of across the terminal."""
    logger = logging.getLogger("huggingface_hub")
    before, logger.handlers = logger.handlers, [_ToProgress(progress)]
    try:
        yield
    finally:
        logger.handlers = before


class _ToProgress(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self.progress.detail(redact(record.getMessage()))
