"""How a GGUF with a mmproj sees: pictures as llama.cpp takes them, and prompts in which it says how many places they fill.

The file's own template writes the conversation; in the place of what it writes for a picture stands what llama.cpp's multimodal
library makes of one: its tiles, their rows, and the tokens around them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..convert import families
from ..convert.families.glm_edge_v_model.facts import PLACEHOLDER, image_tokens
from ..convert.gguf.read import GgufFile
from ..convert.program.mmproj_spec import Mmproj, Seen
from ..convert.program.vision import PIXELS, Rows
from ..core.errors import ArtifactError, UsageError
from ..core.picture_task import upright_rgb
from .cached import Picture
from .llama_cpp_prompt import GgufPrompter
from .prompt import Message
from .vision_processor import GlmEdgeVisionProcessor, VisionProcessor

if TYPE_CHECKING:
    from PIL import Image

_CONVERT = "Convert the checkpoint again."
_BETWEEN = "\0"
"""What stands between the parts of a prompt while it is put together; no template writes it."""


@dataclass(frozen=True)
class LlamaCppVisionProcessor:
    """That of any projector that says how prompts are written for it.

    Attributes:
        prompter: chat template and tokenizer.
        seen: how pictures are written, and prepared.
        side: of the square that a picture is stretched to; 0: llama.cpp prepares it.
        placeholder: a token that no text holds, in whose places a picture's stand.
        look: a picture → its rows, which llama.cpp counts.
    """

    prompter: GgufPrompter
    seen: Seen
    side: int
    placeholder: int
    look: Callable[[Picture], Rows]

    def picture(self, picture: Image.Image) -> Picture:
        """Prepare an opened picture: upright, on white, and of the tower's size where llama.cpp would fit it otherwise."""
        upright = upright_rgb(picture)
        if self.side:
            upright = upright.resize((self.side, self.side), self.seen.stretch)
        return Picture({PIXELS: np.asarray(upright)})

    def prompt(self, messages: list[Message], pictures: Sequence[Picture]) -> list[int]:
        """Return the ids of a conversation, with a placeholder for each token of its pictures, those around the rows included.

        Raises:
            ArtifactError: llama.cpp does not see with the mmproj.
            UsageError: a text holds what stands for pictures.
        """
        before, behind = self.seen.around
        text = self.prompter.render(messages).replace(self.seen.written, f"{before}{_BETWEEN}{behind}")
        first, *others = text.split(_BETWEEN)
        ids = [self.prompter.begin(first), *map(self.prompter.encode, others)]
        if len(ids) - 1 != len(pictures) or any(self.placeholder in part for part in ids):
            raise UsageError(
                f"The prompt holds {self.seen.written} {len(ids) - 1} times, for {len(pictures)} pictures.",
                f"Leave {self.seen.written} out of the text, and give pictures as pictures.",
            )
        made = list(ids[0])
        for picture, part in zip(pictures, ids[1:], strict=True):
            made += [self.placeholder] * len(self.look(picture).rows) + part
        return made


def vision_processor_of(
    file: GgufFile, projector: GgufFile, prompter: GgufPrompter, look: Callable[[Picture], Rows]
) -> VisionProcessor:
    """Return how a mmproj sees.

    Args:
        file: the language model.
        projector: the mmproj.
        prompter: template and tokenizer of the language model.
        look: as of `LlamaCppVisionProcessor`.

    Raises:
        ArtifactError: it is of a type that is not known, it does not say how it sees, or the language model has no placeholder.
    """
    declared = _declared(projector)
    try:
        if declared.seen is None:
            return _glm_edge(file, projector, prompter)
        side = int(projector.keys["clip.vision.image_size"]) if declared.seen.stretch is not None else 0
        placeholder = list(file.keys["tokenizer.ggml.tokens"]).index(declared.seen.placeholder)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{projector.path.name} and {file.path.name} do not say how the model sees.", _CONVERT
        ) from error
    return LlamaCppVisionProcessor(prompter, declared.seen, side, placeholder, look)


def _declared(projector: GgufFile) -> Mmproj:
    keys: Any = projector.keys
    kind = str(keys.get("clip.projector_type", keys.get("clip.vision.projector_type", "")))
    found = families.projector(kind)
    if found is None:
        raise ArtifactError(
            f"{projector.path.name} is a projector of type {kind!r}; known are {', '.join(families.projectors())}.",
            _CONVERT,
        )
    return found


def _glm_edge(file: GgufFile, projector: GgufFile, prompter: GgufPrompter) -> GlmEdgeVisionProcessor:
    """Give squares that llama.cpp need not resize, for its own resizing is another than the model's."""
    from ..convert.families.glm_edge_v_model.pixels import Preprocess

    keys = projector.keys
    size, patch = int(keys["clip.vision.image_size"]), int(keys["clip.vision.patch_size"])
    mean, std = (tuple(map(float, keys[f"clip.vision.image_{name}"])) for name in ("mean", "std"))
    placeholder = list(file.keys["tokenizer.ggml.tokens"]).index(PLACEHOLDER)
    return GlmEdgeVisionProcessor(
        prompter, Preprocess(size, mean, std), image_tokens(size, patch), placeholder, as_canvas=True
    )
