"""What is known of GLM-Edge-V beyond its config files, in one place, and what the public sources leave open.

Nothing heavy is imported here: converters and runtimes read these facts without torch or transformers.

Sources, by file and repository: `README.md` and `inference/cli_demo_vision.py` of zai-org/GLM-Edge; `siglip.py` and
`modeling_glm.py` that come with the checkpoints THUDM/glm-edge-v-2b and -5b, as read by ggml-org/llama.cpp's
`tools/mtmd/legacy-models/glmedge-*.py`; `glm-edge-v/glmv_helper.py` of openvino-dev-samples/glm-edge.openvino.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ....core.errors import UsageError

MODEL_TYPE = "glm_edge_v"
"""Ours. The checkpoints call themselves `glm`, which transformers takes for the text model alone."""

VISION = "model.vision."
"""What the names of all vision tensors begin with."""

TOWER, ADAPTER = VISION + "vit.model.vision_model.", VISION + "adapter."
PROJECTION = ADAPTER + "linear_proj."
"""What the names of the tower's tensors begin with, of the adapter's, and of its MLP's."""

UNUSED = (VISION + "vit.model.vision_model.head.",)
"""Tensors that a checkpoint may hold and the model never reads: SigLIP's pooling head."""

PLACEHOLDER = "<|begin_of_image|>"
"""The token of which a prompt holds one for each row of a picture's features."""

BOI_TOKEN_ID, EOI_TOKEN_ID = 59256, 59257
"""Ids in GLM-Edge's vocabulary, used where a config.json does not state them: 59256 in GLM-Edge's fine-tuning code;
59257 follows from GLM-OCR's `image_end` in the same range of ids."""

ADAPTER_GELU = "none"
"""`approximate` of the adapter's first activation: "none" is the exact erf form, "tanh" the approximation.

Evidence: the adapter's tensors are those of `GLU` in `visual.py` of THUDM/glm-4v-9b, where `act1 = nn.GELU()`. Against
it: llama.cpp's graph (`tools/mtmd/models/llava.cpp`) takes ggml_gelu, which is tanh. The two differ by 5e-4 at most."""

ADAPTER_NORM_EPS = 1e-5
"""Epsilon of the adapter's `norm1`. Evidence: the same `GLU`, where `norm1 = nn.LayerNorm(hidden_size)` takes torch's
default. Against it: llama.cpp's graph takes the tower's 1e-6. They matter only where a row's variance is near 1e-5."""

CHAT_TEMPLATE = (
    "{{% for item in messages %}}{{% if item['role'] != 'system' %}}<|{{{{ item['role'] }}}}|>\n"
    "{{% for content in item['content'] %}}{{% if content['type'] == 'image' %}}"
    "{{% for _ in range({image_tokens}) %}}<|begin_of_image|>{{% endfor %}}"
    "{{% elif content['type'] == 'text' %}}{{{{ content['text'] }}}}{{% endif %}}{{% endfor %}}\n"
    "{{% endif %}}{{% endfor %}}{{% if add_generation_prompt %}}<|assistant|>\n{{% endif %}}"
)
"""The template of the V models with the number of image tokens left open; a checkpoint's own always comes first.

Evidence: `<|{{ item['role'] }}|>` and `range(578)` stand in tests of huggingface/optimum-intel's pull request 1791 that
edit the checkpoint's template; the newline after a turn comes from `glm_edge_v` in modelscope/ms-swift's
`swift/llm/template/template/glm.py` (a renderer with `trim_blocks`, such as transformers, drops it again, as it follows
a tag). Unlike the text models' template it drops system messages and wants `content` as a list: the letters of a plain
string have no `type`, so a string would vanish."""


def image_tokens(image_size: int, patch_size: int) -> int:
    """Return the rows of features a picture: one for 2 x 2 patches, and the rows of begin and end; 578 at 672 px."""
    return (image_size // patch_size // 2) ** 2 + 2


def is_glm_edge_v(config: Mapping[str, Any], tensor_names: Iterable[str]) -> bool:
    """Tell by its tensors whether a checkpoint is a GLM-Edge-V.

    Its `model_type` is "glm", like the text models', so the config alone does not settle it.

    Args:
        config: config.json, parsed.
        tensor_names: names in the shards' headers or in the index.
    """
    kinds = {"glm", MODEL_TYPE}
    return config.get("model_type") in kinds and any(name.startswith(VISION) for name in tensor_names)


def check_placeholders(per_prompt: Sequence[int], rows: int, pictures: int) -> None:
    """Check that the placeholders in a batch of prompts are those of its pictures.

    Args:
        per_prompt: number of placeholder tokens in each prompt.
        rows: feature rows (so placeholders) a picture, `image_tokens`.
        pictures: pictures of the whole batch.

    Raises:
        UsageError: too many, too few, or a broken run.
    """
    expected = f"{pictures} x {rows} = {pictures * rows}"
    if sum(per_prompt) != pictures * rows or any(count % rows for count in per_prompt):
        found = ", ".join(map(str, per_prompt))
        raise UsageError(
            f"The prompt holds {found} image placeholders, but {pictures} picture(s) need {expected}.",
            f"Write {rows} times {PLACEHOLDER} for each picture, or let the chat template do it.",
        )
