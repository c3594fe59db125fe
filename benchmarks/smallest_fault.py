"""The smallest wrong rotary base and the smallest wrong RMS epsilon that the validator still catches.

    python -m benchmarks.smallest_fault [--model DIR] [--precision int8]

The model (the built-in one by default) is converted with a changed config.json and held against the sound checkpoint, with
changes that halve until one passes. Prints, for each change, the check that fails and the errors that it measures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

FIELDS = {"rope_theta": 1e-3, "rms_norm_eps": 0.5}
"""Where the halving begins, as a share of the value."""


def main() -> None:
    """Halve each change until it passes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--max-tokens", type=int, default=1500)
    arguments = parser.parse_args()
    from edgeconv import builtin

    model = arguments.model or Path(builtin.__file__).parent / "glm_tiny"
    for name, share in FIELDS.items():
        while _caught(model, name, share, arguments.precision, arguments.max_tokens):
            share /= 2  # noqa: PLW2901 - halved until it passes


def _caught(model: Path, name: str, share: float, precision: str, max_tokens: int) -> bool:
    from edgeconv.convert.conversion import Job, run
    from edgeconv.quantize.scheme import Request
    from edgeconv.validate.parity import Ask, validate

    with tempfile.TemporaryDirectory() as work:
        spoilt = shutil.copytree(model, Path(work) / "model")
        config = spoilt / "config.json"
        config.write_text(json.dumps(_changed(json.loads(config.read_text()), name, share)))
        out = run(Job(str(spoilt), Request(precision), output=Path(work) / "out")).path
        report = validate(Ask(out, reference=str(model), max_tokens=max_tokens))
    errors = {c.name: c.figures["max_abs_logit"].value for c in report.comparisons}
    print(
        f"{name} × (1 + {share:.3g}): {report.first_failed or 'passed'}; max |Δlogit| {errors['conversion']:.2g}, "
        f"long context {errors['long_context']:.2g}",
        flush=True,
    )
    return report.verdict == "failed"


def _changed(config: dict[str, Any], name: str, share: float) -> dict[str, Any]:
    rope = config.get("rope_parameters") or {}
    place = rope if name in rope else config
    place[name] = place[name] * (1 + share)
    return config


if __name__ == "__main__":
    main()
