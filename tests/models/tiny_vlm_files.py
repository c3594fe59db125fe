"""The small files of tiny vision-language checkpoints: tokens, chat templates and processors, shaped as the published ones.

The pictures are small: a tile is 56 pixels a side, or 28, and what depends on a picture's size does so from there on.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeconv.builtin import model_path

BUILTIN = 4096
"""Tokens of the built-in vocabulary; those of the pictures follow."""
VOCABULARY = 4160
"""Rows of the tiny models' tables."""
HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
CHATML = ("<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Files:
    """What a checkpoint has beside its weights and config.json.

    Attributes:
        tokens: that it has beside the built-in vocabulary's; their ids follow its last one.
        template: chat_template.jinja.
        preprocessor: preprocessor_config.json.
        processor: processor_config.json; empty: there is none.
        named: what tokenizer_config.json calls tokens, as "image_token".
        begin: a token that tokenizer.json puts before each text.
    """

    tokens: tuple[str, ...]
    template: str
    preprocessor: dict[str, Any]
    processor: dict[str, Any] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    begin: str | None = None

    def id(self, token: str) -> int:
        """Return a token's id."""
        return BUILTIN + self.tokens.index(token)

    def write(self, folder: Path) -> None:
        """Write the tokenizer, the template and the processor's files."""
        vocabulary = json.loads((model_path() / "tokenizer.json").read_text())
        vocabulary["added_tokens"] += [
            {
                "id": self.id(token), "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True,
            }
            for token in self.tokens
        ]  # fmt: skip
        if self.begin:
            first = {"SpecialToken": {"id": self.begin, "type_id": 0}}
            before = {"id": self.begin, "ids": [self.id(self.begin)], "tokens": [self.begin]}
            vocabulary["post_processor"]["single"].insert(0, first)
            vocabulary["post_processor"]["pair"].insert(0, first)
            vocabulary["post_processor"]["special_tokens"] = {self.begin: before}
        (folder / "tokenizer.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
        shutil.copyfile(model_path() / "tokenizer_config.json", folder / "tokenizer_config.json")
        described = json.loads((folder / "tokenizer_config.json").read_text())
        own = {"bos_token": self.begin} if self.begin else {}
        extra = {"extra_special_tokens": self.named} if self.named else {}
        _write(folder / "tokenizer_config.json", described | own | extra)
        (folder / "chat_template.jinja").write_text(self.template, encoding="utf-8")
        _write(folder / "preprocessor_config.json", self.preprocessor)
        if self.processor:
            _write(folder / "processor_config.json", self.processor)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


_QWEN_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TILES_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
_LLAVA_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}"
    "{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
_INSTRUCTED = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ ' ' }}{% for content in message['content'] %}{{ content['text'] }}{% endfor %}{{ eos_token }}"
    "{% else %}{{ '[INST] ' }}{% for content in message['content'] %}{% if content['type'] == 'image' %}MARK"
    "{% else %}{{ content['text'] }}{% endif %}{% endfor %}{{ ' [/INST]' }}{% endif %}{% endfor %}"
)
_GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else 'user' %}{{ '<start_of_turn>' + role + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for item in message['content'] %}{% if item['type'] == 'image' %}{{ 'MARK' }}"
    "{% elif item['type'] == 'text' %}{{ item['text'] | trim }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
_INTERN_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% elif content['type'] == 'video' %}{{ '<video>\n' }}"
    "{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_GLM_TEMPLATE = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m['role'] }}|>\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for item in m['content'] %}{% if item['type'] == 'image' %}"
    "<|begin_of_image|><|image|><|end_of_image|>{% elif item['type'] == 'text' %}{{ item['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def _qwen(processor: str, patch: int, **means: Any) -> Files:
    side = 2 * patch
    return Files(
        (*CHATML, "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
        _QWEN_TEMPLATE,
        {
            "image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": processor, "patch_size": patch,
            "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 4 * side**2, "max_pixels": 16 * side**2, **means,
        },
    )  # fmt: skip


def _glm(processor: str, preprocessor: str) -> Files:
    return Files(
        ("<|image|>", "<|video|>", "<|begin_of_video|>", "<|end_of_video|>"),
        _GLM_TEMPLATE,
        {
            "image_processor_type": preprocessor, "processor_class": processor, "patch_size": 14,
            "temporal_patch_size": 2, "merge_size": 2, **CLIP,
            "size": {"shortest_edge": 4 * 28**2, "longest_edge": 16 * 28**2},
        },
    )  # fmt: skip


def _tiled(processor: str, preprocessor: str) -> Files:
    rows = tuple(f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4))
    return Files(
        (
            "<|im_start|>",
            "<end_of_utterance>",
            "<fake_token_around_image>",
            "<image>",
            "<global-img>",
            *rows,
        ),
        _TILES_TEMPLATE,
        {
            "image_processor_type": preprocessor, "processor_class": processor, "do_image_splitting": True,
            "size": {"longest_edge": 168}, "max_image_size": {"longest_edge": 56}, **HALVES, "resample": 1,
        },
        {"processor_class": processor, "image_seq_len": 4},
    )  # fmt: skip


