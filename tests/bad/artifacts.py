"""Makers of bad artifacts: each takes a copy of a folder that `edgeconv openvino` wrote and spoils one thing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoints import edit

MANIFEST = "edgeconv.json"
BIN, XML = "openvino_model.bin", "openvino_model.xml"
BOMB = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">\n' if i else '<!ENTITY a0 "0123456789">\n' for i in range(12))
Maker = Callable[[Path], None]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an artifact.

    Attributes:
        title: as docs/reliability.md calls it.
        maker: spoils the folder.
        says: expression for what `inspect`, `verify` and `publish` must say.
        harmless: to these commands it is no fault.
    """

    title: str
    maker: Maker
    says: str
    harmless: tuple[str, ...] = ()


FAULTS: dict[str, Fault] = {}
"""By the names of their makers."""


def fault(title: str, says: str, harmless: tuple[str, ...] = ()) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        FAULTS[maker.__name__] = Fault(f"artifact: {title}", maker, says, harmless)
        return maker

    return register


def flip(path: Path, at: int) -> None:
    """Flip one bit and keep the size."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@fault("the .bin is not there", BIN)
def bin_missing(folder: Path) -> None:
    (folder / BIN).unlink()


@fault("the .bin is truncated", BIN)
def bin_truncated(folder: Path) -> None:
    os.truncate(folder / BIN, (folder / BIN).stat().st_size // 2)


@fault("a flipped bit in the .bin", BIN)
def bin_flipped(folder: Path) -> None:
    flip(folder / BIN, 1000)


@fault("the .xml is not there", XML)
def xml_missing(folder: Path) -> None:
    (folder / XML).unlink()


@fault("the .xml is truncated", XML)
def xml_truncated(folder: Path) -> None:
    os.truncate(folder / XML, 2000)


@fault("entities without end in the .xml", XML)
def xml_bomb(folder: Path) -> None:
    text = (folder / XML).read_text().partition("?>")[2]
    (folder / XML).write_text(f'<?xml version="1.0"?>\n<!DOCTYPE net [\n{BOMB}]>\n{text}<!-- -->')


@fault("the tokenizer's IR is not there", "openvino_tokenizer.bin")
def tokenizer_missing(folder: Path) -> None:
    (folder / "openvino_tokenizer.bin").unlink()


@fault("config.json was edited", r"config\.json")
def config_edited(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(rope_theta=1.0))


@fault("a file is a link to another", r"config\.json")
def file_is_a_link(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/etc/hostname")


@fault("the manifest is not there", "has no edgeconv.json", harmless=("inspect",))
def manifest_missing(folder: Path) -> None:
    (folder / MANIFEST).unlink()


@fault("the manifest is not JSON", "not a valid manifest")
def manifest_not_json(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


@fault("the manifest is nested 100,000 deep", "not a valid manifest")
def manifest_nested(folder: Path) -> None:
    (folder / MANIFEST).write_text("[" * 100_000)


@fault("the manifest is not UTF-8", "not a valid manifest")
def manifest_not_utf8(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b'{"manifest": "\xff"}')


@fault("the manifest has 1 GB", "edgeconv.json has 1,")
def manifest_huge(folder: Path) -> None:
    os.truncate(folder / MANIFEST, 1 << 30)


@fault("the manifest is of another version", "not a valid manifest: manifest")
def manifest_of_another_version(folder: Path) -> None:
    _edit(folder, lambda m: m.update(manifest=2))


@fault("the manifest has a field that nobody knows", "not a valid manifest: surprise")
def manifest_with_another_field(folder: Path) -> None:
    _edit(folder, lambda m: m.update(surprise=True))


@fault("the manifest says another digest", "config.json")
def manifest_with_another_digest(folder: Path) -> None:
    _edit(folder, lambda m: m["outputs"]["config.json"].update(sha256="0" * 64))


@fault("the manifest says a negative size", r"config\.json|size")
def manifest_with_a_negative_size(folder: Path) -> None:
    _edit(folder, lambda m: m["outputs"]["config.json"].update(size=-1))


@fault("the manifest names ../ as a file", "outside the folder")
def manifest_leaves_the_folder(folder: Path) -> None:
    _rename(folder, "../secret")


@fault("the manifest names an absolute path as a file", "outside the folder")
def manifest_with_an_absolute_path(folder: Path) -> None:
    _rename(folder, "/etc/passwd")


@fault("the manifest names a file with a NUL", "outside the folder")
def manifest_with_nul(folder: Path) -> None:
    _rename(folder, "a\0b")


@fault("the manifest names a folder as a file", "is missing|missing|is not what|outside")
def manifest_names_a_folder(folder: Path) -> None:
    _rename(folder, ".")


@fault("the manifest is a folder", "edgeconv.json", harmless=("inspect",))
def manifest_is_a_folder(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()


def _edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    edit(folder / MANIFEST, change)


def _rename(folder: Path, name: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["outputs"][name] = manifest["outputs"].pop("config.json")

    _edit(folder, change)
