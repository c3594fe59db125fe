"""A small artifact with a true manifest, for tests that need one and no model in it."""

from pathlib import Path

from edgeconv.core.digest import sha256_file
from edgeconv.core.manifest import FileDigest, Manifest, Source, TensorEntry
from edgeconv.quantize.scheme import Request, resolve

FILES = {"config.json": b'{"model_type": "glm"}\n', "openvino_model.bin": bytes(range(256)) * 8, "sub/notes.txt": b"x"}


def digest(path: Path) -> FileDigest:
    """Return the size and SHA-256 that a manifest should state for a file."""
    return FileDigest(size=path.stat().st_size, sha256=sha256_file(path))


def make(folder: Path) -> Manifest:
    """Fill a folder with an artifact and return its manifest, which is written too."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest = sample().model_copy(update={"outputs": {name: digest(folder / name) for name in FILES}})
    manifest.write(folder)
    return manifest


def sample() -> Manifest:
    """Return a manifest of no files."""
    return Manifest(
        target="openvino",
        source=Source(
            repo_id="org/name",
            commit="0123456789abcdef0123456789abcdef01234567",
            model_type="glm",
            architectures=["GlmForCausalLM"],
            parameters=1664,
            files={"model.safetensors": FileDigest(size=3328, sha256="0" * 64)},
        ),
        engine="stream",
        compressor="edgeconv",
        scheme=resolve(Request("int4", group_size=32)).as_dict(),
        row_order="source",
        assumed=["partial_rotary_factor = 0.5"],
        bits_per_weight=6.15,
        tensors=[
            TensorEntry(name="embed", shape=[10, 64], precision="int8_asym", group_size=-1, bytes=670),
            TensorEntry(name="q", shape=[8, 64], precision="int4_asym", group_size=32, bytes=296),
            TensorEntry(name="k", shape=[8, 64], precision="int4_asym", group_size=32, bytes=296),
        ],
        versions={"openvino": "2026.4.1"},
        outputs={},
    )
