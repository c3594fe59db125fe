"""The one `openvino.Core` of this process.

Where the processor has AMX, each Core gives the main thread an alternate signal stack and takes it back when it is
destroyed. Two of them destroyed in the order of their making leave the thread with a stack that is no longer mapped,
and the next Ctrl-C ends the process with a segmentation fault instead of our clean-up (seen with OpenVINO 2026.4). The libraries
above OpenVINO make Cores of their own: `lifetime.handle` is what makes the commands safe from theirs.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any


def openvino_core() -> Any:
    """Return the process's `openvino.Core`; it lives as long as the process.

    A Core knows the operations of openvino_tokenizers only if that was imported before it was made, so there may be two.
    """
    return _made("openvino_tokenizers" in sys.modules)


@cache
def _made(with_tokenizers: bool) -> Any:
    import openvino

    return openvino.Core()
