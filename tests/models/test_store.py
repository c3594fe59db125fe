import subprocess
import sys
import time

import pytest

from .store import default_cache, once


def test_builds_once(tmp_path):
    built = []

    def build(folder):
        built.append(folder)
        (folder / "a").write_text("x")

    assert once(tmp_path / "m", build) == once(tmp_path / "m", build) == tmp_path / "m"
    assert len(built) == 1
    assert (tmp_path / "m" / "a").read_text() == "x"


def test_failed_build_leaves_nothing_under_the_final_name_and_is_repeated(tmp_path):
    def fail(folder):
        (folder / "half").write_text("x")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        once(tmp_path / "m", fail)
    assert not (tmp_path / "m").exists()
    once(tmp_path / "m", lambda folder: (folder / "whole").write_text("x"))
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["whole"]


def test_processes_that_race_build_once(tmp_path):
    """Each process appends to a log when it builds; with the lock only one of them does."""
    script = f"""
import importlib.util, pathlib, sys, time
spec = importlib.util.spec_from_file_location("store", {str(default_cache.__code__.co_filename)!r})
store = importlib.util.module_from_spec(spec); spec.loader.exec_module(store)
root = pathlib.Path({str(tmp_path)!r})
def build(folder):
    with (root / "log").open("a") as log: log.write("built\\n")
    time.sleep(0.3)
    (folder / "done").touch()
while not (root / "go").exists(): time.sleep(0.005)
sys.exit(not (store.once(root / "m", build) / "done").exists())
"""
    racers = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(4)]
    time.sleep(0.5)
    (tmp_path / "go").touch()
    assert [racer.wait(timeout=60) for racer in racers] == [0, 0, 0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_cache_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGECONV_TEST_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
