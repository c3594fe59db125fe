"""The configuration of GLM-Edge-V: GLM's own fields, a SigLIP `vision_config`, and the two image tokens."""

# No `from __future__ import annotations` here: transformers reads the annotations of a configuration's fields.

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import GlmConfig, PreTrainedConfig, SiglipVisionConfig

from ....core.errors import CheckpointError
from .facts import BOI_TOKEN_ID, EOI_TOKEN_ID, MODEL_TYPE, image_tokens


@strict
class GlmEdgeVConfig(GlmConfig):  # type: ignore[misc]
    """GLM with eyes.

    Args:
        vision_config: of the SigLIP tower, as a dict or a `SiglipVisionConfig`.
        boi_token_id: the placeholder token, `<|begin_of_image|>`.
        eoi_token_id: `<|end_of_image|>`; the model itself has no use for it.
        **kwargs: the fields of `GlmConfig`.

    """

    model_type = MODEL_TYPE
    sub_configs = {"vision_config": SiglipVisionConfig}  # noqa: RUF012 - as in all of transformers' configurations

    vision_config: Any = None
    boi_token_id: int = BOI_TOKEN_ID
    eoi_token_id: int | None = EOI_TOKEN_ID

    def __post_init__(self, **kwargs: Any) -> None:
        """Make the tower's configuration an object; its pooling head is never built."""
        if not isinstance(self.vision_config, PreTrainedConfig):
            self.vision_config = SiglipVisionConfig(**(self.vision_config or {}))
        self.vision_config.vision_use_head = False
        super().__post_init__(**kwargs)

    @property
    def image_tokens(self) -> int:
        """Rows of features, and so placeholders, a picture: 578 at 672 px and patches of 14."""
        return image_tokens(self.vision_config.image_size, self.vision_config.patch_size)

    @classmethod
    def from_checkpoint(cls, config: dict[str, Any]) -> "GlmEdgeVConfig":
        """Read a checkpoint's config.json, whose `model_type` is "glm" and whose `auto_map` names remote code.

        Args:
            config: the parsed file. `auto_map` is ignored; every other field is taken as it is.

        Raises:
            CheckpointError: it describes no tower, or no placeholder token.
        """
        if config.get("model_type") not in {"glm", MODEL_TYPE}:
            raise CheckpointError(f"A GLM-Edge-V has model_type glm, not {config.get('model_type')}.")
        vision = config.get("vision_config")
        needed = ("hidden_size", "image_size", "patch_size", "num_hidden_layers", "num_attention_heads")
        absent = [name for name in needed if name not in (vision or {})]
        absent += [] if "boi_token_id" in config else ["boi_token_id"]
        if absent:
            raise CheckpointError(
                f"config.json describes no GLM-Edge-V: {', '.join(absent)} missing.",
                "It is the text model's, or of another revision than the weights; download all files again.",
            )
        dropped = {"auto_map", "model_type"}
        fields = {name: value for name, value in config.items() if name not in dropped}
        return cls(**fields | {"architectures": ["GlmEdgeVForConditionalGeneration"]})
