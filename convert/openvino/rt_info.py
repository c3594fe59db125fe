"""What an IR says of itself in its rt_info, in the places where optimum-intel, NNCF and openvino_genai look."""

from __future__ import annotations

from typing import Any

from ...quantize.scheme import Scheme

_ACTIVATIONS_SCALE = "8.0"
"""optimum-intel's value for text generation: keeps float16 activations of GPUs and NPUs in range."""


def add(model: Any, scheme: Scheme, *, generates: bool = True) -> None:
    """Add edgeconv's version, the scheme and, to the graph that `generates`, the runtime options.

    The cache of an uncompressed model asks for float16, as optimum-intel does; a compressed one leaves it to the device, unless
    the scheme says more (`Scheme.kv_cache`).
    """
    from ... import __version__

    model.set_rt_info(__version__, ["edgeconv", "version"])
    for key, value in scheme.as_dict().items():
        model.set_rt_info(str(value), ["edgeconv", "scheme", key])
    if not generates:
        return
    model.set_rt_info(_ACTIVATIONS_SCALE, ["runtime_options", "ACTIVATIONS_SCALE_FACTOR"])
    if (scheme.kv_cache or ("device" if scheme.compresses else "f16")) == "f16":
        model.set_rt_info("f16", ["runtime_options", "KV_CACHE_PRECISION"])
