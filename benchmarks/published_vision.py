"""Sizes of published models that take pictures, as their config.json states them (published_vision.json).

Tokens, template and processor are those of the tests' tiny checkpoints of each family, with the sizes of the published processor;
the language model's vocabulary has as many rows as the published one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .published import Published

TABLE = Path(__file__).with_name("published_vision.json")


@dataclass(frozen=True)
class PublishedVision(Published):
    """A checkpoint of one of these models.

    Attributes:
        kind: of the tests' tiny checkpoints, whose tokens and template it has.
        preprocessor: what preprocessor_config.json states beside theirs.
        processor: the same of processor_config.json.
    """

    kind: str = ""
    preprocessor: dict[str, Any] = field(default_factory=dict)
    processor: dict[str, Any] = field(default_factory=dict)

    takes_images = True

    @property
    def vocab(self) -> int:
        """The number of tokens."""
        return int(self.fields["text_config"]["vocab_size"])

    def config(self) -> dict[str, Any]:
        """Return config.json, which names tokens by their ids."""
        from tests.models.tiny_vlm import FAMILIES

        named = {
            name: value
            for name, value in FAMILIES[self.kind].items()
            if "token" in name and name.endswith(("_id", "_index"))
        }
        return named | super().config()

    def write_files(self, folder: Path) -> None:
        """Write tokenizer, template and the processor's files."""
        from tests.models.tiny_vlm_files import FILES

        FILES[self.kind].write(folder)
        for name, more in (("preprocessor_config.json", self.preprocessor), ("processor_config.json", self.processor)):
            path = folder / name
            if path.is_file():
                path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | more, indent=2) + "\n", "utf-8")


def published_vision() -> dict[str, PublishedVision]:
    """Return them by name."""
    table = json.loads(TABLE.read_text("utf-8"))
    return {
        name: PublishedVision(one["config"], one["files"], one["preprocessor"], one["processor"])
        for name, one in table.items()
    }
