"""`python -m benchmarks.trained WORK [TYPE ...]`: what rounding costs small trained models of hybrid, expert and shared layers.

Budgets of quantization come from trained models, for random weights say nothing of what rounding does. Each model learns the
text and the chat of the built-in model (`edgeconv.builtin.train`), is converted to each format in 16, 8 and 4 bits, and is
validated. The figures go into docs/trained.json; docs/trained.md is written from it. Of a model with the delta rule the
projections of its states are rounded to 4 bits as well, as conversions that were published did (openvino.genai issue 4467).
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("trained.json")
RESULTS = Path(__file__).parents[1] / "docs" / "trained.json"
FORMATS = {"openvino": ("bf16", "int8", "int4"), "onnx": ("fp16", "int8", "int4"), "gguf": ("bf16", "int8", "int4")}
_CHUNK = 16
STATES = {"qwen3_5_text": r"linear_attn\.(in_proj|out_proj).*"}
"""Projections into and out of the states of layers that keep one."""


@dataclass(frozen=True)
class Row:
    """What `validate` measured of one artifact: KL in nats, as the upper end of its interval; shares of 1."""

    model: str
    format: str
    precision: str
    mean_kl: float
    top1: float
    runtime_kl: float | None
    verdict: str
    bits: float


def main() -> None:
    """Train what is not there, convert, validate, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trained", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("types", nargs="*", choices=[[], *_models()], help="none: all")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--max-tokens", type=int, default=4000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    for kind in arguments.types or _models():
        source = arguments.work / kind
        if not (source / "config.json").is_file():
            learn(kind, source, arguments.steps)
        rows = list(measured(kind, source, arguments.work, arguments.max_tokens))
        _keep(arguments.results, kind, rows)
        arguments.results.with_suffix(".md").write_text(page(arguments.results), "utf-8")


def learn(kind: str, folder: Path, steps: int) -> None:
    """Train a model of a type, and write it to `folder`."""
    import torch

    from edgeconv.builtin.train import train

    torch.set_num_threads(1)
    folder.parent.mkdir(parents=True, exist_ok=True)
    train(folder, steps, lambda tokenizer: _model(kind, tokenizer))


def _model(kind: str, tokenizer: Any) -> Any:
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    end, user, observation = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|user|>", "<|observation|>"])
    ids = {"bos_token_id": None, "pad_token_id": end, "eos_token_id": [end, user, observation]}
    sizes = {"vocab_size": len(tokenizer), "vocab_size_per_layer_input": len(tokenizer)}
    config = CONFIG_MAPPING[kind].from_dict(_models()[kind] | ids | sizes)
    model = AutoModelForCausalLM.from_config(config)
    for module in model.modules():
        if hasattr(
            module, "chunk_gated_delta_rule"
        ):  # torch takes a step for each row of a chunk: smaller ones are faster
            module.chunk_gated_delta_rule = functools.partial(module.chunk_gated_delta_rule, chunk_size=_CHUNK)
    return model


def _models() -> dict[str, dict[str, Any]]:
    table = json.loads(TABLE.read_text("utf-8"))
    return {kind: table["base"] | fields for kind, fields in table["models"].items()}


def measured(kind: str, source: Path, work: Path, tokens: int) -> Iterator[Row]:
    """Convert and validate; one row for each artifact."""
    wanted = [(form, precision, precision, ()) for form, known in FORMATS.items() for precision in known]
    if kind in STATES:
        states = ("--tensor-precision", f"{STATES[kind]}=int4_asym")
        wanted += [(form, "int4", "int4, states' projections too", states) for form in ("openvino", "onnx")]
    for form, precision, said, options in wanted:
        out = work / "out" / ("model.gguf" if form == "gguf" else "model")
        shutil.rmtree(out.parent, ignore_errors=True)
        _edgeconv(form, "--model", str(source), "-p", precision, *options, "-o", str(out), "-q")
        proof = _edgeconv(
            "validate", str(out), "--reference", str(source), "--max-tokens", str(tokens), "--quick", "--json", "-q"
        )
        yield row(kind, form, said, json.loads(proof))
    shutil.rmtree(work / "out", ignore_errors=True)


def _edgeconv(*arguments: str) -> str:
    ran = subprocess.run([sys.executable, "-m", "edgeconv", *arguments], capture_output=True, text=True, check=False)
    if ran.returncode not in (0, 3, 6):
        raise RuntimeError(f"{' '.join(arguments)}: exit code {ran.returncode}: {ran.stderr[-2000:]}")
    return ran.stdout


def row(kind: str, form: str, said: str, result: dict[str, Any]) -> Row:
    """Take a row out of what `validate --json` says."""
    budgets = {line["metric"]: line for line in result["budgets"]}

    def worst(metric: str) -> float | None:
        line = budgets.get(metric)
        return None if line is None else line["value"] if line["worst"] is None else line["worst"]

    kl, top1 = worst("quantisation.mean_kl"), worst("quantisation.top1")
    if kl is None or top1 is None:
        raise RuntimeError(f"{kind} as {form}, {said}: no figures: {result['first_failed']}")
    bits = float(result["artefact"]["facts"]["bits per weight"])
    return Row(kind, form, said, kl, top1, worst("runtime.mean_kl"), result["verdict"], bits)


def _keep(results: Path, kind: str, rows: list[Row]) -> None:
    known = json.loads(results.read_text("utf-8")) if results.is_file() else []
    kept = [one for one in known if one["model"] != kind] + [asdict(one) for one in rows]
    order = list(_models())
    kept.sort(key=lambda one: order.index(one["model"]))  # stable: formats and precisions stay as they were measured
    results.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


HEAD = """# What rounding costs models with states, experts and shared layers

Written by `python -m benchmarks.trained`; do not edit. Each model has a few million parameters (benchmarks/trained.json) and
learned the text and the chat of the built-in model. Mean KL (nats) and top-1 agreement with the checkpoint in float32 are those
ends of their intervals that a budget is held to; "defaults" is what the runtime's own rounding (activations, cache) adds.
"""


def page(results: Path) -> str:
    """Return docs/trained.md."""
    lines = [
        "| model | format | precision | bits per weight | mean KL | top-1 | defaults: mean KL | verdict |",
        "|" + " --- |" * 8,
    ]
    for one in json.loads(results.read_text("utf-8")):
        measured = [f"{one[name]:.2g}" if one[name] is not None else "" for name in ("mean_kl", "runtime_kl")]
        said = (one["model"], one["format"], one["precision"], f"{one['bits']:.2f}")
        cells = (*said, measured[0], f"{one['top1']:.1%}", measured[1], one["verdict"])
        lines.append(f"| {' | '.join(cells)} |")
    return HEAD + "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
