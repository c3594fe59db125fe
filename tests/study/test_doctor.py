from pathlib import Path

from edgeconv.study import doctor as environment


def test_requirements_are_those_of_a_plain_installation() -> None:
    names = {requirement.name for requirement in environment.requirements()}
    assert {"openvino", "torch", "nncf", "transformers"} <= names
    assert "pytest" not in names


def test_the_facts_are_plausible() -> None:
    found = environment.examine()
    assert found.cpus >= 1
    assert found.memory_total is not None
    assert found.memory_available is not None
    assert 0 < found.memory_available <= found.memory_total
    assert found.free_disk_here > 0
    assert set(found.packages) == set(environment.PACKAGES)
    assert "CPU" in found.devices


def test_a_folder_that_does_not_exist_yet_has_its_parents_disk(tmp_path: Path) -> None:
    assert environment._free_disk(tmp_path / "a" / "b") is not None
