"""Where transformers' own `AutoTokenizer` gives other ids than the file: many tools, optimum among them, read a checkpoint so."""

from __future__ import annotations

from pathlib import Path

from .corpus import TEXTS
from .reference_tokenizer import ReferenceTokenizer
from .runtime_defects import Observed, RuntimeDefect


def differences(folder: Path, reference: ReferenceTokenizer, seen: Observed) -> None:
    """Encode the corpus with what AutoTokenizer makes of a folder, and note the texts that differ.

    Args:
        folder: with a tokenizer.json; without one there is nothing to hold it against.
        reference: what the file says.
        seen: takes the difference, as a defect of transformers.
    """
    if not (folder / "tokenizer.json").is_file():
        return
    from importlib.metadata import version

    from transformers import AutoTokenizer

    try:
        rebuilt = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 - each class has errors of its own; that it cannot be opened so is the finding
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
        effect = f"AutoTokenizer cannot open the checkpoint's tokenizer: {reason}"
        seen.add(RuntimeDefect("not opened", "transformers", version("transformers"), "every text", effect), "all")
        return
    texts = list(TEXTS.items())
    wanted = reference.encode_all([text for _, text in texts], special=True)
    got = ReferenceTokenizer(rebuilt).encode_all([text for _, text in texts], special=True)
    defect = RuntimeDefect(
        "rebuilt tokenizer",
        "transformers",
        version("transformers"),
        "texts read through AutoTokenizer",
        f"it opens the tokenizer as {type(rebuilt).__name__} and gives other ids than tokenizer.json, against which the artifact "
        "is held",
    )
    for (name, _), mine, other in zip(texts, wanted, got, strict=True):
        if mine != other:
            seen.add(defect, name)
