"""llama.cpp itself as an oracle, from the package cyllama (build b9190): quantizes, loads, tokenizes, computes logits.

cyllama 0.2.18 lacks `LlamaModel.n_vocab`, which its own `get_logits_ith` asks for.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from cyllama.llama import llama_cpp as lib

os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # a failed assertion would call gdb
lib.set_log_callback(lambda *_: None)
F32 = 0


class _Model(lib.LlamaModel):  # type: ignore[misc]
    @property
    def n_vocab(self) -> int:
        return int(self.get_vocab().n_vocab)


def quantize(source: Path, out: Path, file_type: int, **options: Any) -> Path:
    """Run llama-quantize's function; `options` are fields of its parameters."""
    parameters = lib.LlamaModelQuantizeParams()
    parameters.ftype, parameters.nthread = file_type, 1
    for name, value in options.items():
        setattr(parameters, name, value)
    lib.model_quantize(str(source), str(out), parameters)
    return out


def choices(source: Path, file_type: int, **options: Any) -> dict[str, str]:
    """Tensor -> type that llama-quantize would give it, in its order, from what a dry run says."""
    said: list[str] = []
    lib.set_log_callback(lambda _, text: said.append(text))
    try:
        quantize(source, source.with_name("never-written.gguf"), file_type, dry_run=True, **options)
    finally:
        lib.set_log_callback(lambda *_: None)
    line = re.compile(r"\[ *\d+/ *\d+\] (\S+) .*type = +(\w+), size = [^(\n]*(?:\((\w+)\))?")
    return {name: (new or old).lower() for name, old, new in line.findall("".join(said))}


def load(path: Path) -> Any:
    """Load a model."""
    return _Model(str(path), lib.LlamaModelParams(), verbose=False)


def logits(path: Path, ids: list[int]) -> Any:
    """Logits [len(ids), vocab] with a float32 cache and plain attention."""
    parameters = lib.LlamaContextParams()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = max(64, len(ids))
    parameters.type_k = parameters.type_v = F32
    parameters.flash_attn_type = 0
    parameters.n_threads = parameters.n_threads_batch = 1
    context = lib.LlamaContext(load(path), parameters, verbose=False)
    batch = lib.LlamaBatch(n_tokens=len(ids), embd=0, n_seq_max=1)
    batch.set_batch(ids, 0, True)
    context.decode(batch)
    return np.stack([np.array(context.get_logits_ith(at)) for at in range(len(ids))])
