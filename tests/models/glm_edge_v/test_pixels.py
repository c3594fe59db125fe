"""The picture's way to pixels, against Mllama's image processor, which GLM-Edge-V's own files name."""

import json
from random import Random

import numpy as np
import pytest
from PIL import Image
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

from edgeconv.convert.families.glm_edge_v_model.image_processing import GlmEdgeVImageProcessor
from edgeconv.convert.families.glm_edge_v_model.pixels import Preprocess, open_picture
from edgeconv.core import picture_file
from edgeconv.core.errors import CheckpointError, UsageError
from edgeconv.core.picture_task import upright_rgb

from ..tiny_v import PREPROCESSOR

REAL = PREPROCESSOR | {"size": {"height": 672, "width": 672}}
SMALL = PREPROCESSOR | {
    "size": {"height": 112, "width": 112},
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.3, 0.4],
}
SIDES = Random(3)
SIZES = [(1, 1), (1, 900), (900, 1), (49, 49), (111, 112), (113, 112), (300, 200), (200, 300)]
SIZES += [(SIDES.randint(2, 700), SIDES.randint(2, 700)) for _ in range(24)]


def noise(width, height, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def mllama(config, picture):
    fields = {name: value for name, value in config.items() if name != "image_processor_type"}
    return MllamaImageProcessorPil(**fields)(picture, return_tensors="np")["pixel_values"]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_same_pixels_as_mllama(size):
    picture = Image.fromarray(noise(*size))
    expected = mllama(SMALL, picture)
    assert expected.shape == (1, 1, 1, 3, 112, 112)
    made = Preprocess.from_config(SMALL)([picture])
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, expected[0, 0])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_every_mode_as_mllama(mode):
    picture = Image.fromarray(noise(60, 40, 4), "RGBA")
    picture = (
        picture.convert("P").convert("PA")
        if mode == "PA"
        else picture.convert("RGB" if mode in {"CMYK", "YCbCr", "HSV"} else picture.mode).convert(mode)
    )
    np.testing.assert_array_equal(Preprocess.from_config(SMALL)([picture]), mllama(SMALL, picture)[0, 0])


def test_the_real_size_as_mllama():
    picture = Image.fromarray(noise(1024, 683))
    np.testing.assert_array_equal(Preprocess.from_config(REAL)([picture]), mllama(REAL, picture)[0, 0])


def test_every_size_fits_as_in_mllama():
    """Both sides from 1 to 200: float arithmetic decides where a side is rounded down, so it must be the same one."""
    from transformers.models.mllama.image_processing_pil_mllama import get_image_size_fit_to_canvas

    rule = Preprocess.from_config(REAL)
    for width in range(1, 200):
        for height in range(1, 200):
            expected = get_image_size_fit_to_canvas(height, width, 672, 672, 672)
            assert rule.fit(width, height)[::-1] == expected


@pytest.mark.parametrize(("size", "inside"), [((300, 100), (112, 37)), ((100, 300), (37, 112)), ((9, 9), (112, 112))])
def test_the_picture_is_top_left_and_the_rest_is_zero(size, inside):
    white = Image.new("RGB", size, (255, 255, 255))
    canvas = Preprocess.from_config(SMALL).canvas(white)
    width, height = inside
    assert (canvas[:height, :width] == 255).all()
    assert canvas.sum() == 255 * 3 * width * height
    pixels = Preprocess.from_config(SMALL)([white])[0]
    if height < 112:
        np.testing.assert_allclose(pixels[:, -1, -1], [-0.4 / 0.2, -0.5 / 0.3, -0.6 / 0.4], rtol=1e-6)


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert upright_rgb(clear).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation):
    """All eight EXIF orientations of one picture give the same pixels."""
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what a camera did: the inverse of what a viewer does
    upright = Image.fromarray(noise(30, 20))
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(turns[orientation]))
    stored.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(np.asarray(upright_rgb(stored)), np.asarray(upright))


def test_sixteen_bit_gray_is_scaled():
    deep = Image.fromarray((np.arange(4096, dtype=np.uint16) * 16).reshape(64, 64))
    assert deep.mode.startswith("I;16")
    made = np.asarray(upright_rgb(deep))
    np.testing.assert_array_equal(made[..., 0].reshape(-1), np.arange(4096) >> 4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": None}, "size"),
        ({"image_mean": None}, "image_mean"),
        ({"resample": None}, "resample"),
        ({"size": {"height": 112, "width": 56}}, "56"),
        ({"size": {"shortest_edge": 112}}, "shortest_edge"),
        ({"do_pad": False}, "do_pad"),
        ({"max_image_tiles": 4}, "max_image_tiles 4"),
    ],
)
def test_another_preparation_is_refused(change, told):
    with pytest.raises(CheckpointError, match=told):
        Preprocess.from_config(SMALL | change)


def test_from_folder(folder, tmp_path):
    assert Preprocess.from_folder(folder) == Preprocess(56, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(CheckpointError, match="preprocessor_config"):
        Preprocess.from_folder(tmp_path)


def test_open_picture(tmp_path):
    made = Image.fromarray(noise(30, 20))
    made.save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(open_picture(tmp_path / "a.png")), np.asarray(made))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no picture")
    for name in ("cut.png", "text.png", "absent.png"):
        with pytest.raises(UsageError, match=name) as caught:
            open_picture(tmp_path / name)
        assert caught.value.hint


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16", "CMYK"])
def test_a_picture_comes_from_the_worker_as_it_was_decoded_here(mode, tmp_path, monkeypatch):
    """In several answers, the last one shorter."""
    monkeypatch.setattr(picture_file, "_AT_ONCE", 7 * 3 * 30)
    made = Image.fromarray(noise(30, 20))
    wide = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)
    made = wide if mode == "I;16" else made.convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    made.save(path)
    with Image.open(path) as opened:
        opened.load()
        expected = upright_rgb(opened)
    np.testing.assert_array_equal(np.asarray(open_picture(path)), np.asarray(expected))


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    Image.new("1", (400, 400)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UsageError, match=r"bomb\.png"):
        open_picture(tmp_path / "bomb.png")


def test_image_processor_takes_what_people_have():
    processor = GlmEdgeVImageProcessor(**SMALL)
    array = noise(30, 20)
    one = processor(Image.fromarray(array))["pixel_values"]
    assert type(one) is np.ndarray
    assert one.shape == (1, 3, 112, 112)
    three = processor([[Image.fromarray(array)], [array, Image.fromarray(array)]], return_tensors="pt")["pixel_values"]
    np.testing.assert_array_equal(three.numpy(), np.concatenate([one] * 3))
    with pytest.raises(UsageError, match="float64"):
        processor(array / 255)


def test_image_processor_is_written_and_read(tmp_path):
    processor = GlmEdgeVImageProcessor(**SMALL)
    processor.save_pretrained(tmp_path)
    stated = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert stated["image_processor_type"] == "GlmEdgeVImageProcessor"
    assert {name: stated[name] for name in SMALL if name != "image_processor_type"} == {
        name: value for name, value in SMALL.items() if name != "image_processor_type"
    }
    again = GlmEdgeVImageProcessor.from_pretrained(tmp_path)
    picture = Image.fromarray(noise(30, 20))
    np.testing.assert_array_equal(again(picture)["pixel_values"], processor(picture)["pixel_values"])


def test_pixels_need_neither_torch_nor_transformers():
    """A runtime without torch makes the same pixels."""
    import subprocess
    import sys

    code = (
        "import sys; from edgeconv.convert.families import glm_edge_v_model as model; from edgeconv.models import glm_edge_v;"
        "assert glm_edge_v is model;"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
