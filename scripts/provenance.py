"""one number of Table 2 → the chain behind it, down to stream, mixture, base model, examples and versions.

Example:
    python scripts/provenance.py --study config/tiny.yaml --mixture all --benchmark chart

Each file of the chain is compared with the digest recorded when the next one was made from it. Exit status 1 when
one has changed since.
"""

import sys
from pathlib import Path

from modomodo import command_line, console
from modomodo.mixtures.plan import plan
from modomodo.study.checks import read_study
from modomodo.study.trace import Number, render, trace


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_study(parser)
    parser.add_argument(
        "--mixture", required=True, help="its name or label in table2.csv; 'base' for the base model"
    )
    parser.add_argument("--benchmark", required=True, help="a benchmark, in_score or out_score")
    parser.add_argument("--seed", type=int, help="of the training (default: the study's)")
    parser.add_argument("--step", type=int, help="a scored step (default: the last)")
    parser.add_argument("--output", type=Path, help="write it to this file instead of the terminal")
    arguments = parser.parse_args()
    study = read_study(arguments.study)
    number = Number(arguments.mixture, arguments.benchmark, arguments.seed, arguments.step)
    found = trace(study, plan(study, str(arguments.study)), number)
    console.show(render(found), arguments.output)
    if not found.intact:
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
