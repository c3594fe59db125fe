"""`python -m tests.golden [NAME …]`: compare the outputs of edgeconv with the corpus, or write it anew. `make golden`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the libraries load, which count threads then

from . import expected, normal
from .cases import Case, cases
from .workshop import Workshop

KEPT = Path("golden-out")


def main() -> int:
    """Run the cases that were asked for. Returns 1 if one differs, 2 if none was meant."""
    options = _options()
    chosen = [case for case in cases() if _meant(case, options)]
    if not chosen:
        sys.stderr.write("No case has that in its name.\n")
        return 2
    shutil.rmtree(options.keep, ignore_errors=True)
    started, different, changed = time.time(), 0, 0
    with tempfile.TemporaryDirectory(prefix="golden-") as root:
        workshop = Workshop(Path(root), options.keep)
        for group in dict.fromkeys(case.group for case in chosen):
            own = [case for case in chosen if case.group == group]
            told = {case: _compared(workshop, case, update=options.update) for case in own}
            different += sum(bool(lines) for lines in told.values())
            changed += _forget(group) if options.update else 0
    if options.update:
        expected.write(expected.VERSIONS, normal.versions())
    print(
        f"{len(chosen)} cases, {different} {'changed' if options.update else 'different'}, {time.time() - started:.0f} s"
    )
    if different and not options.update:
        print(_advice(options.keep))
    return int(bool(different) and not options.update)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("name", nargs="*", help="only cases with one of these in their names, e.g. 'llama: gguf'")
    parser.add_argument("--update", action="store_true", help="write what is found into tests/golden/expected")
    parser.add_argument("--fast", action="store_true", help="only the slice that runs in CI")
    parser.add_argument("--new", action="store_true", help="only cases that have no expectations yet")
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    parser.add_argument("--keep", type=Path, default=KEPT, metavar="DIR", help=f"what is compared, as files ({KEPT})")
    options = parser.parse_args()
    if options.list:
        print("\n".join(case.name for case in cases() if _meant(case, options)))
        sys.exit(0)
    return options


def _meant(case: Case, options: argparse.Namespace) -> bool:
    if (options.fast and not case.fast) or (options.new and case.line in expected.read(case.group)):
        return False
    return not options.name or any(name in case.name for name in options.name)


def _compared(workshop: Workshop, case: Case, *, update: bool) -> list[str]:
    """Run a case and say what differs; with `update` write it down at once, so that nothing is lost if the run is stopped."""
    with workshop.open():
        found = workshop.run(case)
    known = expected.read(case.group)
    told = expected.differences(known.get(case.line), found)
    print(f"{'≠' if told else '='} {case.name}", flush=True)
    for line in told if not update else ():
        print(f"    {line}")
    if update and found.get("kind") == "fault":
        print(f"    not written, for a fault is nothing to expect: {found['message']}", flush=True)
    elif update and told:
        expected.write(case.group, known | {case.line: found})
    return told


def _forget(group: str) -> int:
    """Leave out what the corpus has no longer, in the order of the corpus. Returns how many cases went."""
    known = expected.read(group)
    lines = [case.line for case in cases() if case.group == group]
    expected.write(group, {line: known[line] for line in lines if line in known})
    return len([line for line in known if line not in lines])


def _advice(keep: Path) -> str:
    before, now = expected.read(expected.VERSIONS), normal.versions()
    other = [f"{name} {now[name]} for {before.get(name)}" for name in now if now[name] != before.get(name)]
    told = [
        f"What was compared lies in {keep}. To see a difference, run the same cases with --keep BEFORE in a checkout of",
        f"the commit before, and `diff -r BEFORE {keep}`. If the change is wanted: `make golden-update`, said in the commit.",
        *([f"Libraries differ from the corpus's: {', '.join(other)}."] if other else []),
    ]
    return "\n".join(told)


if __name__ == "__main__":
    sys.exit(main())
