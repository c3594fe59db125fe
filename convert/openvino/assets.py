"""The files beside the IR: configs, tokenizer files, chat template, openvino_config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...quantize.integer import to_float32
from ...quantize.scheme import INT8_MODES, Scheme
from .. import sentence, tokenizer_copy
from ..checkpoint import Checkpoint, read_json
from ..program.vision import PREPROCESSORS, Vision

COPIED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json",
    *PREPROCESSORS, "video_preprocessor_config.json",
)  # fmt: skip
_OPTIMUM_DTYPES = ("int8", "int4", "nf4", "mxfp4", "cb4")
LICENSES = ("LICENSE*", "MODEL_LICENSE*", "NOTICE*", "USE_POLICY*")


def sources(folder: Path) -> list[Path]:
    """Return the small files that an artifact takes over, in a fixed order."""
    named = [folder / name for name in ("config.json", "generation_config.json", *COPIED)]
    licenses = sorted(p for pattern in LICENSES for p in folder.glob(pattern) if p.is_file())
    templates = sorted((folder / "additional_chat_templates").glob("*.jinja"))
    return [p for p in named if p.is_file()] + templates + licenses + sentence.files(folder)


def write(
    checkpoint: Checkpoint,
    scheme: Scheme,
    out: Path,
    *,
    vision: Vision | None = None,
    vision_scheme: Scheme | None = None,
    added: dict[str, Any] | None = None,
    generates: bool = True,
) -> None:
    """Write all of them into the staging folder; config.json gets the `added` fields, and what `generates` its defaults."""
    made = tokenizer_copy.written(checkpoint.folder)
    for path in sources(checkpoint.folder):
        place = path.relative_to(checkpoint.folder)
        if str(place) not in ("config.json", "generation_config.json"):
            tokenizer_copy.copy(path, checkpoint.folder, out, made)
    for name, text in made.items():
        (out / name).write_text(text, "utf-8")
    for name, content in config_files(checkpoint, vision).items():
        _write_json(out / name, content | ((added or {}) if name == "config.json" else {}))
    if generates:
        stated = checkpoint.generation_config or generation_config(checkpoint.config)
        _write_json(out / "generation_config.json", stated)
    described = _of_parts(scheme, vision_scheme) if vision_scheme else _openvino_config(scheme)
    _write_json(out / "openvino_config.json", described)


def config_files(checkpoint: Checkpoint, vision: Vision | None) -> dict[str, dict[str, Any]]:
    """Return config.json and what else an artifact does not take over as it is, parsed, by name.

    The artifact needs no code of the checkpoint's, so it does not point to any.
    """
    stated = checkpoint.config if vision is None else read_json(checkpoint.folder / "config.json")
    made = {"config.json": stated} | (vision.files(checkpoint.folder) if vision else {})
    for field, name in (vision.stated if vision else {}).items():
        if checkpoint.has_weights:  # a plan knows no values
            values = to_float32(checkpoint.tensor(name)).reshape(-1)
            made["config.json"] = made["config.json"] | {field: [float(one) for one in values]}
    return made | {"config.json": {key: value for key, value in made["config.json"].items() if key != "auto_map"}}


def generation_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return what runtimes need at least: the ids that begin, end and pad."""
    keys = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"_from_model_config": True, **{k: config[k] for k in keys if config.get(k) is not None}}


def _of_parts(scheme: Scheme, vision_scheme: Scheme) -> dict[str, Any]:
    """optimum-intel's `OVConfig` of a model of several IRs, with its names of them (`OVPipelineQuantizationConfig`)."""
    described = _openvino_config(scheme)
    language = described["quantization_config"]
    # embeddings get the backup precision, unless all layers get the same
    parts = {
        "lm_model": language,
        "text_embeddings_model": language if scheme.all_layers else _int8(scheme.backup),
        "vision_embeddings_model": _int8(vision_scheme.mode),
    }
    parts = {name: part for name, part in parts.items() if part}
    return {**described, "quantization_config": {"quantization_configs": parts} if parts else None}


def _int8(mode: str) -> dict[str, Any] | None:
    if mode not in INT8_MODES:
        return None
    return {"bits": 8, "dtype": "int8", "quant_method": "default", "sym": mode.endswith("_sym")}


def _openvino_config(scheme: Scheme) -> dict[str, Any]:
    """optimum-intel's `OVConfig`, as far as it can express the scheme."""
    if not scheme.compresses:
        return {"dtype": scheme.mode, "quantization_config": None}
    dtype = "int8" if scheme.mode in INT8_MODES else "int4" if scheme.mode.startswith("int4") else scheme.mode
    if dtype not in _OPTIMUM_DTYPES:
        return {"dtype": dtype, "quantization_config": None}
    quantization: dict[str, Any] = {"bits": scheme.bits, "dtype": dtype, "quant_method": "default"}
    if dtype.startswith("int"):
        quantization["sym"] = scheme.mode.endswith("_sym")
    if dtype != "int8":
        quantization |= {
            "group_size": scheme.group_size,
            "group_size_fallback": scheme.group_size_fallback,
            "ratio": scheme.ratio,
            "all_layers": scheme.all_layers or None,
        }
        if scheme.backup in ("none", *INT8_MODES):
            quantization["backup_precision"] = scheme.backup
    return {"dtype": dtype, "quantization_config": quantization}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