FILES = {
    "llava": Files(
        ("<s>", "<image>"),
        _LLAVA_TEMPLATE,
        {
            "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 28}, "do_center_crop": True,
            "crop_size": {"height": 28, "width": 28}, "do_convert_rgb": True, "resample": 3, **CLIP,
        },
        {
            "processor_class": "LlavaProcessor", "patch_size": 14, "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1, "image_token": "<image>",
        },
        begin="<s>",
    ),
    "llava_next": Files(
        ("<s>", "<image>", "[INST]", "[/INST]"),
        _INSTRUCTED.replace("MARK", "{{ '<image>\n' }}"),
        {
            "image_processor_type": "LlavaNextImageProcessor", "size": {"shortest_edge": 28}, "do_center_crop": True,
            "crop_size": {"height": 28, "width": 28}, "do_convert_rgb": True, "resample": 3,
            "image_grid_pinpoints": [[28, 56], [56, 28], [56, 56]], **CLIP,
        },
        {
            "processor_class": "LlavaNextProcessor", "patch_size": 14, "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1, "image_token": "<image>",
        },
        begin="<s>",
    ),
    "mistral3": Files(
        ("<s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"),
        _INSTRUCTED.replace("MARK", "{{ '[IMG]' }}"),
        {
            "image_processor_type": "PixtralImageProcessor", "size": {"longest_edge": 112},
            "patch_size": {"height": 14, "width": 14}, "do_convert_rgb": True, "resample": 3, **CLIP,
        },
        {
            "processor_class": "PixtralProcessor", "patch_size": 14, "spatial_merge_size": 2, "image_token": "[IMG]",
            "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]",
        },
        begin="<s>",
    ),
    "gemma3": Files(
        ("<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
        _GEMMA_TEMPLATE.replace("MARK", "<start_of_image>"),
        {
            "image_processor_type": "Gemma3ImageProcessor", "size": {"height": 56, "width": 56}, "resample": 2,
            **HALVES, "do_pan_and_scan": None, "image_seq_length": 4,
        },
        {"processor_class": "Gemma3Processor", "image_seq_length": 4},
        {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"},
        begin="<bos>",
    ),
    "gemma4": Files(
        ("<bos>", "<start_of_turn>", "<end_of_turn>", "<|image>", "<image|>", "<|image|>", "<|video|>"),
        _GEMMA_TEMPLATE.replace("MARK", "<|image|>"),
        {
            "image_processor_type": "Gemma4ImageProcessor", "patch_size": 14, "max_soft_tokens": 70,
            "pooling_kernel_size": 3, "do_normalize": False, "image_mean": [0.0] * 3, "image_std": [1.0] * 3,
        },
        {"processor_class": "Gemma4Processor", "image_seq_length": 70},
        {"image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>"},
        begin="<bos>",
    ),
    "qwen2_vl": _qwen("Qwen2VLProcessor", 14, **CLIP),
    "qwen2_5_vl": _qwen("Qwen2_5_VLProcessor", 14, **CLIP),
    "qwen3_vl": _qwen("Qwen3VLProcessor", 16, **HALVES),
    "qwen3_5": _qwen("Qwen3VLProcessor", 16, **HALVES),
    "smolvlm": _tiled("SmolVLMProcessor", "SmolVLMImageProcessor"),
    "idefics3": _tiled("Idefics3Processor", "Idefics3ImageProcessor"),
    "internvl": Files(
        (*CHATML, "<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
        _INTERN_TEMPLATE,
        {
            "image_processor_type": "GotOcr2ImageProcessorFast", "size": {"height": 56, "width": 56},
            "crop_to_patches": True, "min_patches": 1, "max_patches": 4, "resample": 3,
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
        },
        {"processor_class": "InternVLProcessor", "image_seq_length": 4},
        {
            "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
    "glm4v": _glm("Glm4vProcessor", "Glm4vImageProcessor"),
    "glm_ocr": _glm("Glm46VProcessor", "Glm46VImageProcessor"),
}  # fmt: skip
"""By `model_type`."""
