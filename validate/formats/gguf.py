"""A GGUF, edgeconv's own or another tool's, run by llama.cpp."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ...convert.checkpoint import Checkpoint
from ...convert.families import registry
from ...convert.gguf.read import GgufFile, open_gguf
from ...convert.gguf.recipe import FILE_TYPES
from ...core.cache_folder import part
from ...core.digest import sha256_file
from ...core.errors import ArtifactError
from ...core.manifest import Manifest
from ...core.progress import Progress
from ...runtimes import llama_cpp_binding
from ...runtimes.answers import require_cpu
from ...runtimes.inner_llama_cpp import InnerLlamaCpp
from ...runtimes.llama_cpp import LlamaCppRuntime
from ...runtimes.llama_cpp_projector import ProjectorFile, find
from ...runtimes.llama_cpp_tokenizer import LlamaCppTokenizer
from ...runtimes.llama_cpp_trial import require_runs
from ...runtimes.llama_cpp_vision import View, VisionRuntime
from ...runtimes.turns import Turn, converse
from ..checks import structure_gguf, template_gguf, tokens_gguf
from ..checks.weights import Findings
from ..report.model import Check
from ..weights import gguf_pixels
from ..weights.gguf import GgufWeights, bits
from ..weights.gguf_float32 import float32, needed
from ..weights.gguf_projector import BothHalves, ProjectorWeights
from .base import Messages
from .encoders import LlamaCppFile
from .manifest import digest_of, facts_of

Array = npt.NDArray[Any]
_LEFT_OUT = "so pixels, tower, merged prompts and captions were not measured."
_NUMBERS = {kind.number: name for name, kind in FILE_TYPES.items()}


class GgufArtifact:
    """Implements `base.Artifact`. A damaged file is an artifact too: the checks say what is wrong with it."""

    format = "gguf"
    pipeline = llama_cpp_binding.NAME
    pipeline_accurate = False
    packages: tuple[str, ...] = (llama_cpp_binding.PACKAGE,)

    def __init__(self, path: Path, manifest: Manifest | None, *, blind: bool = False) -> None:
        """Take a file, of a split one any part; `blind`: leave the vision part out.

        Raises:
            ArtifactError: there is none.
            UsageError: llama.cpp is not installed.
        """
        if not path.is_file():
            raise ArtifactError(f"There is no file {path}.", "Check the path.")
        llama_cpp_binding.require()
        self.path = path
        self.manifest = manifest
        self.projector, self._vision_left_out = (None, "") if blind else find(path, manifest)

    @cached_property
    def _opened(self) -> GgufFile | ArtifactError:
        try:
            return open_gguf(self.path)
        except ArtifactError as error:
            return error

    def file(self) -> GgufFile:
        """Return the open file. Raises ArtifactError."""
        if isinstance(self._opened, ArtifactError):
            raise self._opened
        return self._opened

    @property
    def takes_images(self) -> bool:
        """True if a mmproj belongs to it."""
        return self.projector is not None

    @property
    def vision_left_out(self) -> str | None:
        """Why its vision part is not measured."""
        return f"{self._vision_left_out}, {_LEFT_OUT}" if self._vision_left_out else None

    def without_vision(self) -> GgufArtifact:
        """Return its language model alone."""
        return GgufArtifact(self.path, self.manifest, blind=True)

    @cached_property
    def mode(self) -> str:
        """The type of the fewest bits in which a fifth of the parameters is stored."""
        return "unreadable" if isinstance(self._opened, ArtifactError) else _mode(self._opened)

    @property
    def tower_bits(self) -> int:
        """Whole bits of a weight of the vision part. Raises ArtifactError."""
        return bits(_mode(self._eye.file()))

    @property
    def bits(self) -> int:
        """Whole bits of a weight stored so."""
        return bits(self.mode) if self.mode != "unreadable" else 32

    @property
    def graph(self) -> str:
        """llama.cpp's; with the architecture behind it where that errs more, as its family's file says."""
        arch = "" if isinstance(self._opened, ArtifactError) else self._opened.arch
        family = registry.by_arch(arch)
        own = family.gguf.budgets if family and family.gguf else {}
        return f"{llama_cpp_binding.NAME} {arch}" if own else llama_cpp_binding.NAME

    @property
    def context(self) -> int | None:
        """By its key: the checkpoint's, or the width of a window that llama.cpp's graph lacks."""
        stated = None if isinstance(self._opened, ArtifactError) else self._opened.own("context_length")
        return stated if type(stated) is int and stated > 0 else None

    @cached_property
    def digest(self) -> str:
        """By the manifest, else that of the file's bytes."""
        if self.manifest:
            return digest_of(self.manifest)
        paths = [self.path] if isinstance(self._opened, ArtifactError) else list(self._opened.files)
        paths += [self.projector.path] if self.projector else []
        digests = [sha256_file(path) for path in paths]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    @property
    def facts(self) -> dict[str, str]:
        """How it is stored, and who made it."""
        facts = {"stored as": self.mode}
        if not isinstance(self._opened, ArtifactError):
            file = self._opened
            kind = _NUMBERS.get(file.keys.get("general.file_type", -1))
            weights = sum(info.size for info in file.tensors.values())
            stored = sum(info.bytes for info in file.tensors.values())
            facts |= {"file type": kind.upper()} if kind else {}
            facts |= {"architecture": file.arch, "bits per weight": f"{8 * stored / max(1, weights):.2f}"}
        if self.projector:
            facts["tower"] = (
                f"{self.projector.path.name}, {_mode(self.projector.file()) if self.projector.kind else '?'}"
            )
        return facts | facts_of(self.manifest)

    def require_device(self, device: str) -> None:
        """The packaged llama.cpp runs on the CPU."""
        require_cpu(device, "A GGUF", llama_cpp_binding.NAME)

    def weights(self, checkpoint: Checkpoint) -> GgufWeights | BothHalves:
        """Match its tensors with the checkpoint's."""
        language = GgufWeights(self.file(), checkpoint)
        if self.projector is None:
            return language
        return BothHalves(language, ProjectorWeights(self.projector.file(), checkpoint))

    def structure(self, checkpoint: Checkpoint, weights: Any | None, progress: Progress) -> Check:
        """Check 0."""
        if weights is None:
            weights = self._why_unreadable(checkpoint)
        return structure_gguf.check(self.path, self.manifest, checkpoint, weights, progress)

    def compare(self, checkpoint: Checkpoint, weights: Any, found: Findings, progress: Progress) -> None:
        """Compare its tensors."""
        structure_gguf.compare_all(checkpoint, weights, found, progress)

    def template(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Check 1."""
        return template_gguf.check(self.file, checkpoint, progress)

    def tokens(self, checkpoint: Checkpoint, progress: Progress) -> Check:
        """Check 2."""
        return tokens_gguf.check(self.file, self._tokenizer, checkpoint, progress)

    def runtime(self, device: str, progress: Progress, *, accurate: bool) -> LlamaCppRuntime:
        """Load it; without approximations its weights are de-quantized to float32 first, in a file that is gone at once."""
        if not accurate:
            return LlamaCppRuntime(self._runnable, accurate=False)
        with self._in_float32(progress) as whole:
            return LlamaCppRuntime(whole)  # it has mapped the file, and needs its name no more

    def encoder(self) -> LlamaCppFile:
        """The file."""
        return LlamaCppFile(self._runnable, self.file(), self._in_float32)

    def inner(self, device: str, layers: int, progress: Progress) -> InnerLlamaCpp:
        """Load it as `runtime` does without approximations."""
        with self._in_float32(progress) as whole:
            return InnerLlamaCpp(whole, layers)

    @contextlib.contextmanager
    def _in_float32(self, progress: Progress) -> Iterator[Path]:
        """Give the file with its weights in float32: itself, if they are."""
        path = self._runnable
        if not needed(self.file()):
            yield path
            return
        with float32(self.file(), part("float32"), progress) as whole:
            yield whole

    def answers(self, device: str, prompts: Sequence[Messages], count: int) -> list[Turn]:
        """Answer as llama.cpp does by default: the file as it is, its own template, tokenizer and stops."""
        path, render = self._runnable, template_gguf.renderer(self.file())
        with (
            contextlib.closing(self._tokenizer()) as tokenizer,
            contextlib.closing(LlamaCppRuntime(path, accurate=False)) as runtime,
        ):
            stops = sorted(tokenizer.stops)

            def encode(messages: Messages) -> list[int]:
                text = template_gguf.prompt(render, messages) if render else messages[-1]["content"]
                return tokenizer.encode(text, special=render is None)

            def answer(ids: list[int], keep: bool) -> list[int]:
                return runtime.generate(ids, count, stops, keep=keep, room=2 * (len(ids) + 2 * count))

            def decode(ids: list[int]) -> str:
                return tokenizer.decode(ids, skip=True)

            return converse(prompts, encode, answer, decode if render else None)

    @contextlib.contextmanager
    def eyes(self, hidden: int, progress: Progress, *, accurate: bool) -> Iterator[VisionRuntime]:
        """Give both halves as `runtime` gives the one: without approximations in float32.

        Args:
            hidden: width of a row.
            progress: reports the weights de-quantized.
            accurate: reference precision.

        Raises:
            ArtifactError: a file cannot be opened.
        """
        with contextlib.ExitStack() as stack:
            paths = []
            for first, file in ((self._runnable, self.file()), (self._eye.path, self._eye.file())):
                whole = accurate and needed(file)
                place = part("float32")
                paths.append(stack.enter_context(float32(file, place, progress)) if whole else first)
            yield VisionRuntime(paths[0], paths[1], hidden, accurate, self._eye.path.name)

    def pixels(self, views: Sequence[View], hidden: int, progress: Progress) -> list[Array] | None:
        """Return the normalized pixels that llama.cpp makes of pictures, float32 [3, S, S]; None if they cannot be read out."""
        file = self._eye.file()
        size = file.keys.get("clip.vision.image_size")
        shape = gguf_pixels.geometry(size, hidden) if isinstance(size, int) else None
        if shape is None:
            return None
        with gguf_pixels.written(file, shape, part("float32")) as passing:
            eyes = VisionRuntime(self._runnable, passing, hidden, True, self._eye.path.name)
            seen = eyes.look(views, progress, "Reading llama.cpp's pixels")
        return [shape.pixels(glance.rows) for glance in seen]

    @property
    def _eye(self) -> ProjectorFile:
        if self.projector is None:
            raise ArtifactError(self.vision_left_out or "The vision part was left out.")
        return self.projector

    def _why_unreadable(self, checkpoint: Checkpoint) -> str:
        try:
            self.weights(checkpoint)
        except ArtifactError as error:
            return error.message
        return "The weights cannot be read."

    def _tokenizer(self) -> LlamaCppTokenizer:
        return LlamaCppTokenizer.of_keys(self._runnable, self.file().keys)

    @cached_property
    def _runnable(self) -> Path:
        """The file, or its first part, once llama.cpp has been seen to run it."""
        first = self.file().files[0]
        require_runs(first)
        return first


def _mode(file: GgufFile) -> str:
    """The type of the fewest bits in which a fifth of the parameters is stored."""
    sizes: Counter[str] = Counter()
    for info in file.tensors.values():
        sizes[info.type] += info.size
    return min((kind for kind, size in sizes.items() if size >= sizes.total() / 5), key=bits, default="f32")
