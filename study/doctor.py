"""What this machine and its Python have: the facts that `edgeconv doctor` shows and the problems it finds in them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from .. import __version__
from ..core.openvino_core import openvino_core

PACKAGES = (
    "openvino", "openvino-tokenizers", "openvino-genai", "nncf", "transformers", "optimum-intel", "torch",
    "huggingface_hub", "safetensors", "numpy",
)  # fmt: skip
"""The packages whose versions decide what comes out."""
_LITTLE_DISK = 5e9


@dataclass(frozen=True)
class Problem:
    """Something that is wrong or will be. `fatal`: a conversion cannot work until it is mended."""

    message: str
    hint: str
    fatal: bool = True


@dataclass(frozen=True)
class Environment:
    """The facts; sizes in bytes, None where they could not be found out."""

    python: str
    platform: str
    edgeconv: str
    packages: dict[str, str | None]
    kernels: str | None
    devices: dict[str, str]
    hf_home: str | None
    hf_endpoint: str | None
    token: bool
    free_disk_here: int
    free_disk_hf_home: int | None
    memory_total: int | None
    memory_available: int | None
    cpus: int
    problems: tuple[Problem, ...]


def examine() -> Environment:
    """Look at everything; a broken library becomes a problem in the list, not an exception."""
    problems = list(_package_problems())
    kernels, devices = _kernels(problems), _devices(problems)
    home, endpoint, token = _hub(problems)
    free, free_home = _free_disk(Path.cwd()), _free_disk(Path(home)) if home else None
    for place, count in {"this folder": free, "HF_HOME": free_home}.items():
        if count is not None and count < _LITTLE_DISK:
            problems.append(
                Problem(
                    f"The disk of {place} has {count / 1e9:.1f} GB free.",
                    "A 1.5B checkpoint takes 3.2 GB, its int4 result 0.9 GB.",
                    fatal=False,
                )
            )
    memory = _memory()
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        edgeconv=__version__,
        packages={name: _version(name) for name in PACKAGES},
        kernels=kernels,
        devices=devices,
        hf_home=home,
        hf_endpoint=endpoint,
        token=token,
        free_disk_here=free or 0,
        free_disk_hf_home=free_home,
        memory_total=memory.get("MemTotal"),
        memory_available=memory.get("MemAvailable"),
        cpus=len(os.sched_getaffinity(0)),
        problems=tuple(problems),
    )


def requirements() -> list[Requirement]:
    """What edgeconv needs at run time, with the ranges that its metadata states."""
    declared = [Requirement(text) for text in importlib.metadata.requires("edgeconv") or []]
    return [one for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package_problems() -> Iterator[Problem]:
    for requirement in requirements():
        found, wanted = _version(requirement.name), str(requirement.specifier)
        mend = f"pip install '{requirement.name}{wanted}'"
        if found is None:
            yield Problem(f"{requirement.name} is not installed.", mend)
        elif not requirement.specifier.contains(found, prereleases=True):
            yield Problem(f"{requirement.name} is {found}, but edgeconv needs {wanted}.", mend)
    family = {name: _version(name) for name in ("openvino", "openvino-tokenizers", "openvino-genai")}
    releases = {name: version.split(".")[:2] for name, version in family.items() if version}
    if len({tuple(release) for release in releases.values()}) > 1:
        yield Problem(
            "openvino, openvino-tokenizers and openvino-genai are of different releases; they load each other's "
            "binaries.",
            "pip install --upgrade openvino openvino-tokenizers openvino-genai",
        )


def _kernels(problems: list[Problem]) -> str | None:
    try:
        from ..quantize import native

        if native.load() is None:
            problems.append(
                Problem(
                    "The compiled kernels are not in use; numpy does the same arithmetic, but slower.",
                    "Install a C compiler, then edgeconv again; unset EDGECONV_KERNELS.",
                    fatal=False,
                )
            )
        return native.describe()
    except (ImportError, OSError, AttributeError) as error:
        problems.append(Problem(f"The quantizer cannot be loaded: {error}.", "Install edgeconv again."))
        return None


def _devices(problems: list[Problem]) -> dict[str, str]:
    try:
        core = openvino_core()
        return {name: str(core.get_property(name, "FULL_DEVICE_NAME")).strip() for name in core.available_devices}
    except (ImportError, RuntimeError) as error:
        problems.append(Problem(f"openvino does not start: {error}.", "pip install --force-reinstall openvino"))
        return {}


def _hub(problems: list[Problem]) -> tuple[str | None, str | None, bool]:
    try:
        from huggingface_hub import constants, get_token
    except ImportError as error:
        problems.append(Problem(f"huggingface_hub cannot be imported: {error}.", "pip install huggingface_hub"))
        return None, None, False
    return constants.HF_HOME, constants.ENDPOINT, get_token() is not None


def _free_disk(folder: Path) -> int | None:
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return None


def _memory() -> dict[str, int]:
    """`/proc/meminfo` in bytes; empty where there is none."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines)
    return {first.rstrip(":"): int(second) * 1024 for first, second, *_ in words}
