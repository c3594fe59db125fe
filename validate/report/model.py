"""The report: one value object that the validator fills and every rendering reads.

`parity.json` is this model dumped; its JSON schema stands in docs/parity.schema.json.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

Verdict = Literal["passed", "failed", "undecided"]
Status = Literal["passed", "failed", "skipped"]
CheckName = Literal[
    "structure",
    "template",
    "tokens",
    "logits",
    "decode",
    "generation",
    "pixels",
    "vision",
    "merged",
    "captions",
    "encoding",
    "padding",
    "pipeline",
]
ComparisonName = Literal[
    "noise_floor",
    "conversion",
    "quantisation",
    "runtime",
    "runtime_decode",
    "long_context",
    "picture_conversion",
    "picture_quantisation",
    "picture_runtime",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants", serialize_by_alias=True)


_PUBLISHED: Any = Field(validation_alias=AliasChoices("artefact", "artifact"), serialization_alias="artefact")
"""The key of published reports, which keeps its spelling."""


class Estimate(_Model):
    """A figure with its 95 % confidence interval over texts (None where it has none, or the texts are too few for one)."""

    value: float
    low: float | None = None
    high: float | None = None


class Histogram(_Model):
    """Counts of tokens by KL: `edges` has one more entry than `counts`; the first bin takes everything below."""

    edges: list[float]
    counts: list[int]


class PositionBlock(_Model):
    """Figures of the positions [start, stop) of all documents."""

    start: int
    stop: int
    tokens: int
    mean_kl: float
    top1: float
    max_abs_logit: float


class Comparison(_Model):
    """Two sets of logits over the same tokens, the reference's first; `documents` are windows of `texts`.

    `figures` holds, by name: mean_kl, median_kl, kl_90, kl_95, kl_99, kl_99_9, max_kl (nats); top1, top5, top10
    (shares of 1); mean_dp, rms_dp, dp_1, dp_5, dp_95, dp_99 (change of the probability of the token that follows, in
    percentage points); ppl_reference, ppl_artefact, ln_ppl_ratio; max_abs_logit, mean_abs_logit, cosine; not_finite (count).
    """

    name: ComparisonName
    reference: str
    artifact: str = _PUBLISHED
    tokens: int
    documents: int
    texts: int = 0
    figures: dict[str, Estimate]
    histogram: Histogram
    positions: list[PositionBlock]


class Alternative(_Model):
    """One of the most probable tokens at a position, with its probability under both models."""

    text: str
    reference: float
    artifact: float = _PUBLISHED


class TokenScore(_Model):
    """One token of the suite: its text, and the KL of the prediction that was made *before* it (None for the first)."""

    text: str
    kl: float | None = None
    alternatives: list[Alternative] = []


class DocumentScore(_Model):
    """One document of the suite, token by token, under the quantization comparison."""

    name: str
    kind: str
    mean_kl: float
    tokens: list[TokenScore]


class GenerationPair(_Model):
    """One greedy answer beside the reference's choices.

    `divergence` is the index of the first generated token that the reference would not have chosen (None: none),
    `reference_token` what it would have chosen there, `gap` the difference of the reference's two best logits there, and
    `near_tie` whether that gap is below the noise of bfloat16.
    `runtime` names the pipeline that answered; empty: the bare runtime.
    """

    prompt: str
    artefact_text: str
    reference_text: str
    tokens: int
    divergence: int | None = None
    reference_token: str | None = None
    artefact_token: str | None = None
    gap: float | None = None
    near_tie: bool | None = None
    runtime: str = ""


class RuntimeDefect(_Model):
    """What an engine does otherwise than the checkpoint says, whatever artifact it runs: no part of the verdict.

    `versions` of the engine in which it was seen; `installed` is the version of its package here (empty: not known), and
    `looked_at` whether those cover it. `concerns` says which texts or prompts it touches, `effect` what the engine does; `count`
    texts or prompts of this check showed it, the first of them by name in `examples`.
    """

    name: str
    engine: str
    versions: str
    installed: str = ""
    looked_at: bool = True
    concerns: str
    effect: str
    count: int
    examples: list[str] = []


class Check(_Model):
    """One step of the parity suite: what it found, in a sentence, and each failure in a sentence of its own.

    `defects` are those of the engine that showed; in the verdict only if asked for (--strict).
    """

    name: CheckName
    status: Status
    summary: str
    failures: list[str] = []
    warnings: list[str] = []
    defects: list[RuntimeDefect] = []
    figures: dict[str, float] = {}
    seconds: float = 0.0


class Deviation(_Model):
    """Where the runtime is not the model, whatever file it runs: named and measured, and no part of the verdict.

    `figures` hold `rows` (the mean error of a picture's rows, each over its size and as RMS, where it is largest) and
    `worst_row`; of what happens before the tower, how many `pictures` differ `of_pictures`; of resizing also changed_pixels and
    same_captions (shares of 1).
    """

    name: str
    summary: str
    figures: dict[str, float] = {}


class BudgetLine(_Model):
    """One budget: `value` is the figure as its comparison has it, `limit` what its `worst` must not pass.

    `worst` is the bad end of the figure's confidence interval; None: it has no interval, and the figure itself is held.

    `decided` is false where the texts are too few to judge: there is no interval, or `limit` lies within it. Then it has not
    `passed`, and has not failed either. `looser`: the user asked for it, and edgeconv's own limit on this figure asks for more.
    """

    metric: str
    limit: float
    value: float
    worst: float | None = None
    higher_is_better: bool
    passed: bool
    decided: bool = True
    looser: bool = False
    reason: str

    @property
    def held(self) -> float:
        """What is held against the limit."""
        return self.value if self.worst is None else self.worst


class Subject(_Model):
    """An artifact or a reference: what it is called, its digest, and facts to show as label → value."""

    name: str
    digest: str
    facts: dict[str, str] = {}


class Report(_Model):
    """The whole of parity.json.

    `first_failed` names the first check that failed, or "budget"; `sees`: it takes pictures. The verdict is "undecided"
    if nothing failed and the texts are too few to tell whether a budget is kept. `activations`: the largest number that any
    module of each layer puts out in the torch pass over the suite.
    `seal`: SHA-256 over the rest (see seal.py); null in a report that is not written.
    """

    report: Literal[1] = 1
    verdict: Verdict
    first_failed: str | None
    artifact: Subject = _PUBLISHED
    reference: Subject
    suite: Subject
    budgets: list[BudgetLine]
    rungs: list[Check]
    comparisons: list[Comparison]
    documents: list[DocumentScore]
    generations: list[GenerationPair]
    deviations: list[Deviation] = []
    notes: list[str] = []
    seconds: dict[str, float] = {}
    versions: dict[str, str] = {}
    sees: bool = False
    activations: list[float] = []
    seal: str | None = None
