"""GLM-Edge-V in torch: SigLIP tower, adapter, and transformers' own GLM as the language model.

    pixels [n, 3, S, S] -> SigLIP -> [n, (S/p)^2, v] -> conv 2x2, stride 2 -> GLU -> begin | rows | end -> [n, k, h]

and the k rows of a picture take the place of its k placeholders among the prompt's embeddings. Positions just count on.

Parameters are named as in the checkpoints, so they load without renaming. The structure is that of `siglip.py` and
`modeling_glm.py` of THUDM/glm-edge-v-2b; what those leave open for us is in facts.py.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GlmForCausalLM, GlmModel, GlmPreTrainedModel, SiglipVisionModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast

from ....core.errors import UsageError
from .configuration import GlmEdgeVConfig
from .facts import ADAPTER_GELU, ADAPTER_NORM_EPS, UNUSED, check_placeholders


class GlmEdgeVGLU(nn.Module):  # type: ignore[misc]
    """Project, normalize, and pass through a gated MLP: `GLU` of GLM-4V's `visual.py`."""

    def __init__(self, hidden: int, intermediate: int) -> None:
        super().__init__()
        self.linear_proj = nn.Linear(hidden, hidden, bias=False)
        self.norm1 = nn.LayerNorm(hidden, eps=ADAPTER_NORM_EPS)
        self.dense_h_to_4h = nn.Linear(hidden, intermediate, bias=False)
        self.gate_proj = nn.Linear(hidden, intermediate, bias=False)
        self.dense_4h_to_h = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, rows, hidden] to the same shape."""
        x = F.gelu(self.norm1(self.linear_proj(x)), approximate=ADAPTER_GELU)
        out: Tensor = self.dense_4h_to_h(F.silu(self.gate_proj(x)) * self.dense_h_to_4h(x))
        return out


class GlmEdgeVAdapter(nn.Module):  # type: ignore[misc]
    """Fold 2 x 2 patches into one row of the language model's width; a learned row begins and one ends the picture."""

    def __init__(self, config: GlmEdgeVConfig) -> None:
        super().__init__()
        vision = config.vision_config
        self.grid = vision.image_size // vision.patch_size
        self.boi = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.eoi = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.conv = nn.Conv2d(vision.hidden_size, config.hidden_size, kernel_size=2, stride=2)
        self.linear_proj = GlmEdgeVGLU(config.hidden_size, config.intermediate_size)

    def forward(self, patches: Tensor) -> Tensor:
        """Map the tower's [n, grid * grid, vision width] to [n, image tokens, hidden]."""
        x = self.conv(patches.transpose(1, 2).unflatten(2, (self.grid, self.grid)))
        x = self.linear_proj(x.flatten(2).transpose(1, 2))
        n = x.shape[0]
        return torch.cat([self.boi.expand(n, -1, -1), x, self.eoi.expand(n, -1, -1)], dim=1)


class GlmEdgeVTower(nn.Module):  # type: ignore[misc]
    """SigLIP after its last normalization and without its pooling head, at the name that the checkpoints give it."""

    def __init__(self, config: GlmEdgeVConfig) -> None:
        super().__init__()
        self.model = SiglipVisionModel(config.vision_config)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Map pixels [n, 3, S, S] to [n, patches, vision width]."""
        states: Tensor = self.model(pixel_values=pixel_values).last_hidden_state
        return states


class GlmEdgeVVision(nn.Module):  # type: ignore[misc]
    """Pixels to features that stand among the embeddings of words."""

    def __init__(self, config: GlmEdgeVConfig) -> None:
        super().__init__()
        self.vit = GlmEdgeVTower(config)
        self.adapter = GlmEdgeVAdapter(config)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Map pixels [n, 3, S, S] (float, normalized) to [n, image tokens, hidden]."""
        features: Tensor = self.adapter(self.vit(pixel_values))
        return features


