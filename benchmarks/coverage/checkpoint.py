"""Tiny checkpoints of random weights, whose config.json has the fields of the repositories that people convert.

checkpoints.json lists them: the repository, its architecture, what it states beside `base`, and which fields of `base` it lacks.
"""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeconv.builtin import model_path
from edgeconv.core.mended_models import mended

from . import encoder, makers

TABLE = Path(__file__).with_name("checkpoints.json")
REFERENCE = "reference.npz"
_UNDIVIDED = "Gemma3n"
"""In the names of models that do not divide scores by the width of a head."""
POSITIONS = 200
"""More than six times the windows of 32."""
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@dataclass(frozen=True)
class Row:
    """One checkpoint of the table.

    Attributes:
        name: of the row.
        like: the repository whose fields it has.
        architecture: transformers' class.
        config: config.json, but for the vocabulary.
        mtp: it holds a multi-token-prediction head beside the model, as that repository does.
        maker: config.json of makers who bring code, beside what it shares with `config`, the same model for transformers; None:
            it is transformers' own.
        encoder: how its states are pooled (`encoder.write_modules`), or "scores"; None: it makes text.
    """

    name: str
    like: str
    architecture: str
    config: dict[str, Any]
    mtp: bool = False
    maker: dict[str, Any] | None = None
    encoder: str | None = None

    @property
    def model_type(self) -> str:
        """As config.json says."""
        return str((self.maker or self.config)["model_type"])


def rows() -> dict[str, Row]:
    """Return the table."""
    table = json.loads(TABLE.read_text("utf-8"))
    found = {}
    for name, row in table["checkpoints"].items():
        base = {key: value for key, value in table["base"].items() if key not in row.get("without", ())}
        found[name] = Row(
            name, row["like"], row["architecture"], base | row["config"], row.get("mtp", False), row.get("maker"),
            row.get("encoder"),
        )  # fmt: skip
    return found


def make(row: Row, folder: Path) -> None:
    """Write a checkpoint in bfloat16, and transformers' float32 logits of POSITIONS random ids beside it."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    folder.mkdir(parents=True)
    for name in _TOKENIZER:
        shutil.copyfile(model_path() / name, folder / name)
    stated = _stated(row)
    config = CONFIG_MAPPING[row.config["model_type"]].from_dict(copy.deepcopy(stated))
    chosen = encoder.model_class(row.encoder) if row.encoder else AutoModelForCausalLM
    model = chosen.from_config(config).float().eval()
    _randomize(model)
    model.to(torch.bfloat16)
    model.config.dtype = "bfloat16"
    model.save_pretrained(folder)
    if row.encoder and row.encoder != encoder.SCORES:
        encoder.write_modules(folder, row.encoder)
    if row.mtp:
        _add_prediction_head(folder)
    (folder / "config.json").write_text(json.dumps({"architectures": [row.architecture], **stated}, indent=1))
    ids = np.random.default_rng(7).integers(20, stated["vocab_size"], POSITIONS)
    config = CONFIG_MAPPING[row.config["model_type"]].from_dict(copy.deepcopy(stated))
    loaded = chosen.from_pretrained(folder, config=config, dtype=torch.float32, attn_implementation="eager")
    mended(loaded)
    shared = "num_kv_shared_layers" in stated  # keys and values are handed on through the cache
    with torch.no_grad():
        given = {} if row.encoder else {"use_cache": shared}
        logits = encoder.numbers(loaded.eval()(input_ids=torch.tensor(ids)[None], **given))
    if not np.isfinite(logits).all() or (logits.size > 1 and logits.std() < 0.05):
        raise SystemExit(f"{row.name}: the reference says nothing (its logits deviate by {logits.std():.3f})")
    np.savez(folder / REFERENCE, ids=ids, logits=logits)
    if row.maker:
        makers.rewrite(
            folder, {key: stated[key] for key in stated if key not in row.maker.get("without", ())} | row.maker
        )


def _stated(row: Row) -> dict[str, Any]:
    """Its config.json, with the vocabulary of the tokenizer that it is given."""
    known = json.loads((model_path() / "config.json").read_text("utf-8"))
    size = known["vocab_size"]
    fields = {key: size if value == "VOCABULARY" else value for key, value in row.config.items()}
    return {
        **fields,
        "vocab_size": size,
        "eos_token_id": known["eos_token_id"],
        "pad_token_id": known["pad_token_id"],
        "transformers_version": "4.57.1",
    }


def _randomize(model: Any) -> None:
    """Fill every weight so that its product is about as large as what it reads, and move norms, biases and decays a little.

    So no part of the model fades behind another, and one that a converter leaves out shows.
    """
    import torch

    random = torch.Generator().manual_seed(0)
    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if parameter is embedding or ("per_layer" in name and "embed" in name):
                noise *= 0.3
            elif parameter.ndim < 2 or "norm" in name:
                noise = noise if "sinks" in name else parameter.float() + (0.1 if _decays(name) else 0.2) * noise
            elif head is not None and parameter is head.weight:
                noise *= 2 / parameter.shape[-1] ** 0.5
            elif "conv" in name or parameter.ndim == 2:
                noise /= parameter[0].numel() ** 0.5
            else:  # stacked experts: [experts, out, in], of GPT-OSS [experts, in, out]
                noise /= parameter.shape[1 if "gpt_oss" in type(model).__module__ else -1] ** 0.5
            if _UNDIVIDED in type(model).__name__ and name.endswith("q_norm.weight"):
                noise /= 4  # as trained ones are: with scores that nothing divides, each rounding grows over 25 layers
            parameter.copy_(noise.to(torch.bfloat16))
        for name, buffer in model.named_buffers():
            if name.endswith(("e_score_correction_bias", "expert_bias")):
                buffer.copy_((0.1 * torch.randn(buffer.shape, generator=random)).to(torch.bfloat16))


def _decays(name: str) -> bool:
    return name.endswith((".D", "A_log", "dt_bias", "dt_proj.bias"))


def _add_prediction_head(folder: Path) -> None:
    """Add the tensors with which the model predicts several tokens, which no format holds."""
    import torch
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    *_, query = sorted(name for name in tensors if name.endswith("self_attn.q_proj.weight"))
    layer, hidden = query.split("self_attn")[0], tensors[query].shape[1]
    for name in [name for name in tensors if name.startswith(layer)]:
        tensors["mtp.layers.0." + name.removeprefix(layer)] = tensors[name].clone()
    shapes = {
        "fc": (hidden, 2 * hidden),
        "norm": (hidden,),
        "pre_fc_norm_embedding": (hidden,),
        "pre_fc_norm_hidden": (hidden,),
    }
    tensors |= {f"mtp.{name}.weight": torch.randn(shape).to(torch.bfloat16) for name, shape in shapes.items()}
    save_file(tensors, path, metadata={"format": "pt"})
