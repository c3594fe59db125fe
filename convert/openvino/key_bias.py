"""Whether a model's keys have a bias: then a cache in eight bits may not be able to hold them.

The channels of a key share eight bits. A bias lifts single channels far above the others (Qwen2.5-Coder-0.5B), which the CPU
plugin's default cache (u8) then rounds away: token by token its answers lie 0.1 nats from the same graph's with a float cache,
single ones 17 nats; with a float16 cache 0.0008 (`validate`, runtime decode).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_BIAS = re.compile(r"(?:^|\.)(?:k_proj|key|query_key_value|qkv_proj|Wqkv|c_attn|attn\.qkv)\.bias$")
_VISION = re.compile(r"(?:^|\.)(?:vision\w*|visual)\.")
"""Vision part: it has no cache."""


def keys_have_bias(names: Iterable[str]) -> bool:
    """Tell from the names of a checkpoint's tensors, as transformers writes them."""
    return any(_BIAS.search(name) and not _VISION.search(name) for name in names)
