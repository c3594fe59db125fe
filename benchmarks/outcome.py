"""What comes out: size, KL and speed of the artifacts of both sides. Faster to a slower or worse file is not a win."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from edgeconv.study.bench import Task
from edgeconv.study.bench.child import prompt, runner
from edgeconv.study.bench.runner import Load
from edgeconv.validate.parity import Ask as Validation
from edgeconv.validate.parity import validate

from .gguf import OURS as GGUF_OURS
from .openvino import OURS, SCHEMES, THEIRS, optimum_command, ours_command
from .processes import ROOT, checkpoint, sizes, version
from .result import Figure, Result
from .setting import Setting

DECODING = Task(256, 64)
ROUNDS = 4
"""Turns of both sides for each pair that is asked for."""
TOKENS = 3000
SPEED = 0.98
"""The ratio of token rates that a result of ours may not fall below."""


def quality(setting: Setting, name: str, scheme: str) -> Result:
    """Convert a real model with both tools, and measure size, KL and token rate of both results."""
    if setting.model is None:
        raise SystemExit(f"{name} needs --model: a real checkpoint, of which KL can be measured")
    made = {side: setting.work / f"quality-{side}" for side in (OURS, THEIRS)}
    ours, theirs = SCHEMES[scheme]
    commands = {
        OURS: ours_command(setting.model, made[OURS], ours),
        THEIRS: optimum_command(setting.optimum_python, setting.model, made[THEIRS], theirs),
    }
    kl: dict[str, float] = {}
    for side, command in commands.items():
        shutil.rmtree(made[side], ignore_errors=True)
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
        ask = Validation(made[side], reference=str(setting.model), quick=True, max_tokens=TOKENS)
        quantization = next(c for c in validate(ask).comparisons if c.name == "quantisation")
        kl[side] = quantization.figures["mean_kl"].value
    figures = [
        Figure(
            "size of the .bin",
            "GB",
            *([sizes(made[side], "openvino_*model.bin")] for side in (OURS, THEIRS)),
            at_least=0.99,
        ),
        Figure("mean KL", "nats", [kl[OURS]], [kl[THEIRS]], at_least=0.999),
        *decoding(setting, made),
    ]
    for folder in made.values():
        shutil.rmtree(folder)
    title = f"{setting.model.name} at {scheme}: what comes out"
    peer = version(setting.optimum_python, "optimum-intel")
    return Result(name, title, f"python -m benchmarks {name} --model {setting.model.name}", peer, figures)


def rope(setting: Setting, name: str, size: str) -> Result:
    """Compare the token rate of `--rope fused` (as "ours") with that of the default order of rows."""
    source = checkpoint(setting.work, size)
    made = {order: setting.work / f"rope-{order}" for order in ("fused", "source")}
    for order, folder in made.items():
        shutil.rmtree(folder, ignore_errors=True)
        command = ours_command(source, folder, [*SCHEMES["int4"][0], "--rope", order])
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    figures = [
        dataclasses.replace(figure, name=f"{figure.name} ({words})")
        for backend, words in (("SDPA", "SDPA backend"), ("PA", "paged attention"))
        for figure in decoding(setting, made, at_least=None, attention=backend)
    ]
    for folder in made.values():
        shutil.rmtree(folder)
    note = "The left column is --rope fused, the right one the default; both are loaded, and decode in turn."
    return Result(
        name, f"{source.name}, int4: --rope fused", f"python -m benchmarks {name}", "the default", figures, [note]
    )


def gguf_speed(setting: Setting, name: str, size: str, file_type: str) -> Result:
    """Compare the token rate of our file in llama.cpp with that of llama.cpp's own."""
    from .gguf import THEIRS as LLAMA_CPP
    from .gguf import both

    source = checkpoint(setting.work, size)
    out = setting.work / "gguf-speed"
    made = dict(zip((GGUF_OURS, LLAMA_CPP), both(setting, name, source, file_type, out), strict=True))
    figures = [
        Figure("size of the file", "GB", *([path.stat().st_size / 1e9] for path in made.values()), at_least=0.99),
        *decoding(setting, made),
    ]
    shutil.rmtree(out)
    command = f"python -m benchmarks {name} --converter …/convert_hf_to_gguf.py"
    return Result(name, f"{source.name}, {file_type}: in llama.cpp", command, "llama.cpp", figures)


def decoding(
    setting: Setting, made: Mapping[str, Path], at_least: float | None = SPEED, attention: str | None = None
) -> list[Figure]:
    """Load both in one process and let them decode in turn, so that a slow minute of the machine falls on both."""
    rates: dict[str, list[float]] = {side: [] for side in made}
    firsts: dict[str, list[float]] = {side: [] for side in made}
    kind = "genai" if all(path.is_dir() for path in made.values()) else "llama.cpp"
    models = {side: runner(kind, Load(path, "CPU", None, attention)) for side, path in made.items()}
    for turn in range(-1, setting.pairs * ROUNDS):
        for side in list(made) if turn % 2 == 0 else list(made)[::-1]:
            model = models[side]
            timing = model.run(prompt(model.vocabulary, DECODING.read, turn), DECODING.made)
            if turn >= 0:  # the first one warms up
                rates[side].append(timing.tokens_per_second)
                firsts[side].append(timing.first_ms / 1000)
    return [
        Figure("token rate", "tokens/s", *rates.values(), more_is_better=True, at_least=at_least),
        Figure(f"first token, {DECODING.read} read", "s", *firsts.values()),
    ]
