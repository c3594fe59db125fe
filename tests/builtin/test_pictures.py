"""The pictures that the built-in vision model learns from and is tested with."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from PIL import Image

from edgeconv.builtin import pictures
from edgeconv.convert.families.glm_edge_v_model.pixels import Preprocess
from edgeconv.core.picture_task import upright_rgb

RULE = Preprocess(112, (0.5,) * 3, (0.5,) * 3)


def test_descriptions():
    assert pictures.Scene(3, "red", "circle", "blue").english() == "Three red circles on a blue background."
    assert pictures.Scene(1, "white", "cross", "orange").english() == "One white cross on an orange background."
    assert pictures.Scene(2, "white", "cross", "red").english() == "Two white crosses on a red background."
    assert pictures.Scene(2, "red", "square", "blue").chinese() == "蓝色背景上有两个红色正方形。"


def test_no_two_scenes_are_described_alike():
    r = Random(1)
    scenes = {pictures.scene(r) for _ in range(20_000)}
    assert len(scenes) == 4 * 8 * 4 * 7
    assert len({scene.english() for scene in scenes}) == len({scene.chinese() for scene in scenes}) == len(scenes)


def test_the_same_seed_gives_the_same_pictures():
    first, again, other = ([pictures.picture(Random(seed)) for _ in range(2)] for seed in (1, 1, 2))
    assert first == again != other
    np.testing.assert_array_equal(np.asarray(first[0].draw()), np.asarray(again[0].draw()))


def test_pictures_are_wide_tall_and_square():
    r = Random(4)
    ratios = [made.width / made.height for made in (pictures.picture(r) for _ in range(500))]
    assert pictures.LONGEST - 0.03 < max(ratios) < pictures.LONGEST + 0.03
    assert pictures.LONGEST - 0.03 < 1 / min(ratios) < pictures.LONGEST + 0.03
    assert sum(ratio == 1 for ratio in ratios) > 100


def test_without_variety_pictures_are_square_and_sharp():
    r = Random(4)
    assert all(made.width == made.height >= RULE.size for made in (pictures.picture(r, 0) for _ in range(200)))
    assert min(pictures.picture(r, 1).width for _ in range(200)) < 60


def separate_blobs(mask):
    """Count the connected regions of a boolean image by flooding them one after the other."""
    left = {tuple(place) for place in np.argwhere(mask)}
    count = 0
    while left:
        count += 1
        edge = [left.pop()]
        while edge:
            y, x = edge.pop()
            near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
            left -= near
            edge += near
    return count


@pytest.mark.parametrize("size", [(90, 90), (96, 54), (54, 96)])
def test_the_picture_shows_what_its_scene_says(size):
    """As many separate shapes as it says, none cut off at an edge, in the colors that it says."""
    r = Random(7)
    for _ in range(40):
        made = pictures.lay_out(pictures.scene(r), *size, r)
        mask = Image.new("L", size, 0)
        made.paint(mask, 1)
        shown = np.asarray(mask) == 1
        assert separate_blobs(shown) == made.scene.number
        assert not (shown[0].any() or shown[-1].any() or shown[:, 0].any() or shown[:, -1].any())
        drawn = np.asarray(made.draw()).astype(int)
        assert drawn.shape == (size[1], size[0], 3)
        x, y = (int(made.centers[0][axis] * size[axis]) for axis in (0, 1))
        for color, name in ((drawn[y, x], made.scene.color), (drawn[0, 0], made.scene.background)):
            own = np.array([rgb for _, rgb in pictures.COLORS.values()])
            assert list(pictures.COLORS)[np.abs(own - color).sum(axis=1).argmin()] == name


def test_samples_are_named_apart_and_fixed():
    made = pictures.samples(3)
    assert len(made) == len({sample.name for sample in made}) == 3 * 2 * len(pictures.FORMS)
    assert Counter(sample.kind for sample in made) == dict.fromkeys(pictures.FORMS, 6)
    fewer = {sample.name: sample for sample in pictures.samples(1)}
    same = {sample.name: sample for sample in made if sample.name in fewer}
    assert fewer.keys() == same.keys()
    for name, sample in fewer.items():
        assert (sample.question, sample.answer) == (same[name].question, same[name].answer)
        np.testing.assert_array_equal(np.asarray(sample.picture), np.asarray(same[name].picture))


def test_samples_come_in_every_form():
    first = {sample.kind: sample.picture for sample in pictures.samples(1)}
    assert first["grey"].mode == "L"
    assert first["transparent"].mode == "RGBA"
    assert first["wide"].width > first["wide"].height
    assert first["tall"].width < first["tall"].height
    assert max(first["tiny"].size) < 50 < 1000 < max(first["large"].size)
    assert first["sideways"].getexif()[0x0112] == 6
    turned = upright_rgb(first["sideways"])
    assert turned.size == first["sideways"].size[::-1]
    assert turned.width > turned.height


def test_samples_survive_a_file(tmp_path):
    """A validator may hand them on as files: the pixels stay the same, orientation included."""
    for sample in pictures.samples(1):
        path = tmp_path / f"{sample.name}.png"
        sample.picture.save(path, exif=sample.picture.getexif())
        with Image.open(path) as read:
            np.testing.assert_array_equal(RULE([read]), RULE([sample.picture]))
