"""One family, one tool, one format, in a process of its own: convert, ask about pictures, compare. Prints an outcome as JSON.

python -m benchmarks.coverage.pictures_cell TOOL FORMAT TYPE WORK [CONVERTER]
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from PIL import Image

from ..processes import ROOT
from .cell import failed

QUESTIONS = ("Hello", "What is this?", "Compare.", "And this?")
TOKENS = 8
LIMIT, LLAMA_CPP = 1e-3, 0.05
"""What a logit may differ by; in llama.cpp, which reads GELU from a table of float16 values in tower and language model, more."""
Answers = Callable[[str, list[Image.Image], list[int]], tuple[float | None, str]]
"""(question, pictures, what transformers answers) → the largest difference of a logit, and the text that is answered."""


def conversations(side: int, fit: Callable[[Image.Image], Image.Image]) -> list[tuple[str, list[Image.Image]]]:
    """Return words alone, a picture, two of different shapes, and one that no grid takes as it is; `side` is that of a unit.

    `fit` makes of a picture one that the runtime does not resize otherwise than the model's processor.
    """
    from tests.runtimes.vision_models import photo

    fits = photo(1, 2 * side, side)
    shown = ([], [fits], [photo(2, side, 2 * side), fits], [photo(3, 3 * side // 2 + 5, 47)])
    return [(question, [fit(one) for one in pictures]) for question, pictures in zip(QUESTIONS, shown, strict=True)]


def fitting(kind: str, source: Path) -> Callable[[Image.Image], Image.Image]:
    """Return what makes pictures that llama.cpp leaves as they are: it resizes by rules of its own, which `validate` measures."""
    from edgeconv.convert import families
    from edgeconv.runtimes.processor import Processor
    from edgeconv.validate.fitted import fitted

    part, processor = families.vision_part(kind), Processor(source)
    if part is None or part.mmproj is None or part.mmproj.seen is None:
        return lambda picture: picture
    stretch = part.mmproj.seen.stretch
    return lambda picture: fitted(picture, processor.pixels, stretch)


def main() -> None:
    tool, form, kind, work, *converter = sys.argv[1:]
    print(json.dumps(outcome(tool, form, kind, Path(work), converter[0] if converter else "")))


def outcome(tool: str, form: str, kind: str, work: Path, converter: str) -> dict[str, Any]:
    """Convert, ask, compare."""
    source = checkpoint(kind, work / "model", form)
    out = work / f"{tool}-{form}"
    out.mkdir(parents=True, exist_ok=True)
    made = out / (f"{kind}.gguf" if form == "gguf" else kind)
    if not made.exists():
        for command in commands(tool, form, source, made, converter):
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                found = failed(tool, done)
                return {"kind": found.kind, "said": found.said.replace(str(work), "")}
    try:
        if form == "gguf":
            return compared(opened(tool, form, made), source, LLAMA_CPP, fitting(kind, source))
        return compared(opened(tool, form, made), source, LIMIT, lambda picture: picture)
    except Exception as error:  # noqa: BLE001 - a runtime may not know what was made, which is an outcome
        return {"kind": "not run", "said": f"{type(error).__name__}: {error}"[:300].replace(str(work), "")}


def checkpoint(kind: str, folder: Path, form: str) -> Path:
    """Return the family's tiny checkpoint: for llama.cpp one whose sizes its graphs take."""
    from tests.models import tiny_vlm, tiny_vlm_gguf

    place = folder / form / kind
    if not (place / "config.json").is_file():
        known = form == "gguf" and kind in tiny_vlm_gguf.TYPES
        tiny_vlm_gguf.make(kind, place) if known else tiny_vlm.make(kind, place)
    return place


def commands(tool: str, form: str, source: Path, out: Path, converter: str) -> list[list[str]]:
    """Return what converts, step by step."""
    if tool in ("edgeconv", "openvino_genai"):
        kind = ["--type", "f32", "--vision-precision", "fp32"] if form == "gguf" else ["-p", "fp32"]
        return [
            [
                sys.executable,
                "-m",
                "edgeconv",
                form,
                "--model",
                str(source),
                *kind,
                "--output",
                str(out),
                "--json",
                "--quiet",
            ]
        ]
    if tool == "optimum-cli":
        script, task = (
            str(ROOT / "benchmarks" / "peer_optimum.py"),
            ("--task", "image-text-to-text", "--weight-format", "fp32"),
        )
        return [[sys.executable, script, "export", "openvino", "--model", str(source), *task, str(out)]]
    step = [sys.executable, "-m", "benchmarks.peer_llama_cpp", "convert", converter, str(source)]
    return [
        [*step, str(out), "--outtype", "f32"],
        [*step, str(out.with_name(f"mmproj-{out.name}")), "--outtype", "f32", "--mmproj"],
    ]


