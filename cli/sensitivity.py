"""`edgeconv sensitivity`: which parts of a model compression hurts."""

from __future__ import annotations

from ..study.options import SensitivityOptions
from .declared import takes
from .measured import require_free, show
from .output import Output


@takes(SensitivityOptions)
def sensitivity(asked: SensitivityOptions, out: Output) -> None:
    """Measure what compressing one part of a model costs: KL(reference ‖ that part compressed), a part at a time.

    A weight is quantized as the artifact would hold it, and runs in torch. The reference's activations before each layer are
    kept, so that a part costs the layers behind it only. Each figure is kept as it is made: a run that was stopped goes on.
    """
    from ..study.sensitivity import report
    from ..study.sensitivity.run import run

    require_free(report, asked.output)
    with out.working() as progress:
        found = run(asked, progress)
    show(out, found, report, asked.output)
