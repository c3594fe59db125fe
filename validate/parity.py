"""The parity suite: every check in order, each with what it costs.

The artifact and the reference are never loaded at the same time; the reference's passes are kept in the cache.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import numpy as np

from ..core.errors import ArtifactError
from ..core.progress import Progress, Silent
from ..runtimes.base import Runtime
from . import budget, first_checks, peaks, verdict
from .answering import Answering
from .ask import Ask
from .checks import batched, decode, deep, logits, tokenizer_pair
from .checks.runtime_defects import as_failures
from .encoders import run as encoders_run
from .first_checks import FirstChecks
from .formats import Weights
from .passes import PassResult, TorchPasses
from .probes import LONG, Probes, switch_of
from .record import Record
from .report.model import Check, Report
from .scores import Scores
from .suite import EncodedDocument, Suite, encode, load, require
from .target import ValidationTarget, open_pair
from .token_display import shown
from .tokenizer import open_tokenizer
from .vision_formats import VISION_CHECKS

__all__ = ["Ask", "validate"]

SHARE = 1024
"""Tokens over which the noise floor and the device's defaults are measured."""
QUICK = 128
"""Tokens over which a quick validation measures the conversion: a graph that computes something else shows in a few."""


def validate(ask: Ask, progress: Progress | None = None) -> Report:
    """Climb.

    Raises:
        ArtifactError: the folder is not an artifact, or not one of this reference.
        UsageError: an unknown metric, a suite that is empty or shorter than asked, a reference that must be named, a device
            that cannot run the artifact.
    """
    progress = progress or Silent()
    suite = load(ask.suite)
    with FirstChecks() as beside:
        pair = open_pair(ask.artifact, ask.reference, progress, beside.start)
        artifact = pair.artifact
        artifact.require_device(ask.device)
        if pair.encoder is not None:
            return encoders_run.validate(ask, pair, pair.encoder, suite, progress)
        table = budget.table(
            artifact.bits, pair.checkpoint.parameters, takes_images=pair.takes_images, graph=artifact.graph
        )
        budgets = budget.override(table, ask.budgets)
        climb = _Run(ask, pair, suite, budgets, progress)
        climb.run(beside)
    pair.require_unchanged()
    if ask.strict:
        climb.found.rungs = [as_failures(one) for one in climb.found.rungs]
    return verdict.report(
        pair, suite, climb.documents, climb.budgets, dtype=ask.reference_dtype, found=climb.found, recipe=ask.recipe
    )


