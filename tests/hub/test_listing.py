from typing import Any

import pytest

from edgeconv.core.errors import CheckpointError, HubUnreachableError
from edgeconv.hub.listing import Listing, RemoteFile, from_tree, is_read_by_loaders, is_safe_name, to_tree

from .conftest import NEEDED
from .server import Files, tree_entry


def needed(*names: str, allow_remote_code: bool = False) -> set[str]:
    listing = Listing("org/name", "0" * 40, tuple(RemoteFile(name, 1) for name in names))
    return {file.path for file in listing.needed(allow_remote_code=allow_remote_code)}


def test_needed_of_a_whole_repository(files: Files) -> None:
    assert needed(*files) == NEEDED
    assert needed(*files, allow_remote_code=True) == NEEDED | {"modeling_glm.py"}


def test_pickles_only_without_safetensors() -> None:
    names = ("config.json", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json", "optimizer.bin")
    assert needed(*names) == set(names) - {"optimizer.bin"}
    assert needed(*names, "model.safetensors") == {"config.json", "model.safetensors"}


def test_second_copies_are_left_out() -> None:
    copies = ("consolidated.safetensors", "model.fp16.safetensors", "model.fp16-00001-of-00002.safetensors")
    assert needed("config.json", "model.safetensors", *copies) == {"config.json", "model.safetensors"}
    assert needed("config.json", "consolidated.safetensors") == {"config.json", "consolidated.safetensors"}


@pytest.mark.parametrize("name", ["tokenizer.model", "spiece.model", "qwen.tiktoken", "vocab.txt", "merges.txt",
                                  "added_tokens.json", "special_tokens_map.json", "chat_template.json", "NOTICE",
                                  "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json",
                                  "LICENCE.md"])  # fmt: skip
def test_small_files_that_matter(name: str) -> None:
    assert name in needed("config.json", "model.safetensors", name)
    assert f"sub/{name}" not in needed("config.json", "model.safetensors", f"sub/{name}")


def test_no_config_or_no_weights() -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        needed("model.safetensors")
    with pytest.raises(CheckpointError, match=r"model-Q4_K_M\.gguf"):
        needed("config.json", "model-Q4_K_M.gguf")


def test_what_a_loader_would_act_on() -> None:
    assert is_read_by_loaders("adapter_config.json", allow_remote_code=False)
    assert is_read_by_loaders("extra.safetensors", allow_remote_code=False)
    assert not is_read_by_loaders("modeling.py", allow_remote_code=False)
    assert is_read_by_loaders("modeling.py", allow_remote_code=True)
    assert not is_read_by_loaders(".DS_Store", allow_remote_code=True)


def test_tree_round_trip(files: Files) -> None:
    entries = [tree_entry(path, data) for path, data in files.items()]
    listing = from_tree("org/name", "0" * 40, [*entries, {"type": "directory", "path": "onnx", "oid": "0" * 40}])
    assert from_tree("org/name", "0" * 40, to_tree(listing)) == listing
    by_path = {file.path: file for file in listing.files}
    assert by_path["config.json"].digest == tree_entry("config.json", files["config.json"])["oid"]
    assert len(by_path["pytorch_model.bin"].digest or "") == 64


UNSAFE = ["../evil", "a/../../evil", "/etc/passwd", "a\\..\\b", "C:/x", "a//b", "./a", "a/", "", "a\0b", "a\nb",
          "\ud800", ".git/config", "x" * 2000]  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names(name: str) -> None:
    assert not is_safe_name(name)
    with pytest.raises(CheckpointError, match="outside of its folder"):
        from_tree(
            "org/name",
            "0" * 40,
            [tree_entry("config.json", b"{}"), tree_entry(name.strip("\ud800"), b"") | {"path": name}],
        )


@pytest.mark.parametrize("name", ["config.json", "a/b/c.json", "..a", "a..", "模型.json", "with space.txt", "[1].bin"])
def test_safe_names(name: str) -> None:
    assert is_safe_name(name)


def test_a_name_twice() -> None:
    with pytest.raises(CheckpointError, match="twice"):
        from_tree("org/name", "0" * 40, [tree_entry("a", b"1"), tree_entry("a", b"2")])


@pytest.mark.parametrize(
    "change",
    [{"size": -1}, {"size": "9"}, {"size": True}, {"oid": "xyz"}, {"oid": None}, {"lfs": {"oid": "0" * 40, "size": 1}},
     {"lfs": {"size": 1}}, {"lfs": "x"}, {"path": 7}],
)  # fmt: skip
def test_malformed_entries(change: dict[str, Any]) -> None:
    with pytest.raises((HubUnreachableError, CheckpointError)):
        from_tree("org/name", "0" * 40, [tree_entry("a", b"1") | change])


@pytest.mark.parametrize("entries", [None, 7, [None], ["a"], {"error": "x"}, [{}]])
def test_malformed_lists(entries: Any) -> None:
    with pytest.raises(HubUnreachableError):
        from_tree("org/name", "0" * 40, entries)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("adapter_config.json", "adapter_model.safetensors"), "an adapter .*not a model"),
        (("config.json", "model.safetensors", "adapter_config.json", "adapter_model.bin"), "beside the model"),
        (("a.gguf", "README.md"), "it holds GGUF files"),
    ],
)
def test_what_is_no_checkpoint_is_named(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        needed(*names)
    assert "Download the checkpoint again" not in (caught.value.hint or "")


def test_an_adapters_config_alone_is_left_over() -> None:
    names = ("config.json", "model.safetensors", "adapter_config.json")
    assert needed(*names) == {"config.json", "model.safetensors"}


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml"), "an OpenVINO IR"),
        (("model.onnx", "model.onnx_data", "genai_config.json"), "an ONNX model"),
    ],
)
def test_what_is_already_converted_is_called_so(names: tuple[str, ...], what: str) -> None:
    with pytest.raises(CheckpointError, match=f"is already converted: it holds {what}") as caught:
        needed("config.json", *names)
    assert "the checkpoint that it was made from" in str(caught.value.hint)
