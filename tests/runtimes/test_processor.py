"""From pictures and messages to ids and pixels, against transformers' own processor of each family."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from edgeconv.core.errors import ArtifactError, CheckpointError, UsageError
from edgeconv.core.picture_task import upright_rgb
from edgeconv.runtimes.processor import Processor
from edgeconv.runtimes.prompt import message

from ..models.tiny_vlm_files import FILES
from .vision_models import Turn, messages, noise, processor


def _turned() -> Image.Image:
    picture = Image.fromarray(noise(90, 40))
    picture.getexif()[0x0112] = 6
    return picture


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "wide": lambda: Image.fromarray(noise(190, 100)),
    "tall": lambda: Image.fromarray(noise(60, 300)),
    "small": lambda: Image.fromarray(noise(9, 12)),
    "a tile": lambda: Image.fromarray(noise(56, 56)),
    "odd": lambda: Image.fromarray(noise(131, 77)),
    "alpha": lambda: Image.fromarray(noise(70, 90, 4), "RGBA"),
    "gray": lambda: Image.fromarray(noise(70, 90, 1), "L"),
    "deep gray": lambda: Image.fromarray(noise(70, 90, 1).astype(np.uint16) * 257),
    "palette": lambda: Image.fromarray(noise(70, 90)).convert("P"),
    "bits": lambda: Image.fromarray(noise(70, 90, 1), "L").convert("1"),
    "cmyk": lambda: Image.fromarray(noise(70, 90)).convert("CMYK"),
    "turned": _turned,
}
EXTREMES: dict[str, Callable[[], Image.Image]] = {
    "1 wide": lambda: Image.fromarray(noise(1, 150)),
    "1 high": lambda: Image.fromarray(noise(150, 1)),
    "1 pixel": lambda: Image.fromarray(noise(1, 1)),
    "8k wide": lambda: Image.fromarray(noise(8192, 60)),
    "8k": lambda: Image.fromarray(noise(3000, 4096)).resize((8192, 2048)),
}


@pytest.fixture(scope="module", params=FILES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp(family)
    FILES[family].write(made)
    (made / "config.json").write_text(json.dumps({"model_type": family}))
    return made


@pytest.fixture(scope="module")
def ours(folder: Path) -> Processor:
    return Processor(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    return processor(folder)


def compare(ours: Processor, theirs: Any, *turns: Turn) -> list[dict[str, Any]]:
    """Let both processors take a conversation; return what ours makes of its pictures."""
    opened = [(role, text, *map(upright_rgb, pictures)) for role, text, *pictures in turns]
    expected = theirs.apply_chat_template(
        messages(*opened), tokenize=True, return_dict=True, add_generation_prompt=True
    )
    made = [ours.pixels(picture) for _, _, *pictures in turns for picture in pictures]
    ids = ours.prompt(
        [message(role, text, len(pictures)) for role, text, *pictures in turns], [*map(ours.written, made)]
    )
    assert ids == list(expected["input_ids"][0])
    if len(made) == 1:
        for name, value in expected.items():
            if name.startswith(("pixel", "image_")):
                assert_equal(made[0][name], value)
    return made


def assert_equal(ours: np.ndarray, theirs: Any) -> None:
    """Compare to the bit."""
    wanted = np.stack([np.asarray(one) for one in theirs]) if isinstance(theirs, list) else np.asarray(theirs)
    assert ours.dtype.kind == wanted.dtype.kind
    np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("kind", PICTURES)
def test_ids_and_pixels_are_transformers(kind: str, ours: Processor, theirs: Any) -> None:
    compare(ours, theirs, ("user", "What is this?", PICTURES[kind]()))


@pytest.mark.parametrize("kind", EXTREMES)
def test_of_extreme_pictures_too_or_both_refuse(kind: str, ours: Processor, theirs: Any) -> None:
    picture = EXTREMES[kind]()
    try:
        theirs.image_processor([picture], return_tensors="np")
    except Exception as error:  # noqa: BLE001 - whatever transformers raises
        with pytest.raises(CheckpointError, match=r"cannot be prepared: "):
            ours.pixels(picture)
        assert "aspect" in str(error) or "0" in str(error) or "resize" in str(error)
    else:
        compare(ours, theirs, ("user", "What is this?", picture))


def test_several_pictures_and_one_in_the_second_turn(ours: Processor, theirs: Any) -> None:
    first, second, third = (Image.fromarray(noise(*size, seed=seed)) for seed, size in enumerate(SIZES))
    made = compare(
        ours,
        theirs,
        ("user", "Compare these.", first, second),
        ("assistant", "The first is wider."),
        ("user", "And this one?", third),
    )
    for picture, one in zip((first, second, third), made, strict=True):
        for name, value in ours.pixels(picture).items():
            np.testing.assert_array_equal(one[name], value)


SIZES = [(120, 60), (60, 100), (100, 170)]


def test_text_alone(ours: Processor, theirs: Any) -> None:
    assert compare(ours, theirs, ("user", "Hello"), ("assistant", "Hello!"), ("user", "Go on")) == []


def test_files_of_transformers_5(family: str, folder: Path, ours: Processor, theirs: Any, tmp_path: Path) -> None:
    """It saves the image processor within processor_config.json."""
    theirs.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    assert not (tmp_path / "preprocessor_config.json").exists()
    again, picture = Processor(tmp_path), PICTURES["wide"]()
    made, expected = again.pixels(picture), ours.pixels(picture)
    assert made.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(made[name], value)
    asked = [message("user", "What is this?", 1)]
    assert again.prompt(asked, [again.written(made)]) == ours.prompt(asked, [ours.written(expected)])


def test_the_class_is_found_by_the_type(family: str, folder: Path, ours: Processor, tmp_path: Path) -> None:
    """An older checkpoint names none."""
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    for path in folder.iterdir():
        content = path.read_text()
        if path.name in {"preprocessor_config.json", "processor_config.json"}:
            content = json.dumps({k: v for k, v in json.loads(content).items() if k != "processor_class"})
        (tmp_path / path.name).write_text(content)
    if family not in PROCESSOR_MAPPING_NAMES:
        with pytest.raises(ArtifactError, match=r"names no processor_class, and transformers has none for"):
            Processor(tmp_path)
        return
    asked, made = [message("user", "What is this?", 1)], ours.pixels(PICTURES["wide"]())
    assert Processor(tmp_path).written(made) == ours.written(made)
    assert Processor(tmp_path).prompt(asked, [ours.written(made)]) == ours.prompt(asked, [ours.written(made)])


def test_a_text_that_stands_for_pictures_is_refused(ours: Processor) -> None:
    made = [ours.written(ours.pixels(PICTURES["wide"]()))]
    with pytest.raises(UsageError, match=r"stand for pictures"):
        ours.prompt([message("user", f"Look: {ours._marker}", 1)], made)
    with pytest.raises(UsageError, match=r"stand for pictures"):
        ours.prompt([message("user", f"Look: {ours._row}", 1)], made)
    with pytest.raises(UsageError, match=r"stand for pictures"):
        ours.prompt([message("user", "Look", 2)], made)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK", "YCbCr"])
def test_a_picture_is_opened_as_transformers_opens_it(mode: str) -> None:
    """But for alpha, which transformers drops: here what is transparent becomes white."""
    from transformers.image_utils import load_image

    picture = ImageOps.exif_transpose(_turned()).convert(mode)
    np.testing.assert_array_equal(np.asarray(upright_rgb(picture)), np.asarray(load_image(picture)))


def _changed(folder: Path, out: Path, name: str, **fields: Any) -> Path:
    for path in folder.iterdir():
        (out / path.name).write_text(path.read_text())
    kept = {k: v for k, v in json.loads((folder / name).read_text()).items() if fields.get(k, v) is not None}
    (out / name).write_text(json.dumps(kept | {k: v for k, v in fields.items() if v is not None}))
    return out


def test_an_unknown_processor_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            _changed(folder, tmp_path, name, processor_class="ClapProcessor")
            break
    with pytest.raises(ArtifactError, match=r"transformers' ClapProcessor, which is not known here"):
        Processor(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_processor_type": "NoImageProcessor"}, r"has no image processor NoImageProcessor for Pillow"),
        ({"image_processor_type": "Sam2ImageProcessor"}, r"has no image processor Sam2ImageProcessor for Pillow"),
        ({"image_mean": "red"}, r"cannot be prepared"),
        ({"size": {"width": 10**9, "height": 10**9, "longest_edge": 10**9, "shortest_edge": 10**9}}, r"cannot be"),
    ],
    ids=["none", "of torchvision", "a word", "huge"],
)
def test_damaged_files(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    FILES["gemma3"].write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3"}))
    stated = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated | fields))
    with pytest.raises(CheckpointError, match=message):
        Processor(tmp_path).pixels(PICTURES["small"]())


HOSTILE: dict[str, tuple[str, dict[str, Any]]] = {
    "a picture that grows": ("qwen2_vl", {"min_pixels": 10**12, "max_pixels": 10**13}),
    "tiles of a pixel": ("smolvlm", {"max_image_size": {"longest_edge": 1}, "size": {"longest_edge": 3000}}),
    "huge tiles": ("llava_next", {"image_grid_pinpoints": [[10**6, 10**6]]}),
    "no end of tiles": ("internvl", {"max_patches": 10**9}),
    "patches of nothing": ("glm4v", {"patch_size": 0}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_within_limits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeconv.core import pixels

    monkeypatch.setattr(pixels, "SECONDS", 3.0)
    monkeypatch.setattr(pixels, "MEMORY", 1 << 30)
    kind, fields = HOSTILE[name]
    FILES[kind].write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    stated = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(stated | fields))
    processor = Processor(tmp_path)
    with pytest.raises(CheckpointError, match=r"cannot be prepared: |does not say how .* writes a picture"):
        processor.written(processor.pixels(PICTURES["wide"]()))
    # the next picture has a process of its own
    FILES[kind].write(tmp_path)
    assert Processor(tmp_path).pixels(PICTURES["wide"]())


def test_more_rows_than_a_picture_can_have(tmp_path: Path) -> None:
    FILES["smolvlm"].write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "smolvlm"}))
    for count in (200_000, 10**9):
        whole = {"processor_class": "SmolVLMProcessor", "image_seq_len": count}
        (tmp_path / "processor_config.json").write_text(json.dumps(whole))
        processor = Processor(tmp_path)
        with pytest.raises(
            CheckpointError, match=r"writes a picture: (1,400,000 rows of one picture|image_seq_len is)"
        ):
            processor.written(processor.pixels(PICTURES["wide"]()))


def test_films_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"ftyp")
    FILES["qwen2_vl"].write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_vl"}))
    with pytest.raises(UsageError, match=r"a\.mp4 is a film, of which edgeconv reads no frames"):
        Processor(tmp_path).pixels(tmp_path / "a.mp4")


def test_a_file_that_does_not_say_how(tmp_path: Path) -> None:
    FILES["llava"].write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava"}))
    stated = json.loads((tmp_path / "processor_config.json").read_text())
    for value in (None, "fourteen", 0, -3):
        (tmp_path / "processor_config.json").write_text(json.dumps(stated | {"patch_size": value}))
        processor = Processor(tmp_path)
        made = processor.pixels(PICTURES["small"]())
        with pytest.raises(CheckpointError, match=r"does not say how LlavaProcessor writes a picture"):
            processor.written(made)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no preprocessor_config\.json"):
        Processor(tmp_path)


def test_this_process_needs_neither_torch_nor_transformers(tmp_path: Path) -> None:
    import subprocess
    import sys

    FILES["qwen2_vl"].write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_vl"}))
    program = (
        "import sys; from pathlib import Path; from PIL import Image; from edgeconv.runtimes.processor import Processor;"
        "made = Processor(Path(sys.argv[1])).pixels(Image.new('RGB', (99, 40)));"
        "print(sorted(made), sorted({'torch', 'transformers', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "['image_grid_thw', 'pixel_values'] []\n"
