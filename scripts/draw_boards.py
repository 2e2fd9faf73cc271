"""Draw docs/boards.md and its pictures: what each domain and benchmark of the laptop-sized world asks.

Example:
    python scripts/draw_boards.py --output docs/boards.md

For each kind of question a few boards, enlarged, with question, answer, and the base model's habit.
The pictures go into a folder beside the page.
"""

from pathlib import Path

import numpy as np
import PIL.Image

from modomodo import command_line
from modomodo.files import atomic_write
from modomodo.tiny import boards
from modomodo.tiny.lessons import (
    HABIT,
    HABIT_SPREAD,
    SHARE_BARE,
    SHARE_WITHOUT_THOUGHT,
    Lesson,
    answer_text,
    habitual_answer,
)

ENLARGED = 6
PAPER = {
    "detection": "COCO",
    "referring": "LISA",
    "geometry": "GeoQAV",
    "relation": "SAT",
    "science": "ScienceQA",
    "chart": "ChartQA",
    "infographic": "InfoVQA",
    "math": "MathVista",
    "general": "MMMU",
}
TRAINED = ("detection", "referring", "geometry", "relation", "science")
TESTED = ("referring", "relation", "science", "chart", "infographic", "math", "general")
OPENING = """# The world of boards

The tiny study needs images, questions and a model that a laptop can train in minutes.
`modomodo/tiny/boards.py` makes the images: boards of 32 × 32 pixels, 4 × 4 cells, on which real scans of
handwritten digits (the 1,797 that scikit-learn bundles) stand on a tint. Scans on training boards never appear
on benchmark boards. Only rectangles (geometry) and bars (chart) are drawn. The black pixels on the edges of a
cell mark its column and row. Every answer follows from how the board was composed; boxes are in Qwen2-VL's
convention, 0 to 1000, so a cell is 250.

This page is made by `python scripts/draw_boards.py`.

## What GRPO can show on it, and what it cannot

**The gains are elicitation by construction.** Eighty steps of GRPO teach a model of this size no new vision.
The base model (`modomodo/tiny/curriculum.py`) is first taught to answer all nine kinds of questions, and then
given habits that hide it: a right answer in a wrong form, a missing thought, missing tags. GRPO takes them off,
in the domains it trains on and in the benchmarks that share the habit, as it largely does in the paper, where
Qwen2-VL-2B goes from 0.05 to 0.78 on ScienceQA by learning to answer in the form asked for. So the tiny study
shows that the pipeline works, that mixtures differ and how they are optimised; it says nothing about which data
is good for a real model.

## What it shows as shipped

Two training domains have no benchmark of their own kind, as in the paper. So the study asks 200 held-out questions
of each domain (`held_out` in `config/tiny.yaml`; no score uses them) of the base model and of the run on that
domain alone. `results/tiny/in_domain.csv`, as measured:

| domain | metric | base | trained on it alone | gain in standard errors |
|---|---|---|---|---|
| detection | mean IoU | .43 | .83 | 12.5 |
| referring (runs dry at step 30 of 80) | mean IoU | .29 | .43 | 5.2 |
| geometry | exact match | .19 | .80 | 17.6 |
| relation | exact match | .18 | .96 | 25.5 |
| science | exact match | .38 | .66 | 6.2 |

Some mixtures hurt: relation alone takes math from .27 to .11 and science from .31 to .17; geometry, science and
everything but relation take relation from .23 to .06 or .07. Out-Score: base .325, the best single .527, all five
equally .611, the best heuristic .666, the best of two by CMA-ES on a Gaussian process .648, of two by the quadratic
surface .643. Between mixtures its standard deviation is .082, between seeds of one mixture .013 (4 degrees of
freedom), so differences of .03 are within noise.
"""


def picture(things: list[boards.Thing], rng: np.random.Generator) -> PIL.Image.Image:
    image = PIL.Image.fromarray(boards.draw(things, rng, "train"))
    return image.resize((image.width * ENLARGED, image.height * ENLARGED), PIL.Image.Resampling.NEAREST)


def section(domain: str, number: int, folder: Path) -> str:
    """One kind of question: draws its pictures into the folder, returns its part of the page."""
    rng = boards.stream(domain, "train", seed=2024)
    roles = [role for role, members in (("training", TRAINED), ("benchmark", TESTED)) if domain in members]
    kind = {"box": "a box", "choice": "a letter", "text": "a word or a number"}
    rows = []
    for i in range(number):
        board = boards.COMPOSERS[domain](rng)
        image = picture(board.things, rng)
        file = folder / f"{domain}-{i + 1}.png"
        image.save(file, optimize=True)
        lesson = Lesson(domain, board, np.asarray(image), board.question, "")
        habit = habitual_answer(lesson)
        rows.append(
            f"| ![{domain}]({folder.name}/{file.name}) | {board.question} | `{answer_text(board.answer)}` "
            f"| `{habit}` | {board.thought} |"
        )
    opening = (
        f"### {domain}\n\nFor {' and '.join(roles)}; mirrors the paper's {PAPER[domain]}. "
        f"The answer is {kind[board.answer_type]}; {HABIT[domain]:.0%} were taught in the habitual form.\n"
    )
    header = "| board | question | answer | habitual answer | thought |\n|---|---|---|---|---|"
    return "\n".join([opening, header, *rows]) + "\n"


def habits() -> str:
    return f"""## Habits of the base model

| answer | habit | shared by |
|---|---|---|
| a box | x, y, width, height in place of two corners | detection, referring |
| a letter, of a number | the letter as it is listed, with the number: `(B) 4` | geometry, math |
| a letter, of a word | the word in place of its letter | science, general |
| a word or a number | an article too many: `the left`, `the 3` | relation, chart, infographic |
| any | no thought, `<answer>` alone, in {SHARE_WITHOUT_THOUGHT:.0%}; no tags at all in {SHARE_BARE:.0%} | all |

So the benchmarks from none of the training domains want different ones, and a mixture beats each of them alone.
Habits also pull at one another: learning to give letters makes bare words less likely, and the reverse. They
show more often on some colours (by up to {HABIT_SPREAD:.0%}) and less often on others, so that a benchmark's
score rises little by little, and not all at once.
"""


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/boards.md"), help="the page")
    parser.add_argument("--number", type=int, default=2, help="boards of each kind")
    arguments = parser.parse_args()
    folder = arguments.output.parent / arguments.output.stem
    folder.mkdir(parents=True, exist_ok=True)
    parts = [section(domain, arguments.number, folder) for domain in boards.COMPOSERS]
    with atomic_write(arguments.output) as file:
        file.write("\n".join([OPENING, habits(), "## Questions\n", *parts]))
    print(f"{arguments.output}: {len(parts)} kinds of questions")


if __name__ == "__main__":
    command_line.run(main)
