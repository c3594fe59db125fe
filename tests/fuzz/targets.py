"""What is fuzzed: each target makes a file of a seed and the drawn changes, and reads it as the program would."""

from __future__ import annotations

import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeconv.core.errors import EdgeconvError

from . import mutate, seeds
from .mutate import SHARE, Change


class Target(ABC):
    """One reader. Only edgeconv's own errors may leave it."""

    name: str

    def __init__(self, folder: Path) -> None:
        """Files are written and read in `folder`."""
        self.folder = folder / self.name.replace(" ", "-")
        self.folder.mkdir()

    @abstractmethod
    def made(self, which: int, drawn: list[Change]) -> bytes:
        """Return a file's content: a seed, changed."""

    @abstractmethod
    def read(self, content: bytes) -> None:
        """Read it as far as the program would."""

    def run(self, content: bytes) -> bool:
        """Read it; False if it was refused."""
        try:
            self.read(content)
        except EdgeconvError as error:
            assert error.message, "an error without a word"
            assert len(error.message) < 20_000, "an error that nobody can read"
            return False
        return True

    attacks: Mapping[str, bytes] = MappingProxyType({})
    """The corpus of earlier attacks, by title."""


class Trees(Target):
    """A file of JSON: its values are changed, then its bytes."""

    seed: Any

    def made(self, which: int, drawn: list[Change]) -> bytes:
        split = len(drawn) if which % 4 else which // 4 % (len(drawn) + 1)
        text = mutate.text_of(mutate.tree(self.seed, drawn[:split]))
        return mutate.binary(text, drawn[split:])


class Safetensors(Target):
    """A shard; its header also as the Hub's listing reads it."""

    name = "safetensors"
    attacks = MappingProxyType(seeds.SAFETENSORS_ATTACKS)

    def made(self, which: int, drawn: list[Change]) -> bytes:
        if which % 3:
            return mutate.binary(seeds.safetensors(seeds.HEADER), drawn)
        return seeds.safetensors(mutate.text_of(mutate.tree(seeds.HEADER, drawn)), 40)

    def read(self, content: bytes) -> None:
        from edgeconv.convert.safetensors_file import Header, SafetensorsFile
        from edgeconv.hub.headers import read_header

        path = self.folder / "model.safetensors"
        path.write_bytes(content)
        try:
            file = SafetensorsFile(path)
            for info in file.tensors.values():
                file.rows(info, 0, 1)
        finally:
            header = read_header(lambda start, count: content[start : start + count], len(content), path.name)
            Header(path.name, len(content), header)


class Index(Trees):
    """The index, beside two sound shards."""

    name = "safetensors index"
    seed = seeds.INDEX
    attacks = MappingProxyType(seeds.INDEX_ATTACKS)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name, tensor in (("model-00001-of-00002", "a"), ("model-00002-of-00002", "b")):
            header = {tensor: {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}}
            (self.folder / f"{name}.safetensors").write_bytes(seeds.safetensors(header, 24))

    def read(self, content: bytes) -> None:
        from edgeconv.convert.shards import open_shards

        (self.folder / "model.safetensors.index.json").write_bytes(content)
        open_shards(self.folder)


class Gguf(Target):
    """As `edgeconv inspect` and `edgeconv validate` open one, a few rows of each tensor too."""

    name = "gguf"
    attacks = MappingProxyType(seeds.GGUF_ATTACKS)

    def made(self, which: int, drawn: list[Change]) -> bytes:
        return mutate.binary(seeds.gguf(), drawn)

    def read(self, content: bytes) -> None:
        from edgeconv.convert.gguf.examine import bits_per_weight, entries, examine
        from edgeconv.convert.gguf.read import open_gguf

        path = self.folder / "x.gguf"
        path.write_bytes(content)
        file = open_gguf(path)
        examine(file).rows()
        entries(file)
        bits_per_weight(file)
        for name in list(file.tensors)[:4]:
            file.dequantized(name, 0, 2)
            file.release(name)


class GgufSource(Gguf):
    """A GGUF as the source of a conversion: only its head is changed, the rest are weights."""

    name = "gguf source"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._head, self._data = seeds.gguf_model()

    def made(self, which: int, drawn: list[Change]) -> bytes:
        return mutate.binary(self._head, drawn) + self._data

    def read(self, content: bytes) -> None:
        from edgeconv.convert.open_checkpoint import open_checkpoint

        path = self.folder / "x.gguf"
        path.write_bytes(content)
        open_checkpoint(path)


