"""`edgeconv frontier`: size against KL of many ways of compressing one model."""

from __future__ import annotations

from ..study.options import FrontierOptions
from .declared import takes
from .measured import require_free, show
from .output import Output


@takes(FrontierOptions)
def frontier(asked: FrontierOptions, out: Output) -> None:
    """Convert a model in many ways, measure each, and show size against KL: one table, one picture.

    Every artifact is made in a scratch folder, measured as `edgeconv validate --quick` measures, and removed. The reference runs
    once. Each point is kept as it is made: a run that was stopped goes on, and further points add to those that are there.
    """
    from ..study.frontier import report
    from ..study.frontier.run import run

    require_free(report, asked.output)
    with out.working() as progress:
        found = run(asked, progress)
    show(out, found, report, asked.output)
