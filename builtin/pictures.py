"""Synthetic pictures that the built-in vision model can describe, with the one right description of each.

One to four equal shapes of one color on a plain background, in pictures of any size between square and 3 : 2. They
teach the model (train_vision.py) and they test it: `samples` gives a fixed list in every form in which a picture can
come, each with its question and the expected answer in English and in Chinese. Needs Pillow alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from PIL import Image, ImageDraw

Color = tuple[int, int, int]

# name: (in Chinese, red, green and blue)
COLORS: dict[str, tuple[str, Color]] = {
    "red": ("红色", (220, 40, 40)),
    "green": ("绿色", (40, 170, 70)),
    "blue": ("蓝色", (50, 80, 220)),
    "yellow": ("黄色", (240, 210, 50)),
    "black": ("黑色", (25, 25, 25)),
    "white": ("白色", (245, 245, 245)),
    "orange": ("橙色", (245, 140, 30)),
    "purple": ("紫色", (140, 60, 180)),
}
SHAPES = {"circle": "圆形", "square": "正方形", "triangle": "三角形", "cross": "十字形"}
NUMBERS = {1: ("one", "一"), 2: ("two", "两"), 3: ("three", "三"), 4: ("four", "四")}

LONGEST = 1.5
"""The widest and the tallest picture: longer side to shorter side. At 2 : 1 a shape would fill one patch and a half."""
SMALLEST, LARGEST = 48, 256
"""Longer side in pixels of the pictures that are learned from."""
SHARP = 112
"""Longer side in pixels from which a picture is not enlarged for the model."""
TINT = 10
"""How far red, green and blue may stray from a color's own."""
OVERSAMPLING = 2
SAMPLE_SEED = 999


@dataclass(frozen=True)
class Scene:
    """What is to be seen; the keys of the tables above."""

    number: int
    color: str
    shape: str
    background: str

    def english(self) -> str:
        """Describe it, e.g. "Three red circles on a blue background."."""
        plural = "" if self.number == 1 else "es" if self.shape == "cross" else "s"
        number = NUMBERS[self.number][0].capitalize()
        article = "an" if self.background[0] in "aeiou" else "a"
        return f"{number} {self.color} {self.shape}{plural} on {article} {self.background} background."

    def chinese(self) -> str:
        """Describe it, e.g. "蓝色背景上有三个红色圆形。"."""
        number, color = NUMBERS[self.number][1], COLORS[self.color][0]
        return f"{COLORS[self.background][0]}背景上有{number}个{color}{SHAPES[self.shape]}。"


DESCRIBE: tuple[tuple[str, Callable[[Scene], str]], ...] = (
    ("Describe the image.", Scene.english),
    ("描述图片。", Scene.chinese),
)
DETAILS: tuple[tuple[str, Callable[[Scene], str]], ...] = (
    ("What colour are the shapes?", lambda s: s.color.capitalize() + "."),
    ("What shape is it?", lambda s: s.shape.capitalize() + "."),
    ("How many shapes are there?", lambda s: NUMBERS[s.number][0].capitalize() + "."),
    ("What colour is the background?", lambda s: s.background.capitalize() + "."),
    ("有几个图形？", lambda s: NUMBERS[s.number][1] + "个。"),
    ("图形是什么颜色？", lambda s: COLORS[s.color][0] + "。"),
)


@dataclass(frozen=True)
class Picture:
    """A scene laid out.

    Attributes:
        scene: what is to be seen.
        width: in pixels.
        height: in pixels.
        centers: (x, y) of each shape, from 0 to 1.
        radius: of a shape, as a part of the picture's shorter side.
        ink: color of the shapes as drawn.
        paper: color of the background as drawn.
    """

    scene: Scene
    width: int
    height: int
    centers: tuple[tuple[float, float], ...]
    radius: float
    ink: Color
    paper: Color

    def draw(self) -> Image.Image:
        """Return it as RGB, with smooth edges."""
        size = (self.width * OVERSAMPLING, self.height * OVERSAMPLING)
        large = Image.new("RGB", size, self.paper)
        self.paint(large, self.ink)
        return large.resize((self.width, self.height), Image.Resampling.BOX)

    def paint(self, on: Image.Image, ink: Color | int) -> None:
        """Draw the shapes alone onto an image of any size and mode."""
        draw = ImageDraw.Draw(on)
        radius = self.radius * min(on.size)
        for x, y in self.centers:
            _SHAPES[self.scene.shape](draw, x * on.width, y * on.height, radius, ink)


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, ink: Color | int) -> None:
    draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)


def _square(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, ink: Color | int) -> None:
    r *= 0.88
    draw.rectangle((x - r, y - r, x + r, y + r), fill=ink)


def _triangle(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, ink: Color | int) -> None:
    draw.polygon([(x, y - r * 1.1), (x - r, y + r * 0.8), (x + r, y + r * 0.8)], fill=ink)


def _cross(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, ink: Color | int) -> None:
    t = r * 0.36
    draw.rectangle((x - t, y - r, x + t, y + r), fill=ink)
    draw.rectangle((x - r, y - t, x + r, y + t), fill=ink)


