"""The ladder: every rung in order, the budgets, the verdict.

The artefact and the reference are never loaded at the same time; the reference's passes are kept in the cache.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import ArtefactError
from ..core.progress import Progress, Silent
from . import budget, cache
from .metrics import Scores, compare
from .reference import Head, LayeredReference, checkpoint_tensors
from .report.model import Comparison, DocumentScore, GenerationPair, Report, Rung, Subject
from .rungs import decode, generation, logits, structure, template, tokens
from .runtimes.openvino import OpenVINORuntime
from .subject import Pair, open_pair
from .suite import EncodedDocument, Suite, encode, load
from .weights import ArtefactWeights

LONG = 4096 + 512
"""Tokens of the long-context probe: far enough past 4,096 that a rotary table in float16 shows."""
RUNTIME_TOKENS = 1024
"""Tokens over which the device's defaults are compared (their logits are kept on disk meanwhile)."""
NEW_TOKENS = 64


@dataclass(frozen=True)
class Ask:
    """What a user asks of a validation.

    `quick` runs the reference and the artefact once, teacher-forced, and nothing else of rungs 3 to 5.
    """

    artefact: Path
    reference: str | None = None
    suite: Path | None = None
    budgets: Mapping[str, float] = field(default_factory=dict)
    max_tokens: int | None = None
    reference_dtype: str = "float32"
    device: str = "CPU"
    quick: bool = False


def validate(ask: Ask, progress: Progress | None = None) -> Report:
    """Climb.

    Raises:
        ArtefactError: the folder is no artefact, or not one of this reference.
        UsageError: an unknown metric, an empty suite, a reference that must be named.
    """
    progress = progress or Silent()
    suite = load(ask.suite)
    pair = open_pair(ask.artefact, ask.reference, progress)
    budgets = budget.override(budget.table(pair.mode, pair.checkpoint.parameters), ask.budgets, METRICS)
    return _Climb(ask, pair, suite, budgets, progress).report()


METRICS = frozenset(
    ["mean_kl", "median_kl", "kl_90", "kl_95", "kl_99", "kl_99_9", "max_kl", "top1", "top5", "top10", "mean_dp", "rms_dp",
     "dp_1", "dp_5", "dp_95", "dp_99", "ppl_reference", "ppl_artefact", "ln_ppl_ratio", "max_abs_logit", "mean_abs_logit",
     "cosine", "not_finite"]
)  # fmt: skip


