import json
from random import Random

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from edgeconv.builtin import model_path, pictures, train_vision, vision_model_path
from edgeconv.builtin.vision_exam import MOST_TOKENS
from edgeconv.builtin.vision_lessons import COLORS, NO_LOSS, SHAPES, Lessons, look, under_patches
from edgeconv.builtin.vision_structure import PATCH, SIZE, make_model, sines
from edgeconv.convert.families.glm_edge_v_model.facts import PLACEHOLDER


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(vision_model_path())


def test_what_lies_under_the_patches():
    """A wide picture of one red square in the top right quarter, on blue; below it only padding."""
    scene = pictures.Scene(1, "red", "square", "blue")
    made = pictures.Picture(scene, 200, 120, ((0.75, 0.25),), 0.2, (220, 40, 40), (50, 80, 220))
    shapes, colors, places = under_patches(made)
    shapes, colors = shapes.reshape(8, 8), colors.reshape(8, 8)
    assert SIZE // PATCH == 8
    x, y = int(0.75 * 112) // PATCH, int(0.25 * 67) // PATCH
    assert shapes[y, x] == 1 + SHAPES.index("square")
    assert colors[y, x] == COLORS.index("red")
    assert (shapes[:, :4] == 0).all()
    assert (colors[:4, :4] == COLORS.index("blue")).all()
    assert (colors[5:] == len(COLORS)).all()  # 67 of 112 rows are picture: patch 5 begins at row 70
    assert places.reshape(4, 4).nonzero() == ([y // 2], [x // 2])


def test_the_number_of_places_is_that_of_the_shapes():
    r = Random(3)
    for _ in range(200):
        made = pictures.picture(r)
        assert under_patches(made)[2].sum() <= made.scene.number
    square = [pictures.lay_out(pictures.scene(r), 100, 100, r) for _ in range(100)]
    assert all(under_patches(made)[2].sum() == made.scene.number for made in square)


def test_lessons_follow_the_seed_and_label_answers_alone(tokenizer):
    first, again = (Lessons(tokenizer, 5).batch(6) for _ in range(2))
    assert torch.equal(first[1], again[1])
    assert torch.equal(first[0].pixels, again[0].pixels)
    asked = dict(pictures.DESCRIBE + pictures.DETAILS)
    lessons = Lessons(tokenizer, 5)
    for seen, ids, labels in [lessons.batch(6) for _ in range(12)]:
        assert ids.shape == labels.shape
        assert seen.pixels.shape == (6, 3, SIZE, SIZE)
        for scene, row, wanted in zip(seen.scenes, ids, labels, strict=True):
            assert torch.equal(row[wanted != NO_LOSS], wanted[wanted != NO_LOSS])
            turns = tokenizer.decode(row).removesuffix("<|endoftext|>").split("<|user|>\n")[1:]
            answers = ""
            for i, turn in enumerate(turns):
                question, answer = turn.split("<|assistant|>\n")
                assert question.count(PLACEHOLDER) == (18 if i == 0 else 0)
                answer = answer.split("<|user|>")[0]
                assert answer == asked[question.replace(PLACEHOLDER, "")](scene)
                answers += answer + "<|user|>"
            assert tokenizer.decode(wanted[wanted != NO_LOSS]) == answers


def test_the_exam_lets_every_answer_end(tokenizer):
    scenes = [pictures.Scene(4, color, "cross", back) for color in COLORS for back in COLORS if color != back]
    scenes += [pictures.Scene(n, "red", shape, "blue") for shape in SHAPES for n in pictures.NUMBERS]
    lengths = [len(tokenizer(answer(scene))["input_ids"]) for _, answer in pictures.DESCRIBE for scene in scenes]
    assert 24 < max(lengths) < MOST_TOKENS


def test_look_prepares_pictures_as_the_model_wants_them():
    r = Random(3)
    seen = look([pictures.picture(r) for _ in range(3)])
    assert seen.pixels.dtype == torch.float32
    assert seen.shapes.shape == seen.colors.shape == (3, 64)
    assert seen.places.shape == (3, 16)
    assert seen.scene.shape == (3, 4)


def test_sines_tell_all_places_apart():
    made = sines(8, 192)
    assert made.shape == (64, 192)
    far = torch.cdist(made, made) + torch.eye(64) * 100
    grid = far[9].clone().view(8, 8)  # from the place in row 1, column 1
    assert {tuple(place) for place in (grid < grid.min() * 1.001).nonzero().tolist()} == {
        (0, 1),
        (2, 1),
        (1, 0),
        (1, 2),
    }


def test_the_model_starts_from_the_language_model(tmp_path):
    from safetensors.torch import load_file

    model, _ = make_model(tmp_path)
    state = model.state_dict()
    for name, tensor in load_file(model_path() / "model.safetensors").items():
        assert torch.equal(state[name], tensor.float()), name


def test_the_curriculum():
    """Square and sharp pictures first, then more and more varied ones; the learning rate falls at the end."""
    varieties = [train_vision.variety(step) for step in range(1, train_vision.STEPS + 1)]
    rates = [train_vision.rate(step / train_vision.STEPS) for step in range(1, train_vision.STEPS + 1)]
    assert varieties[:300] == [0] * 300
    assert varieties[-1000:] == [1] * 1000
    assert (np.diff(varieties) >= 0).all()
    assert rates[0] == rates[train_vision.STEPS // 2] == 1
    assert rates[-1] == pytest.approx(0.03)
    assert (np.diff(rates) <= 0).all()


def test_a_group_of_parameters_stays_as_it_is_until_its_turn():
    early, late = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = train_vision.Optimizer([(1.0, 0, [early]), (0.4, 2, [late])], 10)
    for step in (1, 2, 3):
        (early + late).square().sum().backward()
        optimizer.step(step)
        assert early.grad is None
        assert (early < 1).all()
        assert torch.equal(late, torch.ones(3)) == (step < 3)


def test_both_halves_learn_and_the_words_alone_are_not_enough(tmp_path):
    """The answers' loss reaches tower, adapter and language model; another picture gives another loss."""
    torch.manual_seed(0)
    model, tokenizer = make_model(tmp_path)
    seen, ids, labels = Lessons(tokenizer, 5).batch(4)
    features = model.get_image_features(seen.pixels).pooler_output
    loss = train_vision.answer_loss(model, features, ids, labels)
    loss.backward()
    vision, words = model.model.vision, model.model.embed_tokens
    assert all(p.grad.abs().max() > 0 for p in (vision.adapter.boi, vision.adapter.conv.weight, words.weight))
    assert vision.vit.model.vision_model.embeddings.patch_embedding.weight.grad.abs().max() > 0
    with torch.no_grad():
        whole = model(input_ids=ids, pixel_values=seen.pixels, labels=labels).loss
        other = train_vision.answer_loss(model, features.flip(0), ids, labels)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-4)
    assert other.item() != pytest.approx(loss.item(), rel=1e-6)


@pytest.mark.slow
def test_a_short_run_writes_a_checkpoint_and_learns(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        provenance = train_vision.train(tmp_path, looking=2, steps=5)
    finally:
        torch.set_num_threads(before)
    assert [point["step"] for point in provenance["learning_curve"]] == [5]
    written = json.loads((tmp_path / "PROVENANCE.json").read_text(encoding="utf-8"))
    shipped = json.loads((vision_model_path() / "PROVENANCE.json").read_text(encoding="utf-8"))
    assert written["sha256"].keys() == shipped["sha256"].keys()
    same = [name for name, digest in written["sha256"].items() if digest == shipped["sha256"][name]]
    assert sorted(same) == sorted(written["sha256"].keys() - {"model.safetensors"})
    assert np.isfinite(provenance["learning_curve"][-1]["answer"])
