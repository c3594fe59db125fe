"""Digests by which llama.cpp's converter knows a byte-level BPE tokenizer, and the pre-tokenizer names that llama.cpp has.

A digest is the SHA-256 of the ids that `pretokenizer.PROBE` becomes. pretokenizers.json is made of llama.cpp's sources, whose
commit it names, by `make pretokenizers` (`conversion/base.py::get_vocab_base_pre` and `src/llama-vocab.cpp`).
"""

import json
from importlib.resources import files

_TABLE = json.loads((files(__package__) / "pretokenizers.json").read_text("utf-8"))
BY_DIGEST: dict[str, str] = _TABLE["digests"]
NAMES: frozenset[str] = frozenset(_TABLE["names"])
"""All that llama.cpp accepts in tokenizer.ggml.pre for this kind of vocabulary."""