_SHAPES = {"circle": _circle, "square": _square, "triangle": _triangle, "cross": _cross}


def scene(r: Random) -> Scene:
    """Make one up; shapes and background differ in color."""
    background, color = r.sample(list(COLORS), 2)
    return Scene(r.randint(1, 4), color, r.choice(list(SHAPES)), background)


def lay_out(seen: Scene, width: int, height: int, r: Random) -> Picture:
    """Place the shapes in the quarters of a picture of the given size, each somewhere near its quarter's middle."""
    cells = r.sample([(x, y) for x in (0.26, 0.74) for y in (0.26, 0.74)], seen.number)
    short = min(width, height)
    reach = (0.025 + 0.08 * (1 - short / width), 0.025 + 0.08 * (1 - short / height))  # more room along the longer side
    centers = tuple((x + r.uniform(-reach[0], reach[0]), y + r.uniform(-reach[1], reach[1])) for x, y in cells)
    ink, paper = (_tinted(COLORS[name][1], r) for name in (seen.color, seen.background))
    return Picture(seen, width, height, centers, r.uniform(0.165, 0.2), ink, paper)


def _tinted(color: Color, r: Random) -> Color:
    red, green, blue = (min(255, max(0, value + r.randint(-TINT, TINT))) for value in color)
    return red, green, blue


def picture(r: Random, variety: float = 1.0) -> Picture:
    """Make up a picture to learn from: one in three is square, the others are up to `LONGEST` wide or tall.

    Args:
        r: source of all choices.
        variety: from 0, square and sharp, to 1, as wide, as tall and as small as they come.
    """
    longer = r.randint(round(SHARP + (SMALLEST - SHARP) * variety), LARGEST)
    shorter = longer if r.random() < 1 / 3 else round(longer / r.uniform(1, 1 + (LONGEST - 1) * variety))
    width, height = (longer, shorter) if r.random() < 0.5 else (shorter, longer)
    return lay_out(scene(r), width, height, r)


@dataclass(frozen=True)
class Sample:
    """One test: a picture as a user might have it, a question, and the one right answer.

    Attributes:
        name: unique, e.g. "wide-03-en".
        kind: a key of `FORMS`.
        picture: as opened from a file, in any mode; it may carry an EXIF orientation.
        question: "Describe the image." or "描述图片。".
        answer: what the model is expected to say, without its end token.
    """

    name: str
    kind: str
    picture: Image.Image
    question: str
    answer: str


Form = Callable[[Random], tuple[Scene, Image.Image]]


def _plain(width: int, height: int) -> Form:
    def make(r: Random) -> tuple[Scene, Image.Image]:
        made = lay_out(scene(r), width, height, r)
        return made.scene, made.draw()

    return make


def _gray(r: Random) -> tuple[Scene, Image.Image]:
    """Black and white in mode L: its gray values are all that a viewer would show."""
    ink, paper = r.sample(["black", "white"], 2)
    made = lay_out(replace(scene(r), color=ink, background=paper), 200, 150, r)
    return made.scene, made.draw().convert("L")


def _transparent(r: Random) -> tuple[Scene, Image.Image]:
    """Shapes on nothing; whoever shows such a picture puts white behind it."""
    color = r.choice([name for name in COLORS if name != "white"])
    made = lay_out(replace(scene(r), color=color, background="white"), 180, 180, r)
    mask = Image.new("L", (made.width * OVERSAMPLING, made.height * OVERSAMPLING), 0)
    made.paint(mask, 255)
    drawn = Image.new("RGBA", (made.width, made.height), (*made.ink, 0))
    drawn.putalpha(mask.resize(drawn.size, Image.Resampling.BOX))
    return made.scene, drawn


def _sideways(r: Random) -> tuple[Scene, Image.Image]:
    """Stored lying on its side, as a phone does, with the EXIF tag that tells viewers to turn it upright."""
    made = lay_out(scene(r), 240, 170, r)
    stored = made.draw().transpose(Image.Transpose.ROTATE_90)
    stored.getexif()[0x0112] = 6  # to be turned clockwise by 90 degrees
    return made.scene, stored


FORMS: dict[str, Form] = {
    "square": _plain(224, 224),
    "wide": _plain(290, 200),
    "tall": _plain(200, 290),
    "tiny": _plain(48, 36),
    "large": _plain(1280, 960),
    "grey": _gray,
    "transparent": _transparent,
    "sideways": _sideways,
}
"""The forms in which a picture can come, each with a maker of samples."""


def samples(per_form: int = 4, seed: int = SAMPLE_SEED) -> list[Sample]:
    """Return the test pictures: `per_form` of each of `FORMS`, each asked for in English and in Chinese.

    The same arguments give the same pictures; the first ones stay the same when `per_form` grows.
    """
    made = []
    for kind, form in FORMS.items():
        r = Random(f"{kind} {seed}")
        for i in range(per_form):
            seen, drawn = form(r)
            for language, (question, answer) in zip(("en", "zh"), DESCRIBE, strict=True):
                made.append(Sample(f"{kind}-{i:02}-{language}", kind, drawn, question, answer(seen)))
    return made
