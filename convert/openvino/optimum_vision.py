"""GLM-Edge-V in optimum-intel, which does not know the model: `register()` makes `OVModelForVisualCausalLM` load it.

    from optimum.intel import OVModelForVisualCausalLM
    from transformers import AutoProcessor
    from edgeconv.convert.openvino import optimum_vision

    optimum_vision.register()
    model = OVModelForVisualCausalLM.from_pretrained(OUT)
    processor = AutoProcessor.from_pretrained(OUT)

Source: `optimum/intel/openvino/modeling_visual_language.py` of optimum-intel 2.2.0, whose table of classes has no public way in.
"""

from __future__ import annotations

from typing import Any

import torch
from optimum.intel.openvino import modeling_visual_language as optimum
from torch import Tensor

from ...core.errors import UsageError
from ..families import glm_edge_v_model as glm_edge_v
from ..families.glm_edge_v_model.facts import MODEL_TYPE, check_placeholders


def register() -> None:
    """Make optimum-intel's `OVModelForVisualCausalLM` and transformers' Auto classes know GLM-Edge-V; twice is harmless."""
    glm_edge_v.register()
    optimum.MODEL_TYPE_TO_CLS_MAPPING[MODEL_TYPE] = OVGlmEdgeVForCausalLM


class OVGlmEdgeVForCausalLM(optimum.OVModelForVisualCausalLM):  # type: ignore[misc]
    """The three IRs behind `generate(input_ids=…, pixel_values=…)`.

    `pixel_values` are float32 [n, 3, S, S]: the pictures of all prompts, in their order.
    """

    def get_multimodal_embeddings(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return embeddings [batch, n, hidden], mask and positions; pictures are seen in the first step alone.

        Raises:
            UsageError: pictures without ids, or placeholders and pictures that do not fit.
        """
        first = kwargs.get("past_key_values") is None
        if first and input_ids is not None:
            here = (input_ids == self.config.boi_token_id).sum(dim=1).tolist()
            pictures = 0 if pixel_values is None else pixel_values.flatten(0, -4).shape[0]
            check_placeholders(here, self.config.image_tokens, pictures)
        elif first and pixel_values is not None:
            raise UsageError("Pictures need input_ids: the placeholders in them say where the features go.")
        return super().get_multimodal_embeddings(
            input_ids, pixel_values if first else None, attention_mask, position_ids, **kwargs
        )

    def get_vision_embeddings(self, pixel_values: Tensor, **_: Any) -> Tensor:
        """Run tower and adapter: [n, 3, S, S] -> [n, image tokens, hidden]."""
        return torch.as_tensor(self.vision_embeddings(pixel_values.flatten(0, -4)).last_hidden_state)

    def merge_vision_text_embeddings(
        self,
        vision_embeds: Tensor,
        inputs_embeds: Any,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Put the rows of the pictures in the placeholders' places, one by one."""
        embeds = torch.as_tensor(inputs_embeds)
        here = (input_ids == self.config.boi_token_id).unsqueeze(-1)
        return embeds.masked_scatter(here, vision_embeds.to(embeds.dtype)), attention_mask, position_ids

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> Any:
        """Repeat prompts for beams, and the pictures prompt by prompt: the base class would repeat one by one."""
        pixels = model_kwargs.pop("pixel_values", None)
        if pixels is not None and input_ids is not None and expand_size > 1:
            counts = (input_ids == self.config.boi_token_id).sum(dim=1) // self.config.image_tokens
            own = pixels.flatten(0, -4).split(counts.tolist())
            pixels = torch.cat([picture for pictures in own for picture in [pictures] * expand_size])
        ids, kwargs = super()._expand_inputs_for_generation(expand_size, is_encoder_decoder, input_ids, **model_kwargs)
        return ids, kwargs | {"pixel_values": pixels}

    @staticmethod
    def preprocess_inputs(  # noqa: PLR0917 - optimum-intel's signature
        text: str,
        image: Any = None,
        processor: Any = None,
        tokenizer: Any = None,
        config: Any = None,
        video: Any = None,
        audio: Any = None,
    ) -> Any:
        """Return the inputs of `generate` for one question, with one picture, a list of them, or none.

        Raises:
            UsageError: there is no processor, or a film or a sound is given.
        """
        if processor is None or video is not None or audio is not None:
            raise UsageError("GLM-Edge-V needs a processor and takes pictures and text alone.")
        images = [] if image is None else image if isinstance(image, list) else [image]
        content = [{"type": "image"}] * len(images) + [{"type": "text", "text": text}]
        prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return processor(images=images, text=prompt, return_tensors="pt")