def opened(tool: str, form: str, made: Path) -> Any:
    """Return what answers: a chat of ours, or a pipeline of the vendor's."""
    from edgeconv.runtimes.answers import Sampling

    greedy = Sampling(max_new_tokens=TOKENS, temperature=0)
    if tool == "openvino_genai":
        import openvino_genai

        return openvino_genai.VLMPipeline(str(made), "CPU", EXECUTION_MODE_HINT="ACCURACY")
    if tool == "optimum-cli":
        from optimum.intel import OVModelForVisualCausalLM

        return OVModelForVisualCausalLM.from_pretrained(made, ov_config={"EXECUTION_MODE_HINT": "ACCURACY"})
    if form == "gguf":
        from edgeconv.runtimes.llama_cpp_chat import LlamaCppChat

        return LlamaCppChat(made, projector=next(made.parent.glob("mmproj-*.gguf")), sampling=greedy)
    if form == "onnx":
        from edgeconv.runtimes.onnx_chat import OnnxChat

        return OnnxChat(made, sampling=greedy)
    from edgeconv.runtimes.openvino_vision_chat import VisionChat

    return VisionChat(made, sampling=greedy, properties={"EXECUTION_MODE_HINT": "ACCURACY"})


def compared(runtime: Any, source: Path, allowed: float, fit: Callable[[Image.Image], Image.Image]) -> dict[str, Any]:
    """Ask everything, each in a conversation of its own."""
    from tests.runtimes.vision_models import Torch

    torch = Torch(source)
    vision = torch.model.config.vision_config
    side = 4 * int(vision.patch_size if isinstance(vision.patch_size, int) else vision.patch_size[0])
    worst, texts = 0.0, 0
    questions = conversations(side, fit)
    for question, pictures in questions:
        ids, tokens, logits = torch.answer(("user", question, *pictures), count=TOKENS)
        wanted = torch.processor.tokenizer.decode(tokens, skip_special_tokens=True).rstrip("\ufffd")
        off, text = asked(runtime, torch, (question, pictures), (ids, tokens, logits))
        worst = max(worst, off or 0.0)
        texts += text == wanted
    measured = worst if hasattr(runtime, "prompt") or hasattr(runtime, "language_model") else None
    right = texts == len(questions) and (measured is None or measured < allowed)
    return {
        "kind": "right" if right else "wrong",
        "worst": measured,
        "allowed": allowed,
        "texts": texts,
        "of": len(questions),
    }


def asked(
    runtime: Any, torch: Any, turn: tuple[str, list[Image.Image]], expected: tuple[Any, Any, Any]
) -> tuple[float | None, str]:
    """Ask a runtime: the largest difference of a logit where it tells them, and its answer."""
    question, pictures = turn
    if hasattr(runtime, "prompt"):
        return _chat(runtime, question, pictures, expected)
    if hasattr(runtime, "language_model"):
        return _optimum(runtime, torch, turn, expected[2])
    return None, _pipeline(runtime, question, pictures)


def _chat(chat: Any, question: str, pictures: list[Image.Image], expected: tuple[Any, Any, Any]) -> tuple[float, str]:
    ids, tokens, logits = expected
    chat.reset()
    chat.rules.stop_token_ids = frozenset()
    _, own, shown = chat.prompt(question, pictures)
    if len(own) != len(ids):
        return np.inf, chat.reply(question, pictures).text
    found, worst = chat.model.prefill(own, shown, Event()), 0.0
    for token, wanted in zip(tokens, logits, strict=True):
        worst = max(worst, float(np.abs(found - wanted).max()))
        found = chat.model.step(token)
    chat.reset()
    return worst, chat.reply(question, pictures).text


def _optimum(model: Any, torch: Any, turn: tuple[str, list[Image.Image]], wanted: Any) -> tuple[float, str]:
    from tests.runtimes.vision_models import messages

    question, pictures = turn
    inputs = torch.processor.apply_chat_template(
        messages(("user", question, *pictures)),
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
        return_tensors="pt",
    )
    made = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=TOKENS,
        eos_token_id=-1,
        output_logits=True,
        return_dict_in_generate=True,
    )
    text = torch.processor.tokenizer.decode(made.sequences[0, -TOKENS:], skip_special_tokens=True).rstrip("\ufffd")
    return float(np.abs(made.logits[0][0].float().numpy() - wanted[0]).max()), text


def _pipeline(pipeline: Any, question: str, pictures: list[Image.Image]) -> str:
    import openvino as ov
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.do_sample, config.ignore_eos = TOKENS, False, True
    images = [ov.Tensor(np.asarray(one)[None]) for one in pictures]
    return str(pipeline.generate(question, images=images, generation_config=config).texts[0]).rstrip("\ufffd")


if __name__ == "__main__":
    main()