class _Climb:
    def __init__(self, ask: Ask, pair: Pair, suite: Suite, budgets: list[budget.Budget], progress: Progress) -> None:
        from transformers import AutoTokenizer

        self.ask, self.pair, self.suite, self.budgets, self.progress = ask, pair, suite, budgets, progress
        self.tokenizer: Any = AutoTokenizer.from_pretrained(pair.checkpoint.folder, local_files_only=True)
        self.documents: list[EncodedDocument] = encode(suite, self.tokenizer, ask.max_tokens)
        self.ids = [document.ids for document in self.documents]
        self.rungs: list[Rung] = []
        self.comparisons: list[Comparison] = []
        self.coloured: list[DocumentScore] = []
        self.generations: list[GenerationPair] = []
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}

    def report(self) -> Report:
        self._first_rungs()
        try:
            self._logits_and_after()
        except ArtefactError as error:
            done = {rung.name for rung in self.rungs}
            for name in ("logits", "decode", "generation"):
                if name not in done:
                    self.rungs.append(
                        Rung(name=name, status="failed", summary="could not run", failures=[error.message])
                    )
        self.rungs.sort(key=lambda rung: _ORDER.index(rung.name))
        lines = budget.judge(self.budgets, self.comparisons)
        failed = [rung.name for rung in self.rungs if rung.status == "failed"]
        first: str | None = failed[0] if failed else None
        if first is None and not all(line.passed for line in lines):
            first = "budget"
        return Report(
            verdict="passed" if first is None else "failed",
            first_failed=first,
            artefact=self._artefact(),
            reference=Subject(
                name=self.pair.reference_name,
                digest=self.pair.weights_digest,
                facts={"dtype": self.ask.reference_dtype, "parameters": f"{self.pair.checkpoint.parameters:,}"},
            ),
            suite=Subject(
                name=self.suite.name,
                digest=self.suite.digest,
                facts={"documents": str(len(self.ids)), "tokens": str(sum(map(len, self.ids)))},
            ),
            budgets=lines,
            rungs=self.rungs,
            comparisons=self.comparisons,
            documents=self.coloured,
            generations=self.generations,
            notes=self.notes,
            seconds={name: round(value, 2) for name, value in self.seconds.items()},
            versions=_versions(),
        )

    def _first_rungs(self) -> None:
        folder, checkpoint = self.pair.folder, self.pair.checkpoint
        try:
            self.weights: ArtefactWeights | None = ArtefactWeights(folder, checkpoint)
        except ArtefactError as error:
            self.weights = None
            self.rungs.append(Rung(name="structure", status="failed", summary=error.message, failures=[error.message]))
        with self._timed("structure, template and tokens"):
            if self.weights:
                self.rungs.append(structure.check(folder, checkpoint, self.weights, self.progress))
            self.rungs.append(template.check(folder, checkpoint, self.progress))
            self.rungs.append(tokens.check(folder, checkpoint, self.progress))

    def _logits_and_after(self) -> None:
        if self.weights is None:
            raise ArtefactError("the IR does not open")
        ask, quick = self.ask, self.ask.quick
        answers: list[generation.Answer] = []
        if not quick:
            with self._timed("decode and generate"), self._runtime(accurate=True) as runtime:
                self.rungs.append(decode.check(runtime, self.ids[:3]))
                answers = self._answers(runtime)
        else:
            self.rungs += [
                Rung(name=n, status="skipped", summary="left out by --quick") for n in ("decode", "generation")
            ]
        long = [] if quick else self._long()
        reference = self._pass("reference", checkpoint_tensors(self.pair.checkpoint), self.ids, ask.reference_dtype)
        own = (
            None
            if quick
            else self._pass("the artefact's own weights", self._own, self.ids + long, "float32", keep=False)
        )
        if not quick:
            self._noise(reference)
            self._generation(answers)
        with self._timed("artefact"), self._runtime(accurate=True) as runtime:
            self._compare(runtime, reference, own)
            if own and long:
                self._long_context(runtime, own, long)
            kept = None if quick else logits.Kept(runtime, self._share())
        if kept:
            with self._timed("artefact, defaults"), contextlib.closing(kept), self._runtime(accurate=False) as runtime:
                scores = logits.apart_from(kept, runtime, self._share())
                self._add("runtime", "approximations off", f"defaults of {ask.device}", scores)
        self.rungs.append(self._logits_rung())

    def _compare(self, runtime: OpenVINORuntime, reference: _Made, own: _Made | None) -> None:
        names = [(document.name, document.kind) for document in self.documents]
        colours = logits.Colours(names, self.ids, lambda token: str(self.tokenizer.decode([token])))
        references = (
            [(own.head, own.states), (reference.head, reference.states)]
            if own
            else [(reference.head, reference.states)]
        )
        scores = logits.against(
            runtime, self.ids, references, self.progress, label="Comparing logits", watch=colours.watch
        )
        self.coloured = colours.scores()
        if own:
            self._add("conversion", "torch float32 on the artefact's weights", runtime.name, scores[0])
        self._add("quantisation", f"torch {self.ask.reference_dtype} on the checkpoint", runtime.name, scores[-1])

    def _long_context(self, runtime: OpenVINORuntime, own: _Made, long: list[list[int]]) -> None:
        (scores,) = logits.against(
            runtime, long, [(own.head, own.states[len(self.ids) :])], self.progress,
            label="Long context", chunk=logits.LONG_CHUNK,
        )  # fmt: skip
        self._add("long_context", "torch float32 on the artefact's weights", runtime.name, scores)

    def _noise(self, reference: _Made) -> None:
        share = self._share()
        with self._timed("noise floor"):
            rounded = self._pass("reference in bfloat16", checkpoint_tensors(self.pair.checkpoint), share, "bfloat16")
            scores = logits.heads_apart(
                (reference.head, reference.states[: len(share)]), (rounded.head, rounded.states), share
            )
        self._add("noise_floor", f"torch {self.ask.reference_dtype}", "torch bfloat16", scores)

    def _generation(self, answers: list[generation.Answer]) -> None:
        started = time.perf_counter()
        made = self._pass(
            "reference over the answers", checkpoint_tensors(self.pair.checkpoint), [a.ids for a in answers], "float32"
        )
        noise = next(c.figures["max_abs_logit"].value for c in self.comparisons if c.name == "noise_floor")
        self.generations = generation.pairs(answers, made.head, made.states, self._text, noise)
        self.rungs.append(generation.judge(self.generations, time.perf_counter() - started))

    def _answers(self, runtime: OpenVINORuntime) -> list[generation.Answer]:
        stop = _stops(self.pair)
        answers = []
        for prompt in self.suite.prompts:
            messages = [message.model_dump() for message in prompt]
            ids = self._prompt(messages)
            shown = " / ".join(message["content"] for message in messages if message["role"] != "system")
            answers.append(generation.Answer(shown, ids, runtime.generate(ids, NEW_TOKENS, stop)))
        return answers

    def _prompt(self, messages: list[dict[str, str]]) -> list[int]:
        if getattr(self.tokenizer, "chat_template", None):
            made = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
            return list(made["input_ids"])
        return list(self.tokenizer(messages[-1]["content"])["input_ids"])

    def _long(self) -> list[list[int]]:
        """The suite's tokens in a row, up to LONG or the model's maximum."""
        maximum = int(self.pair.checkpoint.config.get("max_position_embeddings") or LONG)
        row = [token for ids in self.ids for token in ids]
        wanted = min(LONG, maximum)
        while row and len(row) < wanted:
            row += row
        if wanted < LONG:
            self.notes.append(f"The long-context probe ends at {wanted} positions, the model's maximum.")
        return [row[:wanted]]

    def _share(self) -> list[list[int]]:
        """Every document's beginning, about RUNTIME_TOKENS in all."""
        each = max(16, RUNTIME_TOKENS // max(1, len(self.ids)))
        return [ids[:each] for ids in self.ids]

    def _own(self, name: str) -> Any:
        """Give a weight as the artefact holds it; one that it folded away, as the checkpoint does."""
        import torch

        assert self.weights is not None
        if name in self.weights.matched:
            return torch.from_numpy(self.weights.tensor(name))
        return checkpoint_tensors(self.pair.checkpoint)(name)

    def _pass(
        self, label: str, tensors: Any, documents: Sequence[Sequence[int]], dtype: str, *, keep: bool = True
    ) -> _Made:
        with self._timed(label):
            model = LayeredReference(self.pair.checkpoint.folder, tensors, dtype)
            name = cache.key(self.pair.weights_digest, documents, dtype)
            states = cache.get(name) if keep else None
            if states is None:
                states = model.hidden_states(documents, self.progress, f"Running the {label}")
                if keep:
                    cache.put(name, states, f"{self.pair.reference_name}, {dtype}, {len(documents)} documents")
            return _Made(model.head(), states)

    def _add(self, name: Any, reference: str, artefact: str, scores: list[Scores]) -> None:
        texts = [document.document for document in self.documents]
        groups = texts if len(scores) == len(texts) else None
        self.comparisons.append(compare(name, reference, artefact, scores, groups))

    def _logits_rung(self) -> Rung:
        # the long probe runs through the cache: where that is broken, the decode rung says it
        cached = any(rung.name == "decode" and rung.status == "failed" for rung in self.rungs)
        judged = ("conversion",) if cached else ("conversion", "long_context")
        failures = [
            f"{line.metric} is {line.value:.3g}, the budget {line.limit:g} ({line.reason})"
            for line in budget.judge(self.budgets, self.comparisons)
            if not line.passed and line.metric.split(".")[0] in judged
        ]
        bad = sum(c.figures["not_finite"].value for c in self.comparisons)
        if bad:
            failures.append(f"{bad:.0f} logits are NaN or infinite")
        by_name = {c.name: c for c in self.comparisons}
        kl = by_name["quantisation"].figures
        summary = f"mean KL {kl['mean_kl'].value:.3g} nats, same first choice {kl['top1'].value:.1%}"
        if "conversion" in by_name:
            summary += f"; conversion alone: max |Δlogit| {by_name['conversion'].figures['max_abs_logit'].value:.2g}"
        return Rung(name="logits", status="failed" if failures else "passed", summary=summary, failures=failures)

    def _artefact(self) -> Subject:
        pair = self.pair
        facts = {"stored as": pair.mode}
        if pair.manifest:
            facts |= {"bits per weight": f"{pair.manifest.bits_per_weight:.2f}", "engine": pair.manifest.engine}
            facts |= {"made by": f"edgeconv {pair.manifest.versions.get('edgeconv', '')}"}
        return Subject(name=pair.folder.resolve().name, digest=pair.digest, facts=facts)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids)))

    @contextlib.contextmanager
    def _runtime(self, *, accurate: bool) -> Iterator[OpenVINORuntime]:
        runtime = OpenVINORuntime(self.pair.folder, self.ask.device, accurate=accurate)
        try:
            yield runtime
        finally:
            runtime.close()

    @contextlib.contextmanager
    def _timed(self, label: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[label] = self.seconds.get(label, 0.0) + time.perf_counter() - started


@dataclass(frozen=True)
class _Made:
    """One torch pass: the head and the final hidden states of each document."""

    head: Head
    states: list[Any]


_ORDER = ("structure", "template", "tokens", "logits", "decode", "generation")


def _stops(pair: Pair) -> list[int]:
    """Token ids that end an answer, by the reference's generation config, else its config."""
    ids = pair.checkpoint.generation_config.get("eos_token_id", pair.checkpoint.config.get("eos_token_id"))
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("edgeconv", "openvino", "torch", "transformers")}
