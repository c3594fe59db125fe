"""Options that several formats have, so that they are spelled and explained alike everywhere."""

from pathlib import Path
from typing import Annotated

from ...core.option import Option
from ...quantize.modes import FALLBACKS, VISION_PRECISIONS

Model = Annotated[
    str,
    Option(
        "A Hub id, also as ID@REVISION, a checkpoint's folder, or a .gguf.",
        short="-m",
        metavar="ID|DIR|GGUF",
        section="source",
        recipe_help="A Hub id, or a folder.",
    ),
]
Revision = Annotated[
    str | None,
    Option(
        "Branch, tag or commit of the Hub's repository.",
        section="source",
        recipe_help="Branch, tag or commit; a commit makes every run the same.",
    ),
]
TrustRemoteCode = Annotated[bool, Option("Run Python code that comes with the checkpoint.", section="source")]
Folder = Annotated[Path | None, Option("Where the result goes.", short="-o", metavar="DIR", section="run")]
Force = Annotated[bool, Option("Replace a converted model that is there already.", section="run")]
LocalFilesOnly = Annotated[bool, Option("Use what was downloaded before; ask the Hub nothing.", section="run")]

Fallback = Annotated[
    str | None,
    Option(
        "What happens to a row that the group size does not divide: an error, left uncompressed, or a smaller group.",
        choices=FALLBACKS,
    ),
]
Ratio = Annotated[
    float | None,
    Option(
        "Share of the weights, 0 to 1, that get the precision; the rest get the backup.", metavar="R", least=0, most=1
    ),
]
Sym = Annotated[bool | None, Option("Quantize without or with a zero point.", flag="--sym/--asym")]
AllLayers = Annotated[bool | None, Option("Give embeddings and last layer the precision too.")]
TensorPrecision = Annotated[
    tuple[str, ...],
    Option(
        "Give weights whose names match int4_sym, int4_asym, int8_sym, int8_asym or none, whatever the rest gets. "
        "Repeatable; the first match decides.",
        metavar="REGEX=P[:GROUP]",
        point=False,
        recipe_help="REGEX=PRECISION[:GROUP] for single weights; the first that is found in a name decides.",
    ),
]
VisionPrecision = Annotated[
    str | None,
    Option(
        "What the weights of a vision encoder become; fp16 if they fit, beside a compressed model, else the model's.",
        choices=VISION_PRECISIONS,
        point=False,
    ),
]
