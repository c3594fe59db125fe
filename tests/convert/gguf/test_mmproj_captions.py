"""The built-in vision model, whole, in llama.cpp: it says what is to be seen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cyllama.llama import llama_cpp as lib
from PIL import Image
from tokenizers import Tokenizer

from edgeconv.builtin import pictures
from edgeconv.convert.conversion import GgufJob, run
from edgeconv.convert.gguf.recipe import recipe

from .llama_cpp import load

MODEL = Path(pictures.__file__).parent / "glm_edge_v_tiny"
SIDE = 112


class Seer:
    """A language model and a tower in llama.cpp, answering greedily."""

    def __init__(self, folder: Path) -> None:
        self.model = load(next(path for path in folder.glob("*.gguf") if not path.name.startswith("mmproj")))
        options = lib.MtmdContextParams(use_gpu=False, n_threads=1)
        self.tower = lib.MtmdContext(str(next(folder.glob("mmproj-*.gguf"))), self.model, options)
        parameters = lib.LlamaContextParams()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 256
        parameters.n_threads = parameters.n_threads_batch = 1
        self.context = lib.LlamaContext(self.model, parameters, verbose=False)
        self.tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))

    def answer(self, picture: Image.Image, question: str) -> str:
        square = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        seen = lib.MtmdBitmap.create_image(SIDE, SIDE, square.tobytes())
        chunks = self.tower.tokenize(f"<|user|>\n<__media__>{question}<|assistant|>", [seen], False, True)
        self.context.kv_cache_clear()
        past = self.tower.eval_chunks(self.context, chunks, 0, 0, 256, True)
        ends = {self.tokenizer.token_to_id(token) for token in ("<|user|>", "<|endoftext|>")}
        made: list[int] = []
        while len(made) < 48:
            token = int(np.argmax(self.context.get_logits_ith(-1)))
            if token in ends:
                break
            made.append(token)
            self._read(token, past)
            past += 1
        return str(self.tokenizer.decode(made)).strip()

    def _read(self, token: int, past: int) -> Any:
        batch = lib.LlamaBatch(n_tokens=1, embd=0, n_seq_max=1)
        batch.set_batch([token], past, True)
        self.context.decode(batch)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "vision"), [("q8_0", "fp16"), ("q4_k_m", "int8")])
def test_square_pictures_are_described_rightly(kind: str, vision: str, tmp_path: Path) -> None:
    made = run(GgufJob(str(MODEL), recipe(kind), output=tmp_path / "out", vision_precision=vision))
    seer = Seer(made.path)
    tests = [sample for sample in pictures.samples(8) if sample.kind == "square"]
    right = [seer.answer(sample.picture, sample.question) == sample.answer for sample in tests]
    assert len(right) == 16
    assert sum(right) >= 15
