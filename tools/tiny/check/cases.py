"""What the check asks: seven kinds of pictures, each with a question and its true answer.

Law: stdlib and this package's own drawing only. A true answer is a set of spellings; a box is right
from an intersection over union of 0.7 on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from tools.tiny.check import drawing
from tools.tiny.check.drawing import FORMS, SHADES, Box, Figure, Sheet

SIZES = ((480, 480), (600, 450), (640, 480), (520, 390), (720, 480), (400, 400), (640, 400))
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPELLED = {i: {str(i), NUMBERS[i]} for i in range(10)}


@dataclass(frozen=True, slots=True)
class Case:
    """One question. `box`: where the answer lies in the picture, for boxes and pages."""

    kind: str
    image: Image.Image
    question: str
    answers: frozenset[str]
    box: Box | None = None


def number(value: int) -> frozenset[str]:
    """The spellings of a number."""
    return frozenset(SPELLED.get(value, {str(value)}))


def plain(rng: Random, least: int = 1, most: int = 9) -> tuple[Sheet, list[Figure]]:
    """A sheet with forms in few or many shades."""
    sheet = Sheet.of(*rng.choice(SIZES), drawing.ground(rng))
    shades = [s for s in SHADES if s != "black" or sheet.ink != "#f8f9fa"]
    shades = rng.sample(shades, rng.choice((2, 3, len(shades))))
    forms = rng.sample(FORMS, rng.choice((2, 3, 4)))
    wanted = [(rng.choice(shades), rng.choice(forms)) for _ in range(rng.randint(least, most))]
    return sheet, drawing.figures(rng, sheet, wanted, regular=rng.random() < 0.5)


def shapes(rng: Random) -> Case:
    """Counting and naming."""
    sheet, drawn = plain(rng)
    one = rng.choice(drawn)
    forms, shades = [f.form for f in drawn], [f.shade for f in drawn]
    asked = rng.randrange(5)
    if asked == 0 and forms.count(one.form) == 1:
        text = rng.choice(("Name the colour you see on the {}.", "The {} - which color?"))
        return Case("shapes", sheet.done(), text.format(one.form), frozenset({one.shade}))
    if asked == 1 and shades.count(one.shade) == 1:
        text = rng.choice(
            (
                "Is the {} thing a circle, a square, a triangle or a star?",
                "Say what the {} figure is: circle, square, triangle, star?",
            )
        )
        return Case("shapes", sheet.done(), text.format(one.shade), frozenset({one.form}))
    shade, form = rng.choice(((one.shade, ""), ("", one.form), (one.shade, one.form), ("", "")))
    total = sum(shade in ("", f.shade) and form in ("", f.form) for f in drawn)
    name = f"{shade} {form or 'shape'}s".strip()
    text = rng.choice(
        (
            "What number of {} does the picture hold?",
            "I need the number of {} you can make out.",
            "Please go over the image and count every one of the {}.",
            "How many {} did the artist draw?",
            "How many of the {} are in view?",
            "Tell how many {} there happen to be.",
        )
    )
    return Case("shapes", sheet.done(), text.format(name), number(total))


def charts(rng: Random) -> Case:
    """Bars."""
    count = rng.randint(3, 5)
    while True:
        values = {chr(65 + i): rng.randint(1, 9) for i in range(count)}
        ordered = sorted(values.values())
        if ordered[0] < ordered[1] and ordered[-1] > ordered[-2]:
            break
    sheet = Sheet.of(*rng.choice(SIZES), drawing.ground(rng))
    drawing.chart(rng, sheet, values)
    one, two = rng.sample(sorted(values), 2)
    high, low = max(values[one], values[two]), min(values[one], values[two])
    top = max(values, key=lambda label: values[label])
    bottom = min(values, key=lambda label: values[label])
    questions = (
        ("Which of the bars stands tallest?", frozenset({top})),
        ("Name the letter under the highest bar.", frozenset({top})),
        ("Which of the bars is the least tall?", frozenset({bottom})),
        ("The smallest value belongs to which letter?", frozenset({bottom})),
        (f"What value has been recorded for {one}?", number(values[one])),
        (f"Bar {one} stands at what height?", number(values[one])),
        (f"{one} and {two}: what is their difference?", number(high - low)),
        (f"Take {one} and {two} and add their values.", number(high + low)),
        ("Of how many bars does the chart consist?", number(count)),
    )
    question, answers = rng.choice(questions)
    return Case("charts", sheet.done(), question, answers)


def sums(rng: Random) -> Case:
    """One line of arithmetic, of middling to large type."""
    sheet = Sheet.of(*rng.choice((*SIZES, (800, 300), (900, 600))), drawing.ground(rng))
    sign = rng.choice("++--x")
    if sign == "x":
        left, right = rng.randint(2, 9), rng.randint(2, 9)
        result = left * right
    else:
        top = rng.choice((10, 20, 50))
        left, right = rng.randint(1, top), rng.randint(1, top)
        if sign == "-" and left < right:
            left, right = right, left
        result = left + right if sign == "+" else left - right
    words = f"{left} {sign} {right}" + rng.choice(("", " =", " = ?"))
    size = sheet.width * rng.uniform(0.55, 0.92) / (0.6 * len(words))
    size = min(size, sheet.height * 0.45)
    middle = (sheet.width / 2, sheet.height * rng.uniform(0.3, 0.7))
    sheet.text(words, middle, size, rng.choice(drawing.FACES))
    question = rng.choice(
        (
            "What comes out of this calculation?",
            "Work through the arithmetic and report what you get.",
            "Please give the numerical result.",
            "Which number is the right answer here?",
            "Do the sum shown and say the outcome.",
        )
    )
    return Case("sums", sheet.done(), question, frozenset({str(result)}))


def comparisons(rng: Random) -> Case:
    """Two counts set against each other."""
    while True:
        sheet, drawn = plain(rng, 3, 9)
        present = sorted({f.form for f in drawn})
        if len(present) >= 2:
            break
    one, two = rng.sample(present, 2)
    a, b = (sum(f.form == form for f in drawn) for form in (one, two))
    which = frozenset({"equal", "same", "neither"})
    if a != b:
        more = one if a > b else two
        which = frozenset({more, f"{more}s"})
    questions = (
        (f"Of {one}s and {two}s, which occur more often?", which),
        (f"Are there more {one}s or more {two}s in view?", which),
        (f"Would a count of the {one}s come out lower than one of the {two}s?", yes(a < b)),
        (f"Do we have more {one}s than {two}s?", yes(a > b)),
        (f"Are {one}s fewer in number than {two}s?", yes(a < b)),
        (f"Is the number of {one}s bigger than that of the {two}s?", yes(a > b)),
    )
    question, answers = rng.choice(questions)
    return Case("comparisons", sheet.done(), question, answers)


def yes(true: bool) -> frozenset[str]:
    """A yes or a no."""
    return frozenset({"yes"} if true else {"no"})


def spelled(figure: Figure) -> frozenset[str]:
    """The names by which a figure may be answered."""
    name = f"{figure.shade} {figure.form}"
    return frozenset({name, f"a {name}", f"the {name}", figure.form})


def positions(rng: Random) -> Case:
    """Neighbours and corners on a lattice of four to nine."""
    sheet = Sheet.of(*rng.choice(SIZES), drawing.ground(rng))
    shades = [s for s in SHADES if s != "black" or sheet.ink != "#f8f9fa"]
    pairs = [(shade, form) for shade in shades for form in FORMS]
    across = rng.choice((2, 3))
    count = across * rng.choice((2, 3))
    wanted = rng.sample(pairs, count)
    step_x, step_y = sheet.width / across, sheet.height / (count // across)
    r = min(step_x, step_y) * rng.uniform(0.25, 0.38)
    drawn = []
    for i, (shade, form) in enumerate(wanted):
        x = (i % across + 0.5 + rng.uniform(-0.06, 0.06)) * step_x
        y = (i // across + 0.5 + rng.uniform(-0.06, 0.06)) * step_y
        box = sheet.form(form, rng.choice(SHADES[shade]), (x, y), r, False)
        drawn.append(Figure(form, shade, box))
    i = rng.randrange(count)
    column, row = i % across, i // across
    name = f"{drawn[i].shade} {drawn[i].form}"
    questions = [
        ("Tell the shape in the top right-hand corner.", drawn[across - 1]),
        ("Which shape sits in the lower left-hand corner?", drawn[count - across]),
        ("What has been put in the upper left-hand corner?", drawn[0]),
        ("Which one fills the bottom right-hand corner?", drawn[-1]),
    ]
    if column:
        questions += [(f"What sits just left of the {name}?", drawn[i - 1])] * 2
    if column < across - 1:
        questions += [(f"Which shape follows to the right of the {name}?", drawn[i + 1])] * 2
    if row:
        questions += [(f"What sits straight above the {name}?", drawn[i - across])] * 2
    if row < count // across - 1:
        questions += [(f"What sits straight below the {name}?", drawn[i + across])] * 2
    question, answer = rng.choice(questions)
    return Case("positions", sheet.done(), question, spelled(answer))


def boxes(rng: Random) -> Case:
    """Something that occurs once, to be pointed at."""
    while True:
        sheet, drawn = plain(rng, 1, 7)
        names = [(f.shade, f.form) for f in drawn]
        single = [f for f in drawn if names.count((f.shade, f.form)) == 1]
        if single:
            break
    one = rng.choice(single)
    text = rng.choice(
        (
            "Provide the bounding box that encloses the {}.",
            "Where exactly is the {} to be found?",
            "Show the {} with a box.",
            "Find where the {} lies.",
        )
    )
    question = text.format(f"{one.shade} {one.form}")
    return Case("boxes", sheet.done(), question, frozenset(), one.box)


INNER: tuple[Callable[[Random], Case], ...] = (shapes, charts, sums, comparisons)


def pages(rng: Random) -> Case:
    """A case of another kind as a small part of a large page with text."""
    inner = rng.choice(INNER)(rng)
    width, height = rng.choice(((2000, 2600), (2400, 2400), (2600, 1950)))
    page = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(page)
    font = drawing.face("DejaVuSerif.ttf", 34)
    share = rng.uniform(0.2, 0.3)
    scale = share * min(width, height) / max(inner.image.size)
    small = inner.image.resize(
        (round(inner.image.width * scale), round(inner.image.height * scale)),
        Image.Resampling.LANCZOS,
    )
    x = rng.randint(100, width - small.width - 100)
    y = rng.randint(100, height - small.height - 100)
    for top in range(100, height - 140, 60):
        if y - 70 < top < y + small.height + 30 or rng.random() < 0.12:
            continue
        words = " ".join(rng.choice(NUMBERS) for _ in range(rng.randint(8, 16)))
        pen.text((120, top), words, fill="#343a40", font=font)
    page.paste(small, (x, y))
    box = (x, y, x + small.width, y + small.height)
    return Case("pages", page, inner.question, inner.answers, box)


KINDS: dict[str, Callable[[Random], Case]] = {
    "shapes": shapes,
    "charts": charts,
    "sums": sums,
    "comparisons": comparisons,
    "positions": positions,
    "boxes": boxes,
    "pages": pages,
}


def cases(seed: int, count: int) -> list[Case]:
    """`count` cases, the kinds in turn."""
    rng = Random(f"check {seed}")
    makers = list(KINDS.values())
    return [makers[i % len(makers)](rng) for i in range(count)]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    shared = max(0, right - left) * max(0, bottom - top)
    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return shared / max(1, areas - shared)


def judged(case: Case, said: str | None) -> bool:
    """Whether the content of the reply's last LaTeX box is one of the true answers."""
    if said is None:
        return False
    return said.strip().strip(".").casefold() in {a.casefold() for a in case.answers}
