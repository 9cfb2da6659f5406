"""Draws the figures of docs/concepts.md as SVG: `python docs/figures.py` writes docs/figures/*.svg, `--check` compares.

They have a white ground, for GitHub; docs/assets/site.css turns it dark where the site is dark.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "figures"
WIDTH = 760
INK, SOFT, LINE = "#1f2937", "#5b6472", "#9aa3b2"
BLUE, ORANGE, GREEN, RED = "#dbe8fb", "#fde3c4", "#d5f0dd", "#c2410c"
GREY, STRONG = "#eef1f5", "#2563ab"
FONT = "font-family='system-ui, Segoe UI, Helvetica, Arial, sans-serif'"


@dataclass
class Figure:
    """An SVG of WIDTH x `height` px that is drawn from left to right, top to bottom."""

    title: str
    height: int
    parts: list[str] = field(default_factory=list)

    def text(
        self, at: tuple[float, float], words: str, *, size: int = 13, fill: str = INK, anchor: str = "middle"
    ) -> None:
        """Write one line, its base at `at`."""
        place = f"x='{at[0]:g}' y='{at[1]:g}' text-anchor='{anchor}'"
        self.parts.append(f"<text {place} font-size='{size}' fill='{fill}'>{escape(words)}</text>")

    def box(self, at: tuple[float, float], size: tuple[float, float], fill: str, *lines: str) -> None:
        """Draw a box with its upper left corner at `at`; its first line is large, the others are small."""
        (x, y), (width, height) = at, size
        self.parts.append(
            f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='7' fill='{fill}' stroke='{LINE}'/>"
        )
        top = y + height / 2 + 5 - 8 * (len(lines) - 1)
        for number, line in enumerate(lines):
            self.text((x + width / 2, top + 17 * number), line, size=12 if number else 14, fill=SOFT if number else INK)

    def arrow(self, *points: tuple[float, float]) -> None:
        """Draw a line through `points` with a head at its end."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(
            f"<polyline points='{path}' fill='none' stroke='{SOFT}' stroke-width='1.5' marker-end='url(#head)'/>"
        )

    def svg(self) -> str:
        """Return the file."""
        head = "<path d='M0,0 L8,4 L0,8 z' fill='#5b6472'/>"
        marker = f"<marker id='head' markerWidth='8' markerHeight='8' refX='7' refY='4' orient='auto'>{head}</marker>"
        opening = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {self.height}' {FONT} role='img'>"
        ground = f"<rect width='{WIDTH}' height='{self.height}' rx='8' fill='#ffffff'/>"
        named = f"<title>{escape(self.title)}</title>"
        return "\n".join([opening, named, f"<defs>{marker}</defs>", ground, *self.parts, "</svg>", ""])


def pipeline() -> Figure:
    """Draw the stages and what each of them writes."""
    figure = Figure("The stages of the main pipeline and what each of them writes", 258)
    rows = (
        (("fetch", "files"), ("ingest", "objects"), ("crop", "pixels"), ("embed", "vectors"), ("train", "models")),
        (
            ("label", "votes"),
            ("consensus", "decisions"),
            ("evaluate", "figures"),
            ("export", "dataset"),
            ("report", "page"),
        ),
    )
    for row, stages in enumerate(rows):
        for column, (stage, writes) in enumerate(stages):
            x, y = 24 + 148 * column, 20 + 94 * row
            figure.box((x, y), (120, 56), ORANGE if stage == "consensus" else BLUE, stage, writes)
            if column < 4:
                figure.arrow((x + 120, y + 28), (x + 146, y + 28))
    figure.arrow((676, 76), (676, 95), (84, 95), (84, 112))
    figure.box((172, 200), (120, 44), GREEN, "review")
    figure.arrow((218, 170), (218, 198))
    figure.arrow((246, 200), (246, 172))
    figure.text((306, 219), "a queue for people, most useful first;", fill=SOFT, anchor="start")
    figure.text((306, 236), "their decisions are final, and the consensus learns from them", fill=SOFT, anchor="start")
    return figure


def families() -> Figure:
    """Draw one object, its labelers in three families, and the decision."""
    figure = Figure(
        "One object is shown to labelers of three families, and their votes are merged into a decision", 270
    )
    figure.box((20, 96), (92, 92), GREY)
    figure.parts.append("<circle cx='66' cy='142' r='34' fill='#2563ab'/>")
    figure.parts.append("<path d='M60,164 V140 q0,-12 12,-12 h6 v-8 l14,12 -14,12 v-8 h-5 v28 z' fill='#ffffff'/>")
    figure.text((66, 212), "one object", fill=SOFT)
    groups = (
        ("family dinov2", (("dinov2_probe", "turn 0.93"), ("dinov2_nearest", "turn 0.88"))),
        ("family internvl", (("internvl, view crop", "turn 0.71"), ("internvl, view box", "abstains"))),
        ("family given", (("given label", "parking"),)),
    )
    top = 14.0
    for name, members in groups:
        height = 26 + 30 * len(members)
        place = f"x='176' y='{top:g}' width='330' height='{height}' rx='8'"
        figure.parts.append(f"<rect {place} fill='none' stroke='{LINE}' stroke-dasharray='5 4'/>")
        figure.text((188, top + 17), name, size=12, fill=SOFT, anchor="start")
        for number, (labeler, vote) in enumerate(members):
            y = top + 22 + 30 * number
            figure.box((188, y), (190, 24), BLUE, labeler)
            figure.text((496, y + 17), vote, anchor="end", fill=SOFT if vote == "abstains" else INK)
        figure.arrow((112, 142), (174, top + height / 2))
        figure.arrow((506, top + height / 2), (572, 142))
        top += height + 10
    figure.box((576, 96), (164, 92), ORANGE, "turn", "posterior 0.96", "decision: relabel")
    return figure


