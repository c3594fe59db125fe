"""llama.cpp with its multimodal library, run as a process of its own: `python -m ….llama_cpp_vision_process FOLDER`.

`llama_cpp_vision` starts it. It is a process because the library writes dozens of lines to stderr that cyllama has no callback
for, and because a failed assertion ends it. FOLDER holds job.json and pictures; results go there too, one set of files a view.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ArtifactError, UsageError
from .llama_cpp import BATCH, LlamaCppRuntime
from .llama_cpp_binding import binding, threads

Array = npt.NDArray[Any]
JOB = "job.json"
SEEN = "seen"
"""The line that is printed when a view is done."""
_FLASH = {True: 0, False: -1}
"""`enum llama_flash_attn_type`: disabled, and the library's own default, which chooses."""


class VisionLanguageRuntime(LlamaCppRuntime):
    """A language model and the tower that is its eyes."""

    def __init__(self, path: Path, projector: Path, *, accurate: bool) -> None:
        """Load both.

        Args:
            path: the language model; of a split one the first part.
            projector: mmproj-*.gguf.
            accurate: plain attention in both halves, and a cache in float32.

        Raises:
            ArtifactError: llama.cpp does not load one of them.
        """
        super().__init__(path, accurate=accurate)
        parameters = binding().MtmdContextParams(use_gpu=False, n_threads=threads())
        parameters.flash_attn_type = _FLASH[accurate]
        try:
            self._tower: Any = binding().MtmdContext(str(projector), self._model, parameters)
        except (OSError, RuntimeError, ValueError) as error:
            raise ArtifactError(f"llama.cpp does not load {projector}: {error}") from error

    def bitmap(self, source: Path) -> Any:
        """Give a picture to the library: an .npy with uint8 [height, width, 3], or any file that it decodes itself."""
        if source.suffix != ".npy":
            return binding().MtmdBitmap.from_file(self._tower, str(source))
        pixels = np.load(source)
        return binding().MtmdBitmap.create_image(pixels.shape[1], pixels.shape[0], pixels.tobytes())

    def chunks(self, text: str, bitmaps: Sequence[Any], *, special: bool = True) -> Any:
        """Cut a prompt with a marker for each picture into chunks. They are valid as long as the result is kept."""
        return self._tower.tokenize(text, list(bitmaps), special, True)

    def rows(self, chunks: Any, hidden: int) -> Array:
        """Return what tower and projector make of all pictures, and all their tiles: float32 [rows, hidden]."""
        found = []
        for chunk in chunks:
            if chunk.type == binding().MtmdInputChunkType.IMAGE:
                if self._tower.encode_chunk(chunk):
                    raise ArtifactError("llama.cpp fails on a picture.")
                made = self._tower.get_output_embeddings(chunk.n_tokens, hidden)
                found.append(np.array(made, np.float32).reshape(-1, hidden))
        if not found:
            raise ArtifactError("llama.cpp finds no picture in the prompt.")
        return np.concatenate(found)

    def answer(
        self, chunks: Any, count: int, stop: Sequence[int], follow: Sequence[int] | None
    ) -> tuple[list[int], Array]:
        """Read a prompt and answer it.

        Args:
            chunks: of the prompt.
            count: tokens at most.
            stop: ids that end the answer.
            follow: the answer that is to be read instead of choosing greedily; None: choose.

        Returns:
            The answer, and the logits float32 [n + 1, vocab] before each of its tokens and behind the last.
        """
        self._start(
            sum(chunk.n_tokens for chunk in chunks) + count + 1
        )  # of M-RoPE fewer positions than places in the cache
        past = int(self._tower.eval_chunks(self._context, chunks, 0, 0, BATCH, True))
        made: list[int] = []
        logits = [self._last()]
        while len(made) < (count if follow is None else len(follow)):
            made.append(int(np.argmax(logits[-1])) if follow is None else follow[len(made)])
            self._decode(made[-1:], past + len(made) - 1, every=False)
            logits.append(self._last())
            if follow is None and made[-1] in stop:
                break
        return made, np.stack(logits)

    def close(self) -> None:
        """Give the memory back; the tower first, which points into the model."""
        self._tower.close()
        super().close()

    def _last(self) -> Array:
        return np.array(self._context.get_logits_ith(-1), np.float32)


def chunk_list(chunks: Any) -> list[dict[str, Any]]:
    """Describe chunks: `ids` of text; of a picture `tokens`, the rows that it fills, and `positions`, how far it moves on."""
    image = binding().MtmdInputChunkType.IMAGE
    return [
        {"tokens": chunk.n_tokens, "positions": chunk.n_pos}
        if chunk.type == image
        else {"ids": list(chunk.get_text_tokens())}
        for chunk in chunks
    ]


def run(folder: Path) -> None:
    """Do what job.json says.

    Raises:
        ArtifactError: llama.cpp does not load a file, or fails on a picture.
    """
    job = json.loads((folder / JOB).read_text("utf-8"))
    marker = binding().get_default_media_marker()
    runtime = VisionLanguageRuntime(Path(job["model"]), Path(job["projector"]), accurate=job["accurate"])
    for number, view in enumerate(job["views"]):
        bitmaps = [runtime.bitmap(Path(source)) for source in view["sources"]]
        text = view["text"] or marker * len(bitmaps)
        chunks = runtime.chunks(text, bitmaps, special=view["special"])
        np.save(folder / f"rows-{number}.npy", runtime.rows(chunks, job["hidden"]))
        found: dict[str, Any] = {"chunks": chunk_list(chunks), "made": []}
        if view["text"]:
            found["made"], logits = runtime.answer(chunks, job["count"], job["stop"], view["follow"])
            np.save(folder / f"logits-{number}.npy", logits)
        (folder / f"found-{number}.json").write_text(json.dumps(found), "utf-8")
        print(SEEN, flush=True)
    runtime.close()


def main(folder: Path) -> int:
    """Run a job; what is wrong goes to stderr."""
    try:
        run(folder)
    except (ArtifactError, UsageError) as error:
        print(error.message, file=sys.stderr)
        return 1
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
