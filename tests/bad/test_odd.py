"""What is long, odd or unusual, but no fault: it is converted as anything else, or refused with a sentence."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from edgeconv.convert.gguf.read import open_gguf

from ..convert.gguf.test_read import head, info, pair, text
from .checkpoints import INDEX, edit
from .commands import Bench, environment, snapshot
from .test_untrusted import audited

fault = pytest.mark.fault
CONVERSIONS = {"openvino": ("openvino", "-p", "int8"), "gguf": ("gguf", "-t", "q8_0")}
LONG = "模型 with spaces, ünd 'quotes' $HOME %s {x} ; # & -" + "x" * 140
"""200 bytes and more, as long as a name may be beside `.partial-…`."""


@pytest.fixture
def model(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("llama", max_shard_size="300KB")


def program(*arguments: str, cwd: Path, root: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program itself, with no terminal at all."""
    names = ("LANG", "LC_ALL", "LC_CTYPE", "PYTHONUTF8", "PYTHONIOENCODING")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-P", "-m", "edgeconv", *arguments],
        cwd=cwd, env={**clean, **environment(root), **variables}, stdin=subprocess.DEVNULL, capture_output=True,
        start_new_session=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", CONVERSIONS)
@fault(
    "odd: spaces, quotes, Chinese and 200 characters in the paths",
    says="Converted, inspected and verified as any other.",
)
def test_odd_names(command: str, model: Path, bad: Bench) -> None:
    source = shutil.copytree(model, bad.root / LONG / "模型")
    out = bad.work / LONG
    assert bad.run(*CONVERSIONS[command], "--model", source, "--output", out).code == 0
    assert bad.run("inspect", out).code == 0
    assert bad.run("verify", f"./{LONG}").code == 0
    assert [path.name for path in bad.work.iterdir()] == [LONG]