class RecipeFile(Target):
    """A recipe, up to the outputs of its targets, which must not leave the run's folder."""

    name = "recipe"
    attacks = MappingProxyType(
        {title: text.encode("utf-8", "surrogatepass") for title, text in seeds.RECIPE_ATTACKS.items()}
    )

    def made(self, which: int, drawn: list[Change]) -> bytes:
        lines = seeds.RECIPE.splitlines()
        rest = []
        for kind, place, pick in drawn:
            at = place * len(lines) // SHARE
            part = seeds.YAML_PARTS[pick % len(seeds.YAML_PARTS)]
            if kind < 4 and ":" in lines[at]:
                lines[at] = f"{lines[at].split(':')[0]}: {part}"
            elif kind < 6:
                lines.insert(at, f"{' ' * (pick // 64 % 6)}{part}")
            elif kind < 8 and len(lines) > 1:
                lines.insert(pick * len(lines) // SHARE, lines.pop(at))
            else:
                rest.append((kind, place, pick))
        return mutate.binary("\n".join(lines).encode("utf-8", "surrogatepass"), rest)

    def read(self, content: bytes) -> None:
        from edgeconv.recipes.load import load
        from edgeconv.recipes.unit import units

        path = self.folder / "r.yaml"
        path.write_bytes(content)
        out = self.folder / "out"
        for unit in units(load(path), path, out):
            assert unit.output.resolve().is_relative_to(out.resolve()), f"{unit.output} is outside"
            assert unit.record.resolve().is_relative_to(out.resolve()), f"{unit.record} is outside"


class ManifestFile(Trees):
    """A manifest, and the check of its files."""

    name = "manifest"
    seed = seeds.manifest()
    attacks = MappingProxyType({title: mutate.text_of(content) for title, content in seeds.MANIFEST_ATTACKS.items()})

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.folder / "sub").mkdir()
        for name in ("a.bin", "sub/b.bin"):
            (self.folder / name).write_bytes(b"abc")
        (self.folder / "link").symlink_to("/etc/passwd")

    def read(self, content: bytes) -> None:
        from edgeconv.core.manifest import read_manifest
        from edgeconv.core.outputs import check_outputs
        from edgeconv.core.progress import Silent
        from edgeconv.validate.artifact import check_files

        (self.folder / "edgeconv.json").write_bytes(content)
        manifest = read_manifest(self.folder)
        check_outputs(self.folder, manifest.outputs, Silent())
        check_files(self.folder, manifest, Silent())


_LEAK = re.compile("<(class|module|built-in|bound method) |uid=[0-9]|root:x:")


class Template(Target):
    """A chat template, in each of the places that render one."""

    name = "chat template"
    attacks = MappingProxyType(
        {title: text.encode("utf-8", "surrogatepass") for title, text in seeds.TEMPLATE_ATTACKS.items()}
    )

    def made(self, which: int, drawn: list[Change]) -> bytes:
        parts = [seeds.TEMPLATE_PARTS[pick % len(seeds.TEMPLATE_PARTS)] for _, _, pick in drawn]
        for kind, place, pick in drawn:
            if kind < 5 and parts:  # into each other
                at = place * len(parts) // SHARE
                inner = seeds.TEMPLATE_PARTS[pick // 7 % len(seeds.TEMPLATE_PARTS)]
                middle = len(parts[at]) // 2
                parts[at] = parts[at][:middle] + inner.strip("{}% ") + parts[at][middle:]
        text = "".join(parts).encode("utf-8", "surrogatepass")
        return mutate.binary(text, drawn[:1]) if which % 5 == 0 else text

    def read(self, content: bytes) -> None:
        from edgeconv.convert.families.glm_edge_v_model.files import ONE_PICTURE
        from edgeconv.convert.template_file import render
        from edgeconv.validate.checkpoint_checks import template

        text = content.decode("utf-8", "replace")
        refused: EdgeconvError | None = None
        said = ""
        try:
            said = render(text, ONE_PICTURE)
        except EdgeconvError as error:
            refused = error
        with suppress(ValueError):  # as it promises
            said += template.render(text, template.conversation(in_parts=False), {"bos_token": "<s>"})
        assert not _LEAK.search(said), f"a template has seen Python's inside: {said:.200}"
        if refused:
            raise refused


class TorchZip(Target):
    """A file of torch.save: the zip around it, and the pickle in it."""

    name = "torch zip"
    attacks = MappingProxyType(seeds.TORCH_ATTACKS)

    def made(self, which: int, drawn: list[Change]) -> bytes:
        sound = seeds.torch_file()
        if which % 3 == 0:
            return mutate.binary(sound, drawn)
        import zipfile

        program = zipfile.ZipFile(io.BytesIO(sound)).read("archive/data.pkl")
        if which % 3 == 1:
            return seeds.zipped(mutate.binary(program, drawn))
        made = bytearray(program)
        for _, place, pick in drawn:
            at = place * (len(made) + 1) // SHARE
            made[at:at] = seeds.OPCODES[pick % len(seeds.OPCODES)] * (1 + pick // 1000 % 3)
        return seeds.zipped(bytes(made))

    def read(self, content: bytes) -> None:
        from edgeconv.convert.pickle_file import PickleFile
        from edgeconv.hub.headers import read_header

        path = self.folder / "pytorch_model.bin"
        path.write_bytes(content)
        try:
            file = PickleFile(path)
            for info in file.tensors.values():
                if info.dtype in ("F32", "F16", "BF16"):
                    file.view(info)
        finally:
            read_header(lambda start, count: content[start : start + count], len(content), path.name)


class Report(Trees):
    """A parity report, as the gate of `edgeconv publish` reads it."""

    name = "report"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from edgeconv.validate.report.write import dump

        from ..validate import report_samples

        self.seed = json.loads(dump(report_samples.report("passed", tokens=3)))

    def read(self, content: bytes) -> None:
        from edgeconv.validate.report.write import read

        (self.folder / "parity.json").write_bytes(content)
        read(self.folder)


ALL: tuple[type[Target], ...] = (
    Safetensors, Index, Gguf, GgufSource, RecipeFile, ManifestFile, Report, Template, TorchZip,
)  # fmt: skip
