"""llama.cpp's words for the kinds of tokenizers that are written and read here: `tokenizer.ggml.model`."""

from __future__ import annotations

BYTE_LEVEL_BPE = "gpt2"
SENTENCEPIECE_BPE = "llama"
WORDPIECE = "bert"
UNIGRAM = "t5"