@fault("odd: the source is given as a relative path", says="Converted; the result is called after the folder.")
def test_relative_paths(model: Path, bad: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    source = shutil.copytree(model, bad.root / "name")
    for given, cwd in (("../name", bad.work), (".", source), ("../name/", source), ("./name/../name", bad.root)):
        monkeypatch.chdir(cwd)
        ran = bad.run("gguf", "-t", "q8_0", "--model", given, "--dry-run", "--json")
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["files"] == ["name-Q8_0.gguf"]
    monkeypatch.chdir(source)
    assert bad.run("gguf", "-t", "q8_0", "--model", ".", "-o", "../out").code == 0


def cached(model: Path, home: Path) -> Path:
    """Lay a checkpoint out as huggingface_hub's cache does; return the snapshot."""
    repo, commit = home / "hub" / "models--org--name", "a" * 40
    snapshot = repo / "snapshots" / commit
    for folder in (repo / "blobs", snapshot, repo / "refs"):
        folder.mkdir(parents=True)
    for path in model.iterdir():
        blob = repo / "blobs" / f"{abs(hash(path.name)):064x}"
        shutil.copyfile(path, blob)
        (snapshot / path.name).symlink_to(Path("../../blobs") / blob.name)
    (repo / "refs" / "main").write_text(commit)
    return snapshot


@pytest.mark.parametrize("command", CONVERSIONS)
@fault(
    "odd: a snapshot in the Hub's cache, all links, that may not be written to",
    says="Converted; nothing in the cache is opened for writing.",
)
def test_a_read_only_cache(command: str, model: Path, tmp_path: Path) -> None:
    """The tests may run as root, who may write anywhere: the audit hook looks at what is opened for writing."""
    folder = cached(model, tmp_path / "cache")
    before = snapshot(tmp_path / "cache")
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    line = [*CONVERSIONS[command], "--model", str(folder), "-o", str(root / "out")]
    code = "import json, sys; from edgeconv.cli import main; sys.exit(main.run(json.loads(sys.argv[1])))"
    for path in (tmp_path / "cache").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done, seen = audited(root, tmp_path / "cache", code, json.dumps(line))
    for path in (tmp_path / "cache").rglob("*"):
        path.chmod(0o755)  # else pytest cannot clear it away
    assert done.returncode == 0, done.stderr
    assert seen == []
    assert snapshot(tmp_path / "cache") == before


@fault("odd: LANG=C, no UTF-8 mode, no terminal, Chinese paths", says="Converted and shown as anywhere else.")
def test_a_plain_locale(model: Path, tmp_path: Path) -> None:
    source = shutil.copytree(model, tmp_path / "模型")
    (tmp_path / "tmp").mkdir()
    plain = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    lines = [
        ["gguf", "--model", str(source), "-t", "q8_0", "-o", "结果"],
        ["inspect", "结果"],
        ["inspect", "不在"],
        ["gguf", "--model", "./不在"],
    ]
    for line in lines:
        done = program(*line, cwd=tmp_path, root=tmp_path, **plain)
        assert b"Traceback" not in done.stderr, done.stderr
        assert b"Unexpected" not in done.stderr, done.stderr
        assert (done.returncode == 0) == ("不在" not in line[-1]), done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tmp", "模型", "结果"]


# Names that are not text.


@pytest.mark.parametrize("command", CONVERSIONS)
@fault("odd: a path that is not UTF-8")
def test_a_path_that_is_not_utf8(command: str, model: Path, bad: Bench) -> None:
    folder = Path(os.fsdecode(os.fsencode(bad.root) + b"/mod\xff\xfe"))
    source = shutil.copytree(model, folder)
    bad.refused(
        *CONVERSIONS[command], "--model", source, "-o", "out", says="not UTF-8 text", names="mod", source=source
    )


@pytest.mark.parametrize("command", CONVERSIONS)
@fault("odd: an output whose path is not UTF-8")
def test_an_output_that_is_not_utf8(command: str, model: Path, bad: Bench) -> None:
    out = Path(os.fsdecode(os.fsencode(bad.root) + b"/out\xff\xfe"))
    bad.refused(*CONVERSIONS[command], "--model", model, "-o", out, says="not UTF-8 text", names="out", source=model)


@pytest.mark.parametrize("command", CONVERSIONS)
@fault("odd: a shard whose name is not UTF-8")
def test_a_shard_that_is_not_utf8(command: str, tiny_model: Callable[..., Path], bad: Bench) -> None:
    source = shutil.copytree(tiny_model("llama"), bad.root / "model")
    (source / "model.safetensors").rename(os.fsdecode(os.fsencode(source) + b"/weights\xff.safetensors"))
    says = "name is not UTF-8 text"
    bad.refused(*CONVERSIONS[command], "--model", source, "-o", "out", says=says, names="weights", source=source)


@pytest.mark.parametrize("command", CONVERSIONS)
@fault(
    "odd: files whose names differ in case alone", says="Converted; only the names that transformers knows are read."
)
def test_names_that_clash_in_case(command: str, tiny_model: Callable[..., Path], bad: Bench) -> None:
    source = shutil.copytree(tiny_model("llama"), bad.root / "model")
    for name in ("Config.json", "MODEL.safetensors", "Tokenizer.json", "TOKENIZER_CONFIG.JSON"):
        (source / name).write_text("{")
    if command == "openvino":
        (source / "License").write_text("another")
        (source / "LICENSE").write_text("one")
    ran = bad.run(*CONVERSIONS[command], "--model", source, "-o", "out")
    assert ran.code == 0, ran.err
    names = [path.name.lower() for path in (bad.work / "out").iterdir()]
    assert len(names) == len(set(names))


# Many, none, large.


def write_shard(path: Path, shapes: Iterable[tuple[str, tuple[int, ...]]], *, sparse: bool) -> None:
    """Write bfloat16 tensors: of small values, or none at all, as a hole in the file."""
    header, end, random = {}, 0, np.random.default_rng(0)
    shapes = list(shapes)
    for name, shape in shapes:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    content = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(content)) + content)
        if sparse:
            file.truncate(8 + len(content) + end)
            return
        for _, shape in shapes:
            values = random.standard_normal(shape, np.float32)
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())


