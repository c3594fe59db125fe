"""Seeded reports that look like real ones: passing, failing, ended early; and what a broken or hostile run could give."""

import math
import random
from itertools import pairwise
from typing import Any

from edgeconv.validate.report.model import (
    Alternative,
    BudgetLine,
    Check,
    Comparison,
    DocumentScore,
    Estimate,
    GenerationPair,
    Histogram,
    PositionBlock,
    Report,
    Subject,
    TokenScore,
)  # fmt: skip

TEXTS = {
    "harbour": ("english", "The harbour was quiet before dawn, and only the lamps of two late boats moved on the water. "
                "Nobody had spoken of the storm since Tuesday, although the broken masts still lay along the pier.\n\n"),
    "quicksort": ("code", "def quicksort(items: list[int]) -> list[int]:\n    if len(items) < 2:\n        return items\n"
                  "    pivot, *rest = items\n    low = [x for x in rest if x < pivot]\n    return quicksort(low) + [pivot]\n\n"),
    "chunjie": ("chinese", "春节是中国最重要的传统节日。除夕晚上，全家人坐在一起吃年夜饭，孩子们穿上新衣服，等着长辈发红包。"),
    "assistant": ("chat", "<|user|>\nHow do I keep bread fresh?<|assistant|>\nKeep it in a paper bag at room temperature, "
                  "and freeze what you will not eat within two days 🍞.\n"),
}  # fmt: skip
EDGES = [10 ** (power / 4) for power in range(-32, 9)]


def report(kind: str = "failed", *, tokens: int = 700, seed: int = 1) -> Report:
    """Make a report: "passed" (int8), "failed" (int4 over budget) or "crashed" (the tokens check failed, nothing after)."""
    draw = random.Random(seed)
    if kind == "crashed":
        return _report(kind, [], [], [], [])
    scale = 0.0004 if kind == "passed" else 0.09
    documents = _documents(draw, scale, tokens)
    main = comparison("quantisation", scale, draw, documents=len(documents))
    comparisons = [
        comparison("noise_floor", 0.00007, draw), comparison("conversion", 1.2e-6, draw), main,
        comparison("runtime", scale / 20, draw), comparison("long_context", scale * 1.2, draw, last=8192, documents=1),
    ]  # fmt: skip
    return _report(kind, comparisons, documents, _generations(kind), _budgets(comparisons, kind))


