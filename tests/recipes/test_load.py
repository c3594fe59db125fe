from collections.abc import Callable
from pathlib import Path

import pytest

from edgeconv.core.errors import UsageError
from edgeconv.recipes.load import find, load, shipped
from edgeconv.recipes.model import Gguf, OpenVINO

GOOD = """\
recipe: 1
name: small
source:
  model: org/name
targets:
  openvino-int4:
    format: openvino
    precision: int4
    ratio: 0.8
  gguf-q4:
    format: gguf
    type: q4_k_m
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "r.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_a_good_one(written: Callable[[str], Path]) -> None:
    recipe = load(written(GOOD))
    assert (recipe.name, recipe.source.model, recipe.source.revision) == ("small", "org/name", None)
    assert recipe.targets["openvino-int4"] == OpenVINO(format="openvino", precision="int4", ratio=0.8)
    assert recipe.targets["gguf-q4"] == Gguf(format="gguf", type="q4_k_m")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("precision: int4", "precison: int4", 8, "there is no field targets.openvino-int4.precison"),
        ("precision: int4", "precision: int5", 8, "'int5' is none of fp32"),
        ("ratio: 0.8", "ratio: 1.5", 9, "less than or equal to 1"),
        ("ratio: 0.8", "ratio: [0.8", 10, "is not YAML"),
        ("format: gguf", "format: ggml", 10, "does not match any of the expected tags"),
        ("  model: org/name", "  revision: main", 4, "source.model: Field required"),
        ("name: small", "name: small\nnaem: x", 3, "there is no field naem"),
        ("name: small", "name: small\nname: other", 3, "name is there twice"),
        ("type: q4_k_m", "type: 2026-11-22", 12, "should be a valid string"),
        ("recipe: 1", "recipe: 2", 1, "recipe: Input should be 1"),
        ("  gguf-q4:", "  GGUF/../x:", 10, "should match pattern"),
    ],
)
def test_file_and_line_of_what_is_wrong(
    old: str, new: str, line: int, says: str, written: Callable[[str], Path]
) -> None:
    path = written(GOOD.replace(old, new))
    with pytest.raises(UsageError) as caught:
        load(path)
    assert caught.value.message.startswith(f"{path}:{line}")
    assert says in caught.value.message
    assert caught.value.hint


def test_a_misspelled_field_gets_a_suggestion(written: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError) as caught:
        load(written(GOOD.replace("ratio: 0.8", "ration: 0.8")))
    assert caught.value.hint == "Did you mean ratio?"


@pytest.mark.parametrize(
    "text", ["", "- a\n", "just words", "a: &x 1\n" + "[" * 3000, "\x00", "a: " + "[" * 30 + "]" * 30]
)
def test_what_is_no_recipe(text: str, written: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError):
        load(written(text))


def test_an_alias_bomb_is_small(written: Callable[[str], Path]) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(UsageError):
        load(written("\n".join(lines)))


def test_shipped_ones_load_and_are_found_by_name() -> None:
    assert list(shipped()) == [
        "chatglm2-6b",
        "glm-edge-1.5b-chat",
        "glm-edge-4b-chat",
        "glm-edge-v-2b",
        "glm-edge-v-5b",
    ]
    for name, path in shipped().items():
        recipe = load(path)
        assert recipe.name == name
        assert recipe.source.model == f"THUDM/{name}"
        assert set(recipe.targets) == {"openvino-int4", "openvino-int8", "gguf-q4_k_m", "gguf-q8_0"}
    chat, takes_images = (load(find(name)).targets["openvino-int4"] for name in ("glm-edge-4b-chat", "glm-edge-v-2b"))
    assert isinstance(chat, OpenVINO)
    assert isinstance(takes_images, OpenVINO)
    assert (chat.sym, chat.group_size, chat.ratio) == (True, 128, 0.8)
    assert (takes_images.sym, takes_images.group_size, takes_images.ratio) == (True, 64, 0.6)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        find("glm-edge-1.5-chat")
    assert caught.value.hint == "Did you mean glm-edge-1.5b-chat?"
