"""More readers: the small files of checkpoints and artifacts, importance matrices, graphs, suites, and what the Hub lists."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeconv.builtin import model_path

from ..cards import CARD
from . import mutate
from .graph_target import Graph
from .mutate import Change
from .targets import ALL, Target, Trees

SENTENCEPIECE = b"".join(
    b"\x0a" + bytes([len(body)]) + body
    for body in (
        b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", -float(at)) + b"\x18" + bytes([kind])
        for at, (text, kind) in enumerate(((b"<unk>", 2), (b"<s>", 3), (b"\xe2\x96\x81a", 1), (b"<0x41>", 6), (b"b", 1)))
    )
)  # fmt: skip
"""A ModelProto of five pieces: field 1 is a piece, of text (1), score (2) and type (3); then the trainer's model type, BPE."""
TREE = [
    {"type": "file", "path": "config.json", "size": 700, "oid": "a" * 40},
    {"type": "directory", "path": "sub", "size": 0, "oid": "b" * 40},
    {"type": "file", "path": "model.safetensors", "size": 5, "oid": "c" * 40, "lfs": {"oid": "d" * 64, "size": 5}},
]
SUITE = {
    "suite": 1,
    "documents": [
        {"name": "a", "kind": "text", "language": "en", "text": "One. Two.\n\nThree."},
        {"name": "b", "kind": "chat", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
    ],
    "prompts": [[{"role": "user", "content": "Who?"}]],
}  # fmt: skip
HOSTILE_VALUES = (
    "2001-99-99",
    "!!int x",
    "!!bool x",
    "!!timestamp x",
    "9" * 5000,
    "[" * 5000,
    '"\\ud800"',
    "1:" * 9999 + "1",
)


class Builtin(Trees):
    """A JSON file of the built-in checkpoint, in a folder with the others."""

    file: str

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for path in model_path().iterdir():
            if path.suffix in (".json", ".jinja"):
                (self.folder / path.name).write_bytes(path.read_bytes())
        self.seed = json.loads((model_path() / self.file).read_text("utf-8"))

    def read(self, content: bytes) -> None:
        (self.folder / self.file).write_bytes(content)
        self.use()

    def use(self) -> None:
        raise NotImplementedError


class Config(Builtin):
    """config.json, up to the decoder that is made of it."""

    name = "config.json"
    file = "config.json"

    def use(self) -> None:
        from edgeconv.convert import families
        from edgeconv.convert.claims import purpose
        from edgeconv.convert.conversion.artifact import source_of
        from edgeconv.convert.open_checkpoint import open_headers
        from edgeconv.convert.program.reading import UnsupportedArchitecture

        checkpoint = open_headers(self.folder, {}, {})
        with suppress(UnsupportedArchitecture):  # as it promises
            families.decoder(checkpoint.config)
        purpose.require(checkpoint.config, [])
        source_of(checkpoint, None, None, {})


class GenerationConfig(Builtin):
    """generation_config.json, as a chat and a conversion read it."""

    name = "generation_config.json"
    file = "generation_config.json"

    def use(self) -> None:
        from edgeconv.convert.gguf.metadata import Origin, general
        from edgeconv.core.json_file import read_json
        from edgeconv.runtimes.sampler import Decoding

        Decoding.from_folder(self.folder)
        stated = read_json(self.folder / self.file)
        general(Origin("x"), self.folder, stated, file_type=1, parameters=5, version="1")


class TokenizerConfig(Builtin):
    """tokenizer_config.json: tokens, what stands around a text, templates."""

    name = "tokenizer_config.json"
    file = "tokenizer_config.json"

    def use(self) -> None:
        from edgeconv.convert.openvino.tokenizer import require_files
        from edgeconv.core import tokenizer_files

        files = tokenizer_files.read(self.folder)
        files.notes()
        files.frame_flags()
        for role in tokenizer_files.ROLES:
            files.id_of(role)
        require_files(self.folder)


class TokenizerJson(TokenizerConfig):
    """tokenizer.json, up to a vocabulary of GGUF's; the library that opens it is tried by the worker."""

    name = "tokenizer.json"
    file = "tokenizer.json"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        model = self.seed["model"]
        model["vocab"] = dict(list(model["vocab"].items())[:40])
        model["merges"] = [pair for pair in model["merges"] if "".join(pair) in model["vocab"]][:20]
        (self.folder / "config.json").write_text(json.dumps({"model_type": "glm"}))

    def use(self) -> None:
        from edgeconv.convert.gguf import tokenizer_bpe

        super().use()
        from edgeconv.core import tokenizer_files

        tokenizer_bpe.merges(tokenizer_files.read(self.folder).model)


class SentencePieceModel(Target):
    """tokenizer.model."""

    name = "sentencepiece"

    def made(self, which: int, drawn: list[Change]) -> bytes:
        return mutate.binary(SENTENCEPIECE, drawn)

    def read(self, content: bytes) -> None:
        from edgeconv.core import sentencepiece_file

        path = self.folder / "tokenizer.model"
        path.write_bytes(content)
        sentencepiece_file.read(path)


class Readme(Target):
    """The front matter of README.md, which nothing may come of but texts."""

    name = "README.md"

    def made(self, which: int, drawn: list[Change]) -> bytes:
        lines = CARD.splitlines()
        for kind, place, pick in drawn[: which % 4]:
            at = 1 + place % (len(lines) - 4)
            if kind % 2:
                lines[at] = f"{lines[at].split(':')[0]}: {HOSTILE_VALUES[pick % len(HOSTILE_VALUES)]}"
        return mutate.binary("\n".join(lines).encode(), drawn[which % 4 :])

    def read(self, content: bytes) -> None:
        from edgeconv.convert import card
        from edgeconv.convert.gguf.metadata import Origin, general

        (self.folder / "README.md").write_bytes(content)
        for value in card.kept(self.folder).values():
            for text in [value] if isinstance(value, str) else value:
                assert text.isprintable(), f"{text!r} is not a text"
        general(Origin("x"), self.folder, {}, file_type=1, parameters=5, version="1")


class ImportanceMatrix(Target):
    """A file of llama-imatrix in its old form; the new one is a GGUF."""

    name = "imatrix"

    def made(self, which: int, drawn: list[Change]) -> bytes:
        name = b"blk.0.attn_q.weight"
        sound = (
            struct.pack("<ii", 1, len(name)) + name + struct.pack("<ii4f", 7, 4, 1, 2, 3, 4) + struct.pack("<ii", 7, 4)
        )
        return mutate.binary(sound + b"text", drawn)

    def read(self, content: bytes) -> None:
        from edgeconv.convert.gguf import imatrix

        path = self.folder / "imatrix.dat"
        path.write_bytes(content)
        imatrix.read(path)


class OnnxModel(Target):
    """An ONNX model, up to the weights that are found in its graph."""

    name = "onnx"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import numpy as np
        from onnx import TensorProto, helper, numpy_helper

        weight = numpy_helper.from_array(np.arange(32, dtype=np.uint8).reshape(2, 1, 16), "w")
        scale = numpy_helper.from_array(np.ones(2, np.float32), "s")
        plain = numpy_helper.from_array(np.ones((2, 3), np.float32), "p")
        nodes = [
            helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], "n", K=32, N=2, bits=4, block_size=32),
            helper.make_node("MatMul", ["y", "p"], ["z"], "m"),
        ]  # fmt: skip
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c]) for n, c in (("x", 32), ("z", 3))]
        graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight, scale, plain])
        self._sound = helper.make_model(graph).SerializeToString()

    def made(self, which: int, drawn: list[Change]) -> bytes:
        return mutate.binary(self._sound, drawn)

    def read(self, content: bytes) -> None:
        from edgeconv.runtimes.onnx_graph import open_graph
        from edgeconv.validate.weights import onnx_find

        path = self.folder / "model.onnx"
        path.write_bytes(content)
        onnx_find.find(open_graph(path))