def comparison(name: Any, scale: float, draw: random.Random, *, last: int = 1024, documents: int = 12) -> Comparison:
    """Draw the KL of 12,000 tokens from a log-normal distribution and count it."""
    kls = sorted(draw.lognormvariate(math.log(scale), 1.7) for _ in range(12_000))
    mean, top1 = sum(kls) / len(kls), max(0.02, 1 - 0.62 * scale**0.31 * 1.2)
    counts = [0] * (len(EDGES) - 1)
    for kl in kls:
        counts[next((i for i, (_, high) in enumerate(pairwise(EDGES)) if kl < high), len(counts) - 1)] += 1
    figures = {
        "mean_kl": Estimate(value=mean, low=mean * 0.93, high=mean * 1.08),
        "top1": Estimate(value=top1, low=top1 - 0.011, high=min(1.0, top1 + 0.009)),
        "top5": Estimate(value=min(1.0, top1 + 0.02)), "cosine": Estimate(value=0.99963), "mean_dp": Estimate(value=-0.214),
        "rms_dp": Estimate(value=4.31), "ppl_reference": Estimate(value=14.2071), "ppl_artefact": Estimate(value=15.02),
        "ln_ppl_ratio": Estimate(value=math.sqrt(mean) / 9, low=math.sqrt(mean) / 11, high=math.sqrt(mean) / 8),
        "max_abs_logit": Estimate(value=14 * math.sqrt(mean)), "not_finite": Estimate(value=0),
    }  # fmt: skip
    for key, part in {"median_kl": 0.5, "kl_90": 0.9, "kl_95": 0.95, "kl_99": 0.99, "kl_99_9": 0.999}.items():
        figures[key] = Estimate(value=kls[int(part * len(kls))])
    figures["max_kl"] = Estimate(value=kls[-1])
    blocks = [
        PositionBlock(
            start=start, stop=start + last // 16, tokens=750, mean_kl=mean * draw.uniform(0.75, 1.3) * (1 + 2 / (index + 1)),
            top1=min(1.0, top1 + draw.uniform(-0.02, 0.02)), max_abs_logit=14 * math.sqrt(mean) * draw.uniform(0.5, 1),
        )
        for index, start in enumerate(range(0, last, last // 16))
    ]  # fmt: skip
    names = {
        "noise_floor": ("torch bf16", "torch f32"), "conversion": ("torch f32, the artifact's weights", "OpenVINO, exact"),
        "runtime": ("OpenVINO, exact", "OpenVINO, CPU defaults"),
    }  # fmt: skip
    reference, artifact = names.get(name, ("torch bf16", "OpenVINO, exact"))
    return Comparison(
        name=name, reference=reference, artifact=artifact, tokens=len(kls), documents=documents, figures=figures,
        histogram=Histogram(edges=EDGES, counts=counts), positions=blocks,
    )  # fmt: skip


def document(name: str, texts: list[str], draw: random.Random, scale: float, kind: str = "text") -> DocumentScore:
    """Score tokens; the first has no KL."""
    scores = [TokenScore(text=texts[0])]
    for text in texts[1:]:
        kl = draw.lognormvariate(math.log(scale), 1.7)
        best = draw.uniform(0.2, 0.95)
        shift = min(best, math.sqrt(kl) * 0.3)
        others = draw.sample(texts, min(4, len(texts)))
        alternatives = [Alternative(text=text, reference=best, artifact=best - shift)]
        alternatives += [
            Alternative(text=t, reference=(1 - best) / 2 ** (i + 1), artifact=(1 - best + shift) / 2 ** (i + 1))
            for i, t in enumerate(others)
        ]
        scores.append(TokenScore(text=text, kl=kl, alternatives=alternatives))
    kls = [score.kl for score in scores if score.kl is not None]
    return DocumentScore(name=name, kind=kind, mean_kl=sum(kls) / max(1, len(kls)), tokens=scores)


def _documents(draw: random.Random, scale: float, tokens: int) -> list[DocumentScore]:
    count = max(len(TEXTS), tokens // 600)
    found = []
    for index in range(count):
        name, (kind, text) = list(TEXTS.items())[index % len(TEXTS)]
        pieces: list[str] = []
        while len(pieces) < tokens / count:
            rest = text
            while rest:
                length = 1 if kind == "chinese" else draw.choice((1, 3, 4, 5, 6))
                pieces.append(rest[:length])
                rest = rest[length:]
        pieces = pieces[: max(2, tokens // count)]
        found.append(document(f"{name}-{index + 1:02}", pieces, draw, scale * draw.uniform(0.5, 2), kind))
    return found


def _generations(kind: str) -> list[GenerationPair]:
    shared = "Put the bread in a paper bag and keep it "
    pairs = [
        GenerationPair(
            prompt="How do I keep bread fresh?", reference_text=shared + "at room temperature. Freeze what you will not eat.",
            artefact_text=shared + "in the refrigerator. Cold air slows the growth of mould.", tokens=64, divergence=17,
            reference_token=" at", artefact_token=" in", gap=0.0312, near_tie=True,
        ),
        GenerationPair(prompt="用一句话介绍长城。", reference_text="长城是中国古代的军事防御工程，全长两万多公里。",
                       artefact_text="长城是中国古代的军事防御工程，全长两万多公里。", tokens=24),
    ]  # fmt: skip
    if kind == "passed":
        return pairs
    return [*pairs, GenerationPair(
        prompt="Write a function that adds two numbers.", reference_text="```python\ndef add(a, b):\n    return a + b\n```",
        artefact_text="```python\ndef add(x, y):\n    return x + y\n```", tokens=48, divergence=6, reference_token="a",
        artefact_token="x", gap=1.87, near_tie=False,
    )]  # fmt: skip


def _budgets(comparisons: list[Comparison], kind: str) -> list[BudgetLine]:
    limits = (
        {"mean_kl": 0.01, "top1": 0.9, "ln_ppl_ratio": 0.01}
        if kind == "passed"
        else {"mean_kl": 0.1, "top1": 0.85, "ln_ppl_ratio": 0.1, "not_finite": 0.0}
    )
    wanted = {f"quantisation.{name}": limit for name, limit in limits.items()} | {"conversion.max_abs_logit": 0.1}
    lines = []
    for metric, limit in wanted.items():
        place, _, name = metric.partition(".")
        figure = next(one for one in comparisons if one.name == place).figures[name]
        higher = name == "top1"
        end = figure.low if higher else figure.high
        value = figure.value if end is None else end
        lines.append(BudgetLine(
            metric=metric, limit=limit, value=figure.value, worst=end, higher_is_better=higher,
            reason="Good conversions stay within it.",
            passed=value >= limit if higher else value <= limit,
        ))  # fmt: skip
    return lines


def _rungs(kind: str) -> list[Check]:
    found = [
        Check(name="structure", status="passed", summary="All 272 weights open; each is within what its scheme allows.",
             figures={"tensors": 272, "worst_relative_error": 0.0823}, seconds=3.2),
        Check(name="template", status="passed", summary="6 of 6 conversations are rendered alike.", seconds=0.4),
        Check(name="tokens", status="passed", summary="41,208 ids of 12 texts are equal.", seconds=1.7),
        Check(name="logits", status="passed", summary="12,000 predictions compared, all finite.", seconds=71.5,
             warnings=["p99 of the KL is 18 times its mean: a few predictions carry the difference."]),
        Check(name="decode", status="skipped", summary="Not asked for (--quick)."),
        Check(name="generation", status="passed", summary="1 of 3 greedy answers is the reference's own.", seconds=22.1),
    ]  # fmt: skip
    if kind != "crashed":
        return found
    broken = Check(
        name="tokens", status="failed", summary="2 of 12 texts get other ids.", seconds=0.9,
        failures=["emoji.txt, character 118: checkpoint gives [128, 4021], artifact [128, 90, 7], in “… so 👩‍👩‍👧 we …”",
                  "eos: checkpoint has [0, 2], artifact [2]"],
    )  # fmt: skip
    reason = "Not run: an earlier check failed."
    return [*found[:2], broken, *(Check(name=check.name, status="skipped", summary=reason) for check in found[3:5])]


def _report(kind: str, comparisons: Any, documents: Any, generations: Any, budgets: list[BudgetLine]) -> Report:
    precision = "int8" if kind == "passed" else "int4 (g64)"
    return Report(
        verdict="passed" if kind == "passed" else "failed",
        first_failed={"passed": None, "failed": "budget"}.get(kind, "tokens"),
        artifact=Subject(name=f"smollm2-135m-openvino-{precision[:4]}", digest="sha256:" + "5e" * 32, facts={
            "format": "OpenVINO IR", "precision": precision, "bits per weight": "4.61", "engine": "stream"}),
        reference=Subject(name="HuggingFaceTB/SmolLM2-135M-Instruct", digest="sha256:" + "a1" * 32, facts={
            "model type": "llama", "parameters": "134,515,008", "dtype": "bfloat16"}),
        suite=Subject(name="edgeconv-standard", digest="sha256:" + "0c" * 32, facts={"documents": "12", "tokens": "12,012"}),
        budgets=budgets, rungs=_rungs(kind), comparisons=comparisons, documents=documents, generations=generations,
        notes=["Budgets are the defaults for int4 below 1 B parameters."],
        seconds={"reference": 41.2, "artefact": 22.8, "generation": 22.1} if comparisons else {"structure": 3.2},
        versions={"edgeconv": "0.1.0", "openvino": "2026.4.1", "torch": "2.15.0", "transformers": "5.5.4"},
    )  # fmt: skip
