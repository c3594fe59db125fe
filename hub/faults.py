"""From what huggingface_hub and its HTTP library raise to what a user is told.

No sentence here repeats the text of such an error: the text may hold an access token (an illegal header value is quoted
in full) or a signed address.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from ..core import limits
from ..core.errors import AccessError, EdgeconvError, HubUnreachableError, OutputError
from . import speed

_LOGIN = "Log in with `hf auth login`, or set HF_TOKEN"
_SETTINGS = "HF_HOME says where the cache lies; correct the cause, or point it at another folder."
_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_CANNOT_WRITE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "it may not be written",
    errno.EPERM: "it may not be written",
    errno.EROFS: "it is on a read-only file system",
    errno.ENOTDIR: "it is not a folder",
}

_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def endpoint() -> str:
    """The Hub's address as a user may see it: without credentials."""
    from huggingface_hub import constants

    parts = urlsplit(str(constants.ENDPOINT))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@contextmanager
def translated(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turn the errors of a call to the Hub into edgeconv's.

    Raises:
        AccessError: the repository or revision is absent, or may not be read.
        HubUnreachableError: no answer, or not the promised one.
        OutputError: the cache cannot be written.
    """
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RuntimeError, ImportError) as error:
        raise explain(error, repo_id, revision) from _without_secrets(error)


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed in a moment."""
    import httpx
    from huggingface_hub.errors import FileMetadataError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    match error:
        case HfHubHTTPError():
            return error.response.status_code in _TRANSIENT_STATUS
        case LocalEntryNotFoundError() | OfflineModeIsEnabled() | FileMetadataError():
            return False  # huggingface_hub has retried the first already
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return False  # our request is at fault
        case httpx.TransportError():
            return not isinstance(error, speed.kind())  # at that, too, huggingface_hub has tried again
        case OSError():
            return error.errno is None  # "Consistency check failed": fewer bytes than promised
        case _:
            return isinstance(error, RuntimeError)  # hf_xet


def explain(error: Exception, repo_id: str, revision: str | None) -> EdgeconvError:
    """The error to show for `error`, met while reading `repo_id` at `revision`."""
    import httpx
    from huggingface_hub import errors as hf

    if isinstance(error, hf.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return explain(error.__cause__, repo_id, revision)
    if isinstance(error, ImportError):
        return _no_socks(error)
    if isinstance(error, OSError) and error.errno is not None:
        return _no_certificates(error) or _disk(error)
    cases: list[tuple[tuple[type[Exception], ...], Callable[[], EdgeconvError]]] = [
        ((hf.HfHubHTTPError,), lambda: _http(error, repo_id, revision)),
        (
            (hf.LocalEntryNotFoundError, hf.OfflineModeIsEnabled),
            lambda: HubUnreachableError("Requests to the Hub are switched off.", "Unset HF_HUB_OFFLINE."),
        ),
        (
            (httpx.InvalidURL, httpx.UnsupportedProtocol),
            lambda: HubUnreachableError(
                f"{endpoint() or 'An empty text'} is not an address of a Hub.", "Correct or unset HF_ENDPOINT."
            ),
        ),
        (
            (httpx.LocalProtocolError, UnicodeError),
            lambda: AccessError("The access token holds characters that no token has.", f"{_LOGIN} anew."),
        ),
        (
            (speed.kind(),),
            lambda: _unreachable(f"sends less than {limits.BYTES_A_SECOND:,} bytes of {repo_id} a second"),
        ),
        ((httpx.TimeoutException,), lambda: _unreachable("does not answer in time")),
        ((httpx.TransportError,), lambda: _unreachable("cannot be reached, or breaks the connection")),
        ((hf.FileMetadataError,), lambda: _unreachable("names no commit, checksum or size, unlike a Hub")),
        ((OSError,), lambda: _unreachable(f"sent fewer bytes of a file of {repo_id} than it promised")),
        ((ValueError,), lambda: _unreachable(f"answered something unreadable about {repo_id}")),
    ]
    for kinds, answer in cases:
        if isinstance(error, kinds):
            return answer()
    return _unreachable(f"broke off the transfer of {repo_id} ({type(error).__name__})")


def _http(error: Any, repo_id: str, revision: str | None) -> EdgeconvError:
    from huggingface_hub import errors as hf
    from huggingface_hub import get_token

    page = f"{endpoint()}/{repo_id}"
    token = get_token() is not None
    login = "use a token of that account" if token else "log in with `hf auth login` or set HF_TOKEN"
    private = "your token may not see it" if token else _LOGIN
    cases: list[tuple[type[Exception], EdgeconvError]] = [
        (hf.GatedRepoError, AccessError(f"{repo_id} is gated.", f"Accept its license at {page}, then {login}.")),
        (
            hf.RepositoryNotFoundError,
            AccessError(
                f"{repo_id} is not on the Hub, or is private.",
                f"Check the spelling. If it is private: {private}. If you mean a folder, write ./{repo_id}",
            ),
        ),
        (
            hf.RevisionNotFoundError,
            AccessError(
                f"{repo_id} has no revision {revision or 'main'!r}.", f"Look at its branches: {page}/tree/main"
            ),
        ),
        (
            hf.RemoteEntryNotFoundError,
            HubUnreachableError(f"{repo_id} lists a file that the Hub does not have.", "Try again later."),
        ),
        (hf.DisabledRepoError, AccessError(f"{repo_id} was disabled on the Hub.", f"The reason is at {page}")),
    ]
    for kind, answer in cases:
        if isinstance(error, kind):
            return answer
    return _by_status(error.response.status_code, repo_id, token=token)


def _by_status(status: int, repo_id: str, *, token: bool) -> EdgeconvError:
    answers: dict[int, EdgeconvError] = {
        401: AccessError(
            f"The Hub does not accept your access token for {repo_id}." if token else f"{repo_id} wants a login.",
            f"{_LOGIN}{' anew' if token else ''}.",
        ),
        403: AccessError(f"The Hub forbids reading {repo_id}.", "Use a token with the right to read it."),
        404: AccessError(f"{endpoint()} does not know {repo_id}.", "Check the spelling, and HF_ENDPOINT if set."),
        429: _unreachable("wants fewer requests (429)"),
    }
    return answers.get(status, _unreachable(f"answers with status {status}"))


def _unreachable(what: str) -> HubUnreachableError:
    return HubUnreachableError(
        f"The Hub at {endpoint()} {what}.",
        "Check the network, HF_ENDPOINT and proxy settings, and try again: finished files are kept.",
    )


def _disk(error: OSError) -> EdgeconvError:
    from huggingface_hub import constants

    reason = _CANNOT_WRITE.get(error.errno or 0, error.strerror)
    return OutputError(
        f"The Hub's cache {constants.HF_HUB_CACHE} cannot be used: {reason}.",
        "Free some space, or point HF_HOME at another folder." if error.errno in _CANNOT_WRITE else _SETTINGS,
    )


def _no_socks(error: ImportError) -> EdgeconvError:
    """Return what to say of a proxy that httpx has no package for. Raises the error itself if it is about something else."""
    if "socks" not in str(error).lower():
        raise error
    names = [name for name in _PROXIES if os.environ.get(name, os.environ.get(name.lower(), "")).startswith("socks")]
    return HubUnreachableError(
        f"The proxy of {' and '.join(names) or 'the environment'} is a SOCKS proxy, for which the package socksio is missing.",
        "pip install 'httpx[socks]', or name a proxy that speaks HTTP.",
    )


def _no_certificates(error: OSError) -> EdgeconvError | None:
    """Return what to say of certificates that a variable promises and that are not there; ssl's error names no file."""
    if error.filename is not None:
        return None
    for name in _CERTIFICATES:
        path = os.environ.get(name)
        if path and not os.path.exists(path):  # noqa: PTH110 - what the variable holds, as ssl takes it
            return HubUnreachableError(
                f"{name} names {path}, which is not there.", "Correct or unset the variable: it says whom to trust."
            )
    return None


def _without_secrets(error: Exception) -> Exception | None:
    """The error as the cause to chain, or None where its text may quote the access token."""
    import httpx

    return None if isinstance(error, httpx.LocalProtocolError | UnicodeError) else error
