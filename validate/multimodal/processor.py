"""What transformers' own processor makes of a conversation with pictures: the truth for pixels, ids and places.

Its pictures are processed by Pillow, as the makers of most checkpoints did, and as converted models do; its tokenizer is the
reference's (`core.hf_tokenizer`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError, UsageError
from ...core.foreign_code import block_foreign_code
from ...core.hf_tokenizer import open_tokenizer
from .conversations import Turn

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
_IDS, _MASK = "input_ids", "attention_mask"
OF_TOKENS = ("token_type_ids", "mm_token_type_ids")
"""What a processor gives for each token beside its id: whether it is of a picture."""


@dataclass(frozen=True)
class Made:
    """What a processor makes of a conversation.

    Attributes:
        ids: of its tokens, with placeholders.
        arrays: all else but the mask, as the model takes it.
    """

    ids: list[int]
    arrays: Arrays

    @property
    def pixels(self) -> Arrays:
        """What is of pictures, not of tokens."""
        return {name: array for name, array in self.arrays.items() if name not in OF_TOKENS}

    @property
    def types(self) -> Arrays:
        """What is of each token: int64 [n]."""
        return {name: array[0].astype(np.int64) for name, array in self.arrays.items() if name in OF_TOKENS}


class Processor:
    """transformers' processor of a checkpoint."""

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            CheckpointError: the folder's files make none.
            UsageError: transformers wants a package for it.
        """
        block_foreign_code()
        self._folder = folder
        self._tokenizer = open_tokenizer(folder)  # before transformers reads the same files: it refuses hostile ones
        try:
            self._processor = _opened(folder)
        except ImportError as error:
            lines = str(error).strip().splitlines()
            raise UsageError(
                f"transformers' processor of {folder.name} needs another package: {' '.join(lines)[:300]}",
                "It is what pictures are compared with; install the package.",
            ) from error
        except Exception as error:  # each processor has checks of its own
            raise self._problem("opened", error) from error
        self._processor.tokenizer = self._tokenizer

    def __call__(self, turns: Sequence[Turn]) -> Made:
        """Process a conversation up to where the assistant begins. Raises CheckpointError if the processor fails."""
        from transformers.utils import logging

        said = logging.get_verbosity()
        logging.set_verbosity_error()  # of a picture three pixels high it says that its axes may be others
        try:
            text, pictures = self._rendered(turns), [one for turn in turns for one in turn.pictures]
            begin = self._tokenizer.bos_token
            made = self._processor(
                text=[text],
                images=[pictures] if pictures else None,
                return_tensors="pt",
                **({"add_special_tokens": False} if begin and text.startswith(begin) else {}),
            )
        except Exception as error:  # likewise, and templates are programs
            raise self._problem("run", error) from error
        finally:
            logging.set_verbosity(said)
        arrays = {name: value.numpy() for name, value in made.items() if name != _MASK}
        return Made(arrays.pop(_IDS)[0].tolist(), arrays)

    def _rendered(self, turns: Sequence[Turn]) -> str:
        """Render a conversation by the processor's own template, in the process for templates."""
        messages = [turn.message for turn in turns]
        template = self._processor.chat_template or self._tokenizer.chat_template
        return str(
            self._tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        )

    def _problem(self, what: str, error: Exception) -> CheckpointError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return CheckpointError(
            f"transformers' processor of {self._folder.name} cannot be {what}: {lines[-1].strip().rstrip('.')}.",
            "Its small files are damaged, or of another model; download them again.",
        )


def _opened(folder: Path) -> Any:
    from transformers import AutoImageProcessor, AutoProcessor
    from transformers.models.smolvlm import processing_smolvlm

    if processing_smolvlm.num2words is None:  # a package that speaks the numbers of video frames; there are none here
        processing_smolvlm.num2words = str
    made = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    made.image_processor = AutoImageProcessor.from_pretrained(
        folder, backend="pil", local_files_only=True, trust_remote_code=False
    )
    return made