def out_of_fold() -> Figure:
    """Draw five folds: each is judged by what learned from the other four."""
    figure = Figure("Five folds: labelers learn from four of them and judge the fifth, five times", 250)
    figure.text((24, 26), "the groups of the dataset, in five folds", fill=SOFT, anchor="start")
    for fold in range(5):
        y = 40 + 40 * fold
        for part in range(5):
            judged = part == fold
            figure.box((24 + 92 * part, y), (84, 30), ORANGE if judged else BLUE, "judged" if judged else "learned")
        figure.arrow((486, y + 15), (520, y + 15))
        figure.text((530, y + 20), f"votes on fold {fold + 1}", anchor="start")
    return figure


def guarantee() -> Figure:
    """Draw the objects in the order of their score, the level, and the random sample that tests it."""
    figure = Figure("Objects ordered by score; the random sample tests the level above which labels are accepted", 230)
    figure.parts.append(f"<rect x='24' y='66' width='503' height='74' rx='7' fill='{GREEN}' stroke='{LINE}'/>")
    figure.parts.append(f"<rect x='527' y='66' width='209' height='74' rx='7' fill='{ORANGE}' stroke='{LINE}'/>")
    figure.text((274, 54), "accepted: no person looks, except at the random sample")
    figure.text((630, 54), "a person looks")
    for number in range(55):
        x, y = 36 + 12.75 * number, 90 + 26 * (number % 2)
        drawn, wrong = number * 37 % 5 == 0, number == 40
        ring = f"fill='#ffffff' stroke='{STRONG}' stroke-width='2.5'" if drawn else f"fill='{LINE}'"
        figure.parts.append(f"<circle cx='{x:g}' cy='{y}' r='4.5' {ring}/>")
        if wrong:
            figure.parts.append(f"<path d='M{x - 7:g},{y - 7} l14,14 m0,-14 l-14,14' stroke='{RED}' stroke-width='3'/>")
    figure.parts.append(f"<line x1='527' y1='60' x2='527' y2='152' stroke='{INK}' stroke-width='2'/>")
    figure.text((527, 168), "the level")
    figure.text((24, 160), "surest", fill=SOFT, anchor="start")
    figure.text((736, 160), "least sure", fill=SOFT, anchor="end")
    figure.parts.append(f"<circle cx='32' cy='196' r='4.5' fill='#ffffff' stroke='{STRONG}' stroke-width='2.5'/>")
    figure.text((44, 201), "an object of the random sample, reviewed", fill=SOFT, anchor="start")
    figure.parts.append(f"<path d='M369,189 l14,14 m0,-14 l-14,14' stroke='{RED}' stroke-width='3'/>")
    figure.text((392, 201), "the label was wrong: the level has to lie above it", fill=SOFT, anchor="start")
    return figure


def cascade() -> Figure:
    """Draw cheap labelers that see all objects, and a large one that is asked about those in doubt."""
    figure = Figure("Cheap labelers see all objects; a large one is asked about those in doubt and a random share", 236)
    figure.box((20, 82), (116, 64), GREY, "all objects")
    figure.arrow((136, 114), (170, 114))
    figure.box((172, 82), (150, 64), BLUE, "cheap labelers", "see every object")
    figure.arrow((322, 104), (392, 50))
    figure.arrow((322, 124), (392, 178))
    figure.box((394, 18), (160, 64), ORANGE, "large labeler", "asked: at most 30 %")
    figure.box((394, 146), (160, 64), GREY, "not_asked", "no vote, by design")
    figure.text((350, 62), "in doubt", size=12, fill=SOFT, anchor="end")
    figure.text((350, 174), "sure", size=12, fill=SOFT, anchor="end")
    figure.arrow((474, 146), (474, 84))
    figure.text((484, 120), "a random share", size=12, fill=SOFT, anchor="start")
    figure.arrow((554, 50), (612, 104))
    figure.arrow((554, 178), (612, 124))
    figure.box((614, 82), (126, 64), GREEN, "consensus", "merges all votes")
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "pipeline": pipeline,
    "families": families,
    "out_of_fold": out_of_fold,
    "guarantee": guarantee,
    "cascade": cascade,
}


def main() -> None:
    """Write the figures, or with `--check` say whether the files are what this script draws."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        path, text = FOLDER / f"{name}.svg", draw().svg()
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            sys.exit(f"docs/figures/{name}.svg is not what docs/figures.py draws; run `make docs`.")


if __name__ == "__main__":
    main()
