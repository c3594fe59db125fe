"""Coverage-guided fuzzing by atheris: `python -m tests.fuzz.coverage TARGET SECONDS`, or `make fuzz-coverage` for all.

atheris (PyPI, for CPython 3.11) is asked for by nothing else: `pip install atheris==3.0.0`. It watches which branches
of edgeconv a file reaches and keeps those files that reach new ones. What breaks a target is written to `crash-*` in
the working directory; the small file that remains of it goes to corpus/TARGET, which test_corpus.py replays.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]

CORPUS = Path(__file__).with_name("corpus")


CHANGES = b"\xff"
"""A file that begins so, as none of ours does, stands for changes to a sound one (`mutate`), which remain JSON or YAML."""


def main() -> None:
    """Fuzz one target for some seconds; the last line says how many files it was given."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    root = Path(tempfile.mkdtemp(prefix="edgeconv-fuzz-"))
    with atheris.instrument_imports(include=["edgeconv"], enable_loader_override=False):
        from . import small_targets, targets

        kind = {target.name: target for target in (*targets.ALL, *small_targets.SMALL)}[name]
        target = kind(root)
        target.run(target.made(1, []))  # the readers import what they need when they are first called
    seeds = root / "seeds"
    seeds.mkdir()
    for number, content in enumerate([target.made(1, []), *target.attacks.values(), *_kept(name)]):
        (seeds / str(number)).write_bytes(content)

    for number in range(8):
        (seeds / f"changes{number}").write_bytes(CHANGES + bytes([number, number, 7, number * 31, number * 17, 3]))

    def one(content: bytes) -> None:
        if content[:1] == CHANGES and len(content) > 1:
            content = target.made(
                content[1] % 60, list(struct.iter_unpack("<BHH", content[2 : 2 + (len(content) - 2) // 5 * 5]))
            )
        target.run(content)

    options = [
        f"-max_total_time={seconds}",
        "-rss_limit_mb=4096",
        "-timeout=20",
        "-max_len=65536",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(seeds)], one)
    print(json.dumps({"target": name, "seeds": len(list(seeds.iterdir()))}), flush=True)
    atheris.Fuzz()


def _kept(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name.replace(" ", "-")).glob("*"))]


if __name__ == "__main__":
    main()