class _Run:
    def __init__(
        self, ask: Ask, pair: ValidationTarget, suite: Suite, budgets: list[budget.Budget], progress: Progress
    ) -> None:
        self.ask, self.pair, self.suite, self.budgets, self.progress = ask, pair, suite, budgets, progress
        self.tokenizer = open_tokenizer(pair.checkpoint.folder, parts=pair.parts)
        self.documents: list[EncodedDocument] = encode(suite, self.tokenizer, ask.max_tokens)
        if ask.max_tokens:
            require(self.documents, ask.max_tokens)
        self.ids = [document.ids for document in self.documents]
        each = max(16, SHARE // max(1, len(self.ids)))
        self.share = [ids[:each] for ids in self.ids]
        self.rounds = ask.reference_dtype == "bfloat16" or pair.rounds
        self.found = Record([document.document for document in self.documents])

    def run(self, beside: FirstChecks) -> None:
        """Run as far as the artifact allows; what could not run is a failed check."""
        try:
            weights = self._first_checks(beside)
            passes = TorchPasses(self.pair, weights, self.tokenizer, self.progress)
            self._quick(passes) if self.ask.quick else self._full(passes)
            one = verdict.logits_check(self.found.rungs, self.budgets, self.found.comparisons)
            self.found.rungs.append(peaks.judge(one, self.found.peaks, [self.ask.device, *self._made_for()]))
        except ArtifactError as error:
            done = {one.name for one in self.found.rungs}
            for name in verdict.order(takes_images=self.pair.takes_images):
                if name not in done:
                    self.found.rungs.append(
                        Check(name=name, status="failed", summary="could not run", failures=[error.message])
                    )

    def _made_for(self) -> list[str]:
        """The device that the artifact's maker chose its scheme for: it is judged for that one too, wherever it runs here."""
        stated = self.pair.manifest.scheme.get("target") if self.pair.manifest else None
        return [stated.upper()] if isinstance(stated, str) else []

    def _first_checks(self, beside: FirstChecks) -> Weights:
        artifact, checkpoint = self.pair.artifact, self.pair.checkpoint
        weights, problem = None, None
        with self.found.timed("structure, template and tokens"):
            first = None if beside.started else first_checks.here(artifact, checkpoint, self.progress)
            try:
                weights = artifact.weights(checkpoint)
            except ArtifactError as error:
                problem = error
            structure = artifact.structure(checkpoint, weights, self.progress)
            first = first or beside.take(self.progress) or first_checks.here(artifact, checkpoint, self.progress)
            self.found.rungs += [*first, structure]
        if weights is None:
            raise problem or ArtifactError(f"The weights of {artifact.path} cannot be read.")
        tokenizer_pair.forget()
        self.pair.release()
        return weights

    def _quick(self, passes: TorchPasses) -> None:
        with self.found.timed("reference"):
            reference = passes.reference(self.ids, self.ask.reference_dtype)
        self.found.peaks = reference.peaks
        piece = [token for ids in self.ids for token in ids][:QUICK]
        with self.found.timed("the artifact's own weights"):
            own = passes.own([piece])
            expected = own.head.logits(own.states[0])
        del own  # its head is float32: half a GB with 150,000 tokens
        scores, at = Scores(), 0
        with self.found.timed("artefact"), self._runtime(accurate=True) as runtime:
            for made in runtime.logits(piece):
                stop = at + len(made)
                scores.add(expected[at:stop], made, np.array(piece[at + 1 : stop + 1], np.int64))
                at = stop
            del expected, made  # 80 MB each with 150,000 tokens
            self._compare(runtime, reference, None)
        self.found.compare("conversion", "torch float32 on the artifact's weights", runtime.name, [scores])
        if self.rounds and self.pair.artifact.bits >= 16:
            with self.found.timed("noise floor"):
                self._noise(reference, passes)
        left_out = [n for n in verdict.order(takes_images=self.pair.takes_images) if n in verdict.SLOW]
        self.found.rungs += [Check(name=name, status="skipped", summary="left out by --quick") for name in left_out]

    def _full(self, passes: TorchPasses) -> None:
        ends = [self.pair.checkpoint.config.get("max_position_embeddings"), self.pair.artifact.context]
        end = min((end for end in ends if end), default=None)
        probes = Probes.of(self.ids, end, LONG, switch_of(self.pair.checkpoint.config))
        self.found.notes += probes.notes
        with self.found.timed("reference"):
            reference = passes.reference(self.ids, self.ask.reference_dtype)
        self.found.peaks = reference.peaks
        with self.found.timed("the artifact's own weights"):
            own = passes.own([*self.ids, *probes.texts], firsts=[0] * len(self.ids) + probes.firsts)
        with self.found.timed("noise floor"):
            self._noise(reference, passes)
        answering = Answering(self.pair, self.suite, self.tokenizer, self.progress, self.found)
        answering.ask_pipeline(self.ask.device)
        with self._runtime(accurate=True) as runtime:
            with self.found.timed("artefact"):
                self._compare(runtime, reference, own)
                long = self._long_context(runtime, own, probes)
            with self.found.timed("decode and generate"):
                self._decode(runtime, own, probes, long)
                answering.ask(runtime)
            kept = logits.Kept(runtime, self.share)
        with contextlib.closing(kept), self.found.timed("defaults"), self._runtime(accurate=False) as runtime:
            prefilled, stepped = logits.apart_from(kept, runtime, self.share, self.progress)
            answering.ask_defaults(runtime)
        defaults = f"defaults of {self.ask.device}"
        self.found.compare("runtime", "reference precision", defaults, prefilled)
        self.found.compare("runtime_decode", "reference precision", defaults, stepped)
        answering.judge(passes)
        if self.pair.takes_images:
            self._see(passes)
        elif self.pair.parts:
            self.found.notes.append("The checkpoint has a vision part; the language model alone was measured.")

    def _decode(self, runtime: Runtime, own: PassResult, probes: Probes, long: Scores) -> None:
        """Run the artifact as it is used: token by token, in a batch, deep in its cache, at the end of its positions."""
        started = time.perf_counter()
        limit = {name: budget.limit(self.pair.artifact.graph, name) for name in ("decode", "long_context")}
        pieces = [
            piece for at in range(0, 3 * decode.TOKENS, decode.TOKENS) if (piece := probes.row[at:][: decode.TOKENS])
        ]
        parts = [
            decode.cached(runtime, pieces, self.progress, limit=limit["decode"]),
            *batched.check(runtime, probes.row, limit["decode"], self.progress),
            *deep.steps(long, probes.chunk, limit["long_context"]),
            *deep.far(runtime, probes, own.head, own.states[-2:], limit["long_context"]),
        ]
        self.found.rungs.append(decode.as_check(parts, time.perf_counter() - started))

    def _see(self, passes: TorchPasses) -> None:
        reason = self.pair.artifact.vision_left_out
        if reason:
            self.found.rungs += [Check(name=name, status="skipped", summary=reason) for name in verdict.VISION]
            self.found.notes.append(reason)
            return
        pair, pictures, progress = self.pair, self.suite.pictures, self.progress
        with self.found.timed("pictures"):
            checks = VISION_CHECKS[pair.artifact.format](pair.artifact, pictures, passes, self.ask.device, progress)
            seen = checks.look(noise=self.found.noise_of_bfloat16())
        self.found.rungs += seen.checks
        self.found.generations += seen.captions
        self.found.lines, self.found.deviations = seen.lines, seen.deviations
        self.found.compare("picture_conversion", "torch float32 on the artifact's weights", seen.name, seen.conversion)
        self.found.compare("picture_quantisation", "torch float32 on the checkpoint", seen.name, seen.quantization)
        if seen.runtime:
            self.found.compare("picture_runtime", "reference precision", f"defaults of {self.ask.device}", seen.runtime)

    def _compare(self, runtime: Runtime, reference: PassResult, own: PassResult | None) -> None:
        names = [(document.name, document.kind) for document in self.documents]
        colors = logits.Colors(names, self.ids, lambda token: shown(self.tokenizer, token))
        sides = [(made.head, made.states) for made in (own, reference) if made]
        scores = logits.against(
            runtime, self.ids, sides, self.progress,
            label="Comparing logits", watch=colors.watch, settled=self.pair.release,
        )  # fmt: skip
        self.found.colored = colors.scores()
        if own:
            self.found.compare("conversion", "torch float32 on the artifact's weights", runtime.name, scores[0])
        self.found.compare(
            "quantisation", f"torch {self.ask.reference_dtype} on the checkpoint", runtime.name, scores[-1]
        )

    def _long_context(self, runtime: Runtime, own: PassResult, probes: Probes) -> Scores:
        ((scores,),) = logits.against(
            runtime, [probes.long], [(own.head, own.states[len(self.ids) :])], self.progress,
            label="Long context", chunk=probes.chunk,
        )  # fmt: skip
        self.found.compare("long_context", "torch float32 on the artifact's weights", runtime.name, [scores])
        return scores

    def _noise(self, reference: PassResult, passes: TorchPasses) -> None:
        """Measure what bfloat16 does to the reference; a float artifact where something rounds may differ by as much."""
        own = self.ask.reference_dtype
        other = "float32" if own == "bfloat16" else "bfloat16"
        rounded = passes.reference(self.share, other, f"reference in {other}")
        states = [made[: len(ids)] for made, ids in zip(reference.states, self.share, strict=True)]
        scores = logits.heads_apart((reference.head, states), (rounded.head, rounded.states), self.share)
        self.found.compare("noise_floor", f"torch {own}", f"torch {other}", scores)
        if self.rounds:
            self.budgets = budget.rounded(self.budgets, self.found.comparisons[-1])

    @contextlib.contextmanager
    def _runtime(self, *, accurate: bool) -> Iterator[Runtime]:
        runtime = self.pair.artifact.runtime(self.ask.device, self.progress, accurate=accurate)
        self.pair.release()  # most runtimes have copied the weights into an order of their own
        try:
            yield runtime
        finally:
            runtime.close()