class GlmEdgeVModel(GlmModel):  # type: ignore[misc]
    """GLM whose prompt may hold pictures."""

    config_class = GlmEdgeVConfig
    input_modalities = ("image", "text")
    _no_split_modules = ["GlmDecoderLayer", "SiglipEncoderLayer"]  # noqa: RUF012

    def __init__(self, config: GlmEdgeVConfig) -> None:
        super().__init__(config)
        self.vision = GlmEdgeVVision(config)
        self.post_init()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, GlmEdgeVAdapter):  # bare parameters, which the base class cannot know
            init.normal_(module.boi, std=self.config.initializer_range)
            init.normal_(module.eoi, std=self.config.initializer_range)

    def get_image_features(self, pixel_values: Tensor) -> BaseModelOutputWithPooling:
        """Run tower and adapter.

        Args:
            pixel_values: float [n, 3, S, S], or [batch, media, tiles, 3, S, S] as Mllama's image processor makes them.

        Returns:
            `last_hidden_state` [n, patches, vision width] of the tower; `pooler_output` [n, image tokens, hidden].
        """
        tower = self.vision.vit(pixel_values.flatten(0, -4))
        return BaseModelOutputWithPooling(last_hidden_state=tower, pooler_output=self.vision.adapter(tower))

    def merge(self, input_ids: Tensor, pixel_values: Tensor) -> Tensor:
        """Return the prompts' embeddings [batch, n, hidden], the placeholders' replaced by the pictures' features.

        Raises:
            UsageError: placeholders and pictures do not fit.
        """
        embeds = self.embed_tokens(input_ids)
        features = self.get_image_features(pixel_values).pooler_output
        here = input_ids == self.config.boi_token_id
        check_placeholders(here.sum(dim=1).tolist(), features.shape[1], features.shape[0])
        merged: Tensor = embeds.masked_scatter(here[..., None], features.to(embeds.device, embeds.dtype))
        return merged

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        pixel_values: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """As `GlmModel.forward`, with `pixel_values` as in `get_image_features`; without any, the tower never runs.

        Raises:
            UsageError: pictures without the ids that say where they belong, or a number of placeholders that does
                not fit; placeholders at the start of a conversation without a picture.
        """
        if pixel_values is not None:
            if input_ids is None:
                raise UsageError("Pictures need input_ids: the placeholders in them say where the features go.")
            inputs_embeds, input_ids = self.merge(input_ids, pixel_values), None
        elif input_ids is not None and (past_key_values is None or past_key_values.get_seq_length() == 0):
            counts = (input_ids == self.config.boi_token_id).sum(dim=1).tolist()
            check_placeholders(counts, self.config.image_tokens, 0)
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )


class GlmEdgeVForConditionalGeneration(GlmForCausalLM):  # type: ignore[misc]
    """GLM-Edge-V with its language-model head; `generate()` takes `input_ids` and `pixel_values`."""

    config_class = GlmEdgeVConfig
    input_modalities = ("image", "text")
    _keys_to_ignore_on_load_unexpected = ["^" + prefix.replace(".", r"\.") for prefix in UNUSED]  # noqa: RUF012

    def __init__(self, config: GlmEdgeVConfig) -> None:
        GlmPreTrainedModel.__init__(self, config)  # GlmForCausalLM's own would build a GlmModel first
        self.model = GlmEdgeVModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(self, pixel_values: Tensor) -> BaseModelOutputWithPooling:
        """See `GlmEdgeVModel.get_image_features`."""
        return self.model.get_image_features(pixel_values)

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        pixel_values: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """As `GlmForCausalLM.forward`, with `pixel_values` as in `GlmEdgeVModel.forward`.

        Raises:
            UsageError: as there.
        """
        # Spelled out because `generate` reads the names from this signature.
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            pixel_values=pixel_values,
            **kwargs,
        )

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, *args: Any, pixel_values: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Show the pictures to the first step alone; afterwards they are in the cache, if there is one."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(input_ids, *args, **kwargs)
        if kwargs.get("is_first_iteration") or not kwargs.get("use_cache", True):
            inputs["pixel_values"] = pixel_values
        return inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor | None, dict[str, Any]]:
        """Repeat prompts for beams, and the pictures prompt by prompt: the base class would repeat one by one."""
        pixels = model_kwargs.pop("pixel_values", None)
        if pixels is not None and input_ids is not None and expand_size > 1:
            counts = (input_ids == self.config.boi_token_id).sum(dim=1) // self.config.image_tokens
            own = pixels.flatten(0, -4).split(counts.tolist())
            pixels = torch.cat([picture for pictures in own for picture in [pictures] * expand_size])
        expand: Callable[..., tuple[Tensor | None, dict[str, Any]]] = super()._expand_inputs_for_generation
        input_ids, model_kwargs = expand(expand_size, is_encoder_decoder, input_ids, **model_kwargs)
        return input_ids, model_kwargs | {"pixel_values": pixels}