def of_layers(folder: Path, count: int, hidden: int, vocab: int) -> list[tuple[str, tuple[int, ...]]]:
    """Say in config.json that there are so many layers; return what its tensors must be."""
    from edgeconv.convert.families import decoder

    config = folder / "config.json"
    sizes = {"num_hidden_layers": count, "hidden_size": hidden, "vocab_size": vocab, "intermediate_size": hidden}
    edit(config, lambda c: c.update(sizes, num_attention_heads=2, num_key_value_heads=1, head_dim=hidden // 2))
    return list(decoder(json.loads(config.read_text())).tensors().items())


@fault("odd: 4,098 tensors", says="Converted to GGUF in a second; planned for OpenVINO.")
def test_thousands_of_tensors(tiny_model: Callable[..., Path], bad: Bench) -> None:
    source = shutil.copytree(tiny_model("llama"), bad.root / "model")
    shapes = of_layers(source, 455, 32, 4096)
    assert len(shapes) == 4098
    write_shard(source / "model.safetensors", shapes, sparse=False)
    assert bad.run("openvino", "-p", "int8", "--model", source, "--dry-run").code == 0
    ran = bad.run("gguf", "-t", "q8_0", "--model", source, "-o", "x.gguf")
    assert ran.code == 0, ran.err
    assert len(open_gguf(bad.work / "x.gguf").tensors) == 4098
    assert bad.run("inspect", "x.gguf", "--tensors").code == 0


@pytest.mark.parametrize("command", CONVERSIONS)
@fault("odd: a tensor of 4 GB", says="Planned by its header alone; nothing of it is read.")
def test_a_tensor_of_four_gigabytes(command: str, tiny_model: Callable[..., Path], bad: Bench) -> None:
    source = shutil.copytree(tiny_model("llama"), bad.root / "model")
    write_shard(source / "model.safetensors", of_layers(source, 1, 4096, 1 << 19), sparse=True)
    assert (source / "model.safetensors").stat().st_size > 8 << 30
    ran = bad.run(*CONVERSIONS[command], "--model", source, "--dry-run", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["parameters"] > 1 << 32
    os.truncate(source / "model.safetensors", 6 << 30)
    line = (*CONVERSIONS[command], "--model", source, "--dry-run")
    bad.refused(*line, says="is truncated", names=r"model\.safetensors")


@fault("odd: a GGUF of 4 GB", says="Inspected by its head alone.")
def test_a_large_gguf(bad: Bench) -> None:
    data = head(pair("general.architecture", 8, text("llama")), info("token_embd.weight", (1 << 20, 1 << 11), kind=30))
    with (bad.work / "x.gguf").open("wb") as file:
        file.write(data)
        file.truncate(len(data) + (1 << 32))
    ran = bad.run("inspect", "x.gguf", "--tensors")
    assert ran.code == 0, ran.err
    assert "4.29 GB" in ran.out


@pytest.mark.parametrize("command", CONVERSIONS)
@fault("odd: a tensor of no rows")
def test_a_tensor_of_no_rows(command: str, model: Path, bad: Bench) -> None:
    from safetensors.numpy import save_file

    source = shutil.copytree(model, bad.root / "model")
    save_file({"model.layers.9.empty": np.zeros((0, 64), np.float32)}, source / "extra.safetensors")
    edit(source / INDEX, lambda c: c["weight_map"].update({"model.layers.9.empty": "extra.safetensors"}))
    says = "no place in a llama decoder, for example model.layers.9.empty"
    bad.refused(*CONVERSIONS[command], "--model", source, "-o", "out", says=says, source=source)


@pytest.mark.parametrize("command", CONVERSIONS)
@fault("process: fewer file handles than shards")
def test_too_few_handles(command: str, model: Path, bad: Bench) -> None:
    source = bad.root / "model"
    source.mkdir()
    names = {}
    for path in model.iterdir():
        if path.suffix == ".safetensors":
            for name, tensor in load_raw(path).items():
                names[name] = f"model-{len(names) + 1:05d}-of-00021.safetensors"
                (source / names[name]).write_bytes(tensor)
        else:
            shutil.copyfile(path, source / path.name)
    edit(source / INDEX, lambda c: c.update(weight_map=names))
    assert bad.run(*CONVERSIONS[command], "--model", source, "--dry-run").code == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 12, hard))
    try:
        ran = bad.run(*CONVERSIONS[command], "--model", source, "-o", "out")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert ran.code == 1, ran.err
    assert "Too many open files" in ran.message
    assert "ulimit -n" in ran.hint
    assert list(bad.work.iterdir()) == []
    bad.record(command, ran.code, ran.message, ran.hint)


def load_raw(path: Path) -> dict[str, bytes]:
    """Cut a shard into shards of one tensor each."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    found = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            header = json.dumps({name: {**entry, "data_offsets": [0, end - start]}}).encode()
            found[name] = struct.pack("<Q", len(header)) + header + data[8 + length + start : 8 + length + end]
    return found
