"""The state of the process while a model is traced: one thread, no telemetry, no chatter, no garbage collection."""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Iterator

from ...core.foreign_code import block_foreign_code
from ...core.telemetry import silence_telemetry


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """Run the body as a tracer likes it, and put everything back.

    OpenMP threads that wait for two-token matrix products spin through more CPU than the products take, and the collector walks
    over all of torch again and again while the tracer makes its nodes: together they cost more than the trace itself.
    """
    silence_telemetry()
    block_foreign_code()
    import torch
    import transformers

    threads, collects, verbosity = torch.get_num_threads(), gc.isenabled(), transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    torch.set_num_threads(1)
    gc.disable()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TracerWarning: shapes become constants, which optimum's patches allow for
            yield
    finally:
        torch.set_num_threads(threads)
        transformers.logging.set_verbosity(verbosity)
        if bars:
            transformers.logging.enable_progress_bar()
        if collects:
            gc.enable()
