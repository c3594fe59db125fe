"""llama.cpp's two steps, each a process of its own so that it can be measured.

    python -m benchmarks.peer_llama_cpp convert CONVERT_HF_TO_GGUF.PY SOURCE OUT.gguf --outtype bf16
    python -m benchmarks.peer_llama_cpp quantize IN.gguf OUT.gguf 15

The converter is the script of a llama.cpp checkout with the `conversion` and `gguf-py` folders beside it (the sdist of
llama-cpp-python has them); two things are added: the tokenizer of our checkpoints is none that it knows, so it is told the
pre-tokenizer; and where it wants a SentencePiece file that the checkpoint does not have, it takes its byte pairs.
The second step is llama-quantize's function, called through cyllama, on all cores as llama-quantize does.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRE_TOKENIZER = "chatglm-bpe"


def main() -> None:
    """Run one step."""
    step, *arguments = sys.argv[1:]
    if step == "convert":
        convert(*arguments)
    elif step == "quantize":
        quantize(*arguments)
    else:
        sys.exit(f"unknown step {step}")


def convert(script: str, source: str, out: str, *options: str) -> None:
    """Run the converter."""
    home = Path(script).resolve().parent
    sys.path[:0] = [str(home), str(home / "gguf-py")]
    from conversion import base

    true_name = base.TextModel.get_vocab_base_pre

    def name(self: Any, tokenizer: Any) -> str:
        try:
            return str(true_name(self, tokenizer))
        except NotImplementedError:
            return PRE_TOKENIZER

    base.TextModel.get_vocab_base_pre = name
    spec = importlib.util.spec_from_file_location("convert_hf_to_gguf", script)
    if spec is None or spec.loader is None:
        sys.exit(f"{script} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.get_model_class = _with_byte_pairs(module.get_model_class)
    sys.argv = [script, source, "--outfile", out, *options]
    module.main()


def _with_byte_pairs(true_class: Callable[..., Any]) -> Callable[..., Any]:
    """Let the converter's classes take byte pairs where they want a SentencePiece file and there is none."""

    def find(*arguments: Any, **named: Any) -> Any:
        found = true_class(*arguments, **named)
        true_vocab = found.set_vocab

        def set_vocab(self: Any) -> None:
            try:
                true_vocab(self)
            except (FileNotFoundError, ValueError):
                self._set_vocab_gpt2()

        found.set_vocab = set_vocab
        return found

    return find


def quantize(source: str, out: str, file_type: str) -> None:
    """Run the quantizer."""
    from cyllama.llama import llama_cpp

    llama_cpp.set_log_callback(lambda *_: None)
    parameters = llama_cpp.LlamaModelQuantizeParams()
    parameters.ftype = int(file_type)
    parameters.nthread = len(os.sched_getaffinity(0))
    llama_cpp.model_quantize(source, out, parameters)


if __name__ == "__main__":
    main()
