"""The validator's figures beside those of llama.cpp's own `llama-perplexity --kl-divergence`, on the same files and tokens.

The program scores the second half of each window of CONTEXT tokens, except the last position, which nothing follows. Its base
file holds log-probabilities in 16 bits of 16 nats, and tokens below e^-16 are left out: a thousandth of the mean KL here, all
but 2e-6 of the difference. It is another build, of other sources of llama.cpp, than the one that edgeconv runs (cyllama's).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.gguf.read import open_gguf
from edgeconv.convert.open_checkpoint import open_checkpoint
from edgeconv.core.progress import Silent
from edgeconv.runtimes import llama_cpp_binding
from edgeconv.runtimes.llama_cpp import LlamaCppRuntime
from edgeconv.runtimes.llama_cpp_tokenizer import LlamaCppTokenizer
from edgeconv.validate import metrics, suite
from edgeconv.validate.checks import logits
from edgeconv.validate.module_weights import checkpoint_tensors
from edgeconv.validate.reference import LayeredReference
from edgeconv.validate.scores import Scores

from ..models import llama_perplexity
from ..models.store import default_cache
from .gguf_files import write

pytestmark = pytest.mark.slow
CONTEXT = 256
CHUNKS = 8
FIRST, LAST = CONTEXT // 2, CONTEXT - 1
"""Positions that the program scores, the end excluded."""
LEFT_OUT = 16.0
TEXTS = ("udhr-en", "python-reference")
OPTIONS = (
    "--ctx-size", str(CONTEXT), "--batch-size", str(CONTEXT),
    "--flash-attn", "off", "--cache-type-k", "f32", "--cache-type-v", "f32",
)  # fmt: skip
"""Exact, as `LlamaCppRuntime(accurate=True)` asks for."""
KL_PERCENTILES = {
    "median_kl": "Median  KLD", "kl_90": "90.0%   KLD", "kl_95": "95.0%   KLD", "kl_99": "99.0%   KLD",
    "kl_99_9": "99.9%   KLD", "max_kl": "Maximum KLD",
}  # fmt: skip
DP_PERCENTILES = {"dp_1": "1.0%   Δp", "dp_5": "5.0%   Δp", "dp_95": "95.0%   Δp", "dp_99": "99.0%   Δp"}


@dataclass(frozen=True)
class Theirs:
    """What the program prints about a file."""

    printed: str

    def figure(self, label: str) -> float:
        """Return the number behind a label."""
        found = re.search(rf"^ *{re.escape(label)} *: +(-?[\d.]+)", self.printed, re.MULTILINE)
        assert found, f"llama-perplexity prints no {label!r}:\n{self.printed}"
        return float(found[1])


@dataclass(frozen=True)
class Asked:
    """The program with a base file: call it with a quantized file. `tokens` are those of the base file, int [CHUNKS, CONTEXT]."""

    program: Path
    base: Path
    tokens: np.ndarray

    def __call__(self, file: Path) -> Theirs:
        return Theirs(_run(self.program, file, "--kl-divergence", "--kl-divergence-base", str(self.base)))


@pytest.fixture(scope="module")
def program() -> Path:
    found = llama_perplexity.program(default_cache())
    if found is None:
        pytest.skip(llama_perplexity.MISSING)
    return found


@pytest.fixture(scope="module")
def files(program: Path, smollm2_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """SmolLM2 in float32 and as Q4_K_M."""
    folder = tmp_path_factory.mktemp("smollm2")
    return write(smollm2_llama, folder / "base.gguf", "f32"), write(smollm2_llama, folder / "q4_k_m.gguf", "q4_k_m")


@pytest.fixture(scope="module")
def in_float32(files: tuple[Path, Path]) -> Path:
    """The values of the Q4_K_M file, stored in float32."""
    base, quantized = files[0], open_gguf(files[1])
    made = Path(shutil.copy(base, base.with_name("in_float32.gguf")))
    assert open_gguf(made).tensors.keys() == quantized.tensors.keys()
    with made.open("r+b") as file:
        for name, info in open_gguf(base).tensors.items():
            values = quantized.dequantized(name)
            assert (info.type, info.bytes) == ("f32", values.nbytes)
            file.seek(info.offset)
            file.write(values.data)
    return made


@pytest.fixture(scope="module")
def asked(program: Path, files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("perplexity")
    text, base = folder / "text.txt", folder / "base.kld"
    texts = [document.text or "" for document in suite.load().documents if document.name.startswith(TEXTS)]
    text.write_text("\n\n".join(texts), encoding="utf-8")
    _run(program, files[0], "--file", str(text), "--chunks", str(CHUNKS), "--kl-divergence-base", str(base))
    tokens = _tokens_of(base)
    tokenizer = LlamaCppTokenizer(files[0])
    assert tokens.ravel().tolist() == tokenizer.encode(text.read_text(encoding="utf-8"), special=True)[: tokens.size]
    tokenizer.close()
    return Asked(program, base, tokens)


def _run(program: Path, model: Path, *options: str) -> str:
    threads = str(llama_cpp_binding.threads())
    command = [str(program), "--model", str(model), "--threads", threads, *OPTIONS, *options]
    quiet = os.environ | {"OMP_WAIT_POLICY": "passive"}  # threads that spin take minutes where other processes run too
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _tokens_of(base: Path) -> np.ndarray:
    with base.open("rb") as file:
        assert file.read(8) == b"_logits_"
        context, _vocabulary, chunks = np.fromfile(file, np.int32, 3).tolist()
        assert (context, chunks) == (CONTEXT, CHUNKS)
        return np.fromfile(file, np.int32, context * chunks).reshape(chunks, context)


@dataclass(frozen=True)
class Ours:
    """Our figures over the same positions, and the part of the mean KL, in nats, that lies on tokens below e^-16."""

    figures: dict[str, float]
    left_out: float


def ours(file: Path, checkpoint: Path, tokens: np.ndarray) -> Ours:
    """Score a file in llama.cpp beside the checkpoint in torch, as `edgeconv validate` does for the quantization error."""
    windows = tokens.tolist()
    reference = LayeredReference(checkpoint, checkpoint_tensors(open_checkpoint(checkpoint)), "float32")
    head, states = reference.head(), reference.hidden_states(windows, Silent(), "reference")
    runtime = LlamaCppRuntime(file)
    kept = logits.Kept(runtime, windows)
    runtime.close()
    documents, left_out = [], 0.0
    for ids, state, made in zip(windows, states, kept, strict=True):
        expected, found = head.logits(state[FIRST:LAST]), made[FIRST:LAST]
        documents.append(Scores())
        documents[-1].add(expected, found, np.array(ids[FIRST + 1 :], np.int64))
        p, q = (_log_probabilities(side) for side in (expected, found))
        left_out += float((np.exp(p) * (p - q))[p <= -LEFT_OUT].sum())
    kept.close()
    compared = metrics.compare("quantisation", "torch", "llama.cpp", documents)
    assert compared.tokens == CHUNKS * (LAST - FIRST)
    return Ours({name: estimate.value for name, estimate in compared.figures.items()}, left_out / compared.tokens)


def _log_probabilities(rows: np.ndarray) -> np.ndarray:
    shifted = rows.astype(np.float64) - rows.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def test_agrees(asked: Asked, in_float32: Path, smollm2_llama: Path) -> None:
    """Q4_K_M's weights, multiplied in float32: what is left between the two programs is how they reckon."""
    theirs, found = asked(in_float32), ours(in_float32, smollm2_llama, asked.tokens)
    kl, mean = found.figures["mean_kl"], theirs.figure("Mean    KLD")
    assert 0.05 < mean < 0.2
    assert kl == pytest.approx(mean, rel=1e-3)
    assert kl - found.left_out == pytest.approx(mean, rel=2e-5)
    assert found.figures["ppl_artefact"] == pytest.approx(theirs.figure("Mean PPL(Q)"), rel=1e-5)
    assert found.figures["ppl_reference"] == pytest.approx(theirs.figure("Mean PPL(base)"), rel=1e-5)
    assert found.figures["mean_dp"] == pytest.approx(theirs.figure("Mean    Δp"), abs=1e-3)
    assert found.figures["rms_dp"] == pytest.approx(theirs.figure("RMS Δp"), abs=1e-3)
    # the first choices of the base file may tie, for it rounds to 2.4e-4 nats: three positions of 1,016
    assert 100 * found.figures["top1"] == pytest.approx(theirs.figure("Same top p"), abs=0.3)
    for name, label in KL_PERCENTILES.items():  # tokens that are left out: some 1e-4 of a position
        assert found.figures[name] == pytest.approx(theirs.figure(label), abs=5e-4), label
    for name, label in DP_PERCENTILES.items():
        assert found.figures[name] == pytest.approx(theirs.figure(label), abs=2e-3), label


def test_agrees_on_the_file_itself(asked: Asked, files: tuple[Path, Path], smollm2_llama: Path) -> None:
    """As shipped, within what llama-perplexity differs from itself.

    A product with quantized weights rounds the activations to 8 bits, and another order of the same sums rounds them otherwise:
    on this file llama-perplexity says 0.0872, with --no-repack 0.0870, with its defaults for cache and attention 0.0875.
    """
    theirs, found = asked(files[1]), ours(files[1], smollm2_llama, asked.tokens)
    assert found.figures["mean_kl"] == pytest.approx(theirs.figure("Mean    KLD"), rel=2e-2)
    assert found.figures["ppl_artefact"] == pytest.approx(theirs.figure("Mean PPL(Q)"), rel=2e-2)
    assert 100 * found.figures["top1"] == pytest.approx(theirs.figure("Same top p"), abs=2)
