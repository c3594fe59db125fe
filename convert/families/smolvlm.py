"""SmolVLM: built as Idefics3. Source: `transformers/models/smolvlm/`."""

from __future__ import annotations

from .idefics3 import family

FAMILY = family("smolvlm", "SmolVLMForConditionalGeneration", "SmolVLM")
