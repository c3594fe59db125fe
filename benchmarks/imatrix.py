"""What an importance matrix buys: mean KL on the validator's suite, without one and with one, for each type.

    python -m benchmarks.imatrix [--model DIR --text FILE] [--types q2_k,q3_k_m,q4_k_m] [--json result.json]

Without --model the built-in model is taken, and as text what it learned from (never what the suite holds): the language
reference of CPython and made-up chats. `edgeconv gguf --imatrix` computes the matrix on it, `edgeconv validate --quick` measures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from random import Random

TYPES = "q2_k,q3_k_m,iq4_xs,q4_0,q4_k_m,q5_k_m"
CHATS, SEED = 300, 2026


def main() -> None:
    """Parse, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--types", default=TYPES)
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from edgeconv import builtin

    model = arguments.model or builtin.model_path()
    if arguments.model and not arguments.text:
        parser.error("--model needs --text: what the model learned from is not known")
    rows = []
    with tempfile.TemporaryDirectory() as work:
        text = arguments.text or lessons(Path(work) / "lessons.jsonl")
        print(
            "| type | KL without | KL with | ratio | top-1 agreement without | with |\n| --- | --- | --- | --- | --- | --- |"
        )
        for name in arguments.types.split(","):
            plain, weighed = (_measure(model, name, matrix, arguments.max_tokens) for matrix in (None, text))
            rows.append({"type": name, "without": plain, "with": weighed})
            print(
                f"| {name} | {plain['mean_kl']:.5f} | {weighed['mean_kl']:.5f} | "
                f"{plain['mean_kl'] / weighed['mean_kl']:.2f} × | {plain['top1']:.1%} | {weighed['top1']:.1%} |",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def lessons(path: Path) -> Path:
    """Write texts and chats of the kinds that the built-in model was trained on, as a JSONL."""
    from edgeconv.builtin import corpus

    chooser = Random(SEED)
    lines: list[dict[str, object]] = [{"text": text} for text in _apart(corpus.running_text()[0][::3])]
    lines += [{"messages": corpus.conversation(chooser)} for _ in range(CHATS)]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def _apart(texts: list[str]) -> list[str]:
    """Leave out what the suite quotes: two of the topics."""
    from edgeconv.core.errors import UsageError
    from edgeconv.validate.suite import Document, Suite, load, require_apart

    kept = []
    for number, text in enumerate(texts):
        document = Document(name=f"topic-{number}", kind="text", text=text)
        try:
            require_apart(Suite(name="one", documents=(document,), prompts=()), load())
        except UsageError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        kept.append(text)
    return kept


def _measure(model: Path, name: str, matrix: Path | None, max_tokens: int | None) -> dict[str, float]:
    from edgeconv.convert.conversion import GgufJob, run
    from edgeconv.convert.gguf.recipe import recipe
    from edgeconv.validate.parity import Ask, validate

    with tempfile.TemporaryDirectory() as work:
        made = run(GgufJob(str(model), recipe(name), output=Path(work) / "out", imatrix=matrix))
        report = validate(Ask(made.path, reference=str(model), max_tokens=max_tokens, quick=True))
    figures = next(c for c in report.comparisons if c.name == "quantisation").figures
    print(name, "with" if matrix else "without", {k: f.value for k, f in figures.items()}, file=sys.stderr, flush=True)
    return {metric: figures[metric].value for metric in ("mean_kl", "top1")}


if __name__ == "__main__":
    main()
