"""The least speed of an answer: a server that drips would hold a download for ever, for each of its bytes comes in time.

huggingface_hub waits HF_HUB_DOWNLOAD_TIMEOUT seconds for the next bytes, and that is all. So each answer of its HTTP client is
read through a meter, which ends it as a silent connection is ended: huggingface_hub then asks for the rest, a few times.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from typing import Any

from ..core import limits


def watch() -> None:
    """Put the meter into huggingface_hub's present HTTP client, if it is not there."""
    from huggingface_hub.utils import get_session

    hooks = get_session().event_hooks["response"]
    if _meter not in hooks:
        hooks.append(_meter)


def kind() -> type[Exception]:
    """Return the kind of error by which the meter ends an answer."""
    return _kinds()[0]


def _meter(response: Any) -> None:
    response.stream = _kinds()[1](response.stream)


@cache
def _kinds() -> tuple[type[Exception], type]:
    """Return the error and the metered stream; httpx takes long to import."""
    import httpx

    class TooSlow(httpx.ReadTimeout):  # at which huggingface_hub asks for the rest, five times if nothing comes
        pass

    class Metered(httpx.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            pieces = iter(self._stream)
            waited, came = 0.0, 0
            while True:
                begun = time.monotonic()
                piece = next(pieces, None)
                waited += time.monotonic() - begun  # what this side does with it does not count
                if piece is None:
                    return
                came += len(piece)
                if waited > limits.SPEED_SECONDS:
                    if came < limits.BYTES_A_SECOND * waited:
                        raise TooSlow(f"{came} bytes in {waited:.0f} s")
                    waited, came = 0.0, 0
                yield piece

        def close(self) -> None:
            self._stream.close()

    return TooSlow, Metered
