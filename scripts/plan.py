"""study → what it will run and what that costs: runs by stage, what exists, GPU-hours, disk.

Example:
    python scripts/plan.py --study config/paper.yaml

Starts nothing. Durations are those of finished runs where there are any, else the study's `costs`, else a formula of
model size, tokens and GPU (docs/gpus.md).
"""

from pathlib import Path

from modomodo import command_line, console
from modomodo.mixtures.plan import plan
from modomodo.study.checks import read_study
from modomodo.study.costs import costs_of
from modomodo.study.costs_text import render


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_study(parser)
    parser.add_argument("--output", type=Path, help="write it to this file instead of the terminal")
    arguments = parser.parse_args()
    study = read_study(arguments.study)
    console.show(render(study, costs_of(study, plan(study, str(arguments.study)))), arguments.output)


if __name__ == "__main__":
    command_line.run(main)
