"""The repository's root is the package: what pyproject.toml lists by hand must be what is there."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NOT_SHIPPED = {"tests", "benchmarks", "docs", "build", "dist"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def folders() -> list[Path]:
    """Every folder of the repository that can hold shipped code."""
    visible = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] not in "._"]
    top = [path for path in visible if path.name not in NOT_SHIPPED and not path.name.endswith(".egg-info")]
    below = [path for folder in top for path in folder.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    return [ROOT, *top, *below]


def is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def test_every_package_is_listed() -> None:
    found = [".".join(["edgeconv", *path.relative_to(ROOT).parts]) for path in folders() if is_package(path)]
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(found)


def test_no_module_lies_outside_a_package() -> None:
    assert [path for path in folders() if list(path.glob("*.py")) and not is_package(path)] == []


def locked() -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of every line of constraints.txt, by canonical name."""
    text = (ROOT / "constraints.txt").read_text("utf-8").replace("\\\n", " ")
    found = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        requirement, *hashes = line.split(" --hash=")
        name, version = requirement.partition(";")[0].split("==")
        found[canonicalize_name(name)] = (version.strip(), [entry.strip() for entry in hashes])
    return found


def test_every_file_that_is_installed_is_known_by_its_hash() -> None:
    for name, (_, hashes) in locked().items():
        assert hashes, name
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", entry) for entry in hashes), name
    assert "--require-hashes" in (ROOT / "Makefile").read_text("utf-8")


def test_what_builds_the_package_is_pinned_to_what_is_locked() -> None:
    """`make dev` builds with what it has installed, and pip with what pyproject.toml says: both the same."""
    for requirement in map(Requirement, PROJECT["build-system"]["requires"]):
        assert str(requirement.specifier) == f"=={locked()[canonicalize_name(requirement.name)][0]}"


def test_every_direct_requirement_is_locked_within_its_range() -> None:
    versions = {name: version for name, (version, _) in locked().items()}
    assert not [version for version in versions.values() if "+" in version], "a local version excludes other builds"
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel that is built from a copy, so that the working tree stays clean."""
    if subprocess.run([sys.executable, "-c", "import setuptools"], check=False).returncode:
        pytest.fail("building a wheel needs setuptools, which `make dev` installs")
    copy = tmp_path_factory.mktemp("wheel") / "source"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.so", "build", "dist", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=ignored, symlinks=True)
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(copy.parent)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(copy)], check=True, stdin=subprocess.DEVNULL)
    (path,) = copy.parent.glob("edgeconv-*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_the_model(wheel: list[str]) -> None:
    modules = {"/".join(["edgeconv", *path.relative_to(ROOT).parts]) for f in folders() for path in f.glob("*.py")}
    assert modules <= set(wheel)
    model = [path.name for path in (ROOT / "builtin" / "glm_tiny").iterdir()]
    assert "model.safetensors" in model
    assert {f"edgeconv/builtin/glm_tiny/{name}" for name in model} <= set(wheel)
    assert {"edgeconv/quantize/kernels.c", "edgeconv/validate/weights/integers.c"} <= set(wheel)


@pytest.mark.slow
def test_the_wheel_holds_nothing_else(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"edgeconv"}
    assert not [name for name in wheel if name.split("/")[1] in NOT_SHIPPED or "conftest" in name]


@pytest.mark.slow
def test_the_wheel_holds_the_compiled_kernels(wheel: list[str]) -> None:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("the kernels are optional and there is no C compiler")
    assert [name for name in wheel if name.startswith("edgeconv/quantize/_kernels") and name.endswith(".so")]