class SuiteFile(Trees):
    """A suite, as a recipe or `--suite` gives one."""

    name = "suite"
    seed = SUITE

    def read(self, content: bytes) -> None:
        from edgeconv.validate.suite import load

        path = self.folder / "suite.yaml"  # JSON is YAML
        path.write_bytes(content)
        load(path)


class Tree(Trees):
    """The Hub's list of a repository's files."""

    name = "hub tree"
    seed = TREE
    attacks = MappingProxyType(
        {
            f"path {path!r}": json.dumps([{**TREE[0], "path": path}]).encode()
            for path in ("../x", "/etc/passwd", "a\\b", "a\0b", "", 7)
        }
    )

    def read(self, content: bytes) -> None:
        from edgeconv.hub.listing import from_tree, is_safe_name

        try:
            entries: Any = json.loads(content)
        except (ValueError, RecursionError):  # the client says that
            return
        found = from_tree("org/name", "0" * 40, entries)
        assert all(is_safe_name(file.path) for file in found.files)
        found.needed()


SMALL: tuple[type[Target], ...] = (
    Config, GenerationConfig, TokenizerConfig, TokenizerJson, SentencePieceModel, Readme, ImportanceMatrix, OnnxModel,
    SuiteFile, Tree, Graph,
)  # fmt: skip


if __name__ == "__main__":
    print("\n".join(target.name for target in (*ALL, *SMALL)))
