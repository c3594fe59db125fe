"""Which engine quantizes: the compiled kernels, else a packaged ggml, else numpy. The choice is there to be shown."""

from __future__ import annotations

import os

from ...core.errors import EdgeconvError, UsageError
from . import fallback, native
from .engine import Engine
from .types import TYPES, Type

_INSTALL = f"Install a C compiler, then edgeconv again; or: pip install '{fallback.PACKAGE}'."


def engines() -> tuple[Engine, ...]:
    """Return the engines that may be used, in the order of preference.

    EDGECONV_KERNELS=ggml leaves out the compiled kernels, EDGECONV_KERNELS=numpy also the packaged ggml.

    Raises:
        UsageError: an installed library cannot be loaded.
    """
    wish = os.environ.get("EDGECONV_KERNELS", "")
    lib = None if wish in {"ggml", "numpy"} else native.load()
    if lib is not None:
        return (native.Compiled(lib),)
    found = fallback.engines()
    return tuple(engine for engine in found if wish != "numpy" or not isinstance(engine, fallback.PackagedGgml))


def engine_for(kind: Type, weighted: bool) -> Engine:
    """Return the engine that writes a type, `weighted`: with an importance matrix.

    Raises:
        UsageError: no engine of this installation does.
    """
    for engine in engines():
        if engine.supports(kind, weighted):
            return engine
    matrix = " with an importance matrix" if weighted else ""
    raise UsageError(f"Quantizing to {kind.name}{matrix} needs the compiled kernels or a packaged ggml.", _INSTALL)


def describe() -> str:
    """Name the engines and what they write, for `edgeconv doctor` and the run's log."""
    try:
        found = engines()
    except EdgeconvError as error:
        return error.message
    first = found[0]
    if all(first.supports(kind, weighted=True) for kind in TYPES.values()):
        return f"{first.name} (all types)"
    if isinstance(first, fallback.PackagedGgml):
        return f"{first.name} (all types, slower; the compiled kernels are not in use)"
    names = [kind.name for kind in TYPES.values() if any(engine.supports(kind, weighted=False) for engine in found)]
    return f"{first.name} (only {', '.join(names)}, without importance matrix). {_INSTALL}"
