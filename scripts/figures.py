"""table2.csv → the figures, as SVG, PNG and CSV.

Example:
    python scripts/figures.py --table results/tiny/table2.csv --output /tmp/figures/out_score.svg

Out-Score by strategy group, every mixture a point (Figure 6 of the paper).
"""

from pathlib import Path

import pandas as pd

from modomodo import command_line
from modomodo.figures import save, score_by_group


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--table", type=Path, required=True, help="table2.csv")
    parser.add_argument("--output", type=Path, required=True, help="the SVG; .png and .csv lie beside it")
    arguments = parser.parse_args()
    figure, numbers = score_by_group(pd.read_csv(arguments.table))
    save(figure, numbers, arguments.output)


if __name__ == "__main__":
    command_line.run(main)
