"""How fast an answer is, and how that grows: fit, leave-one-mixture-out and ten proposals, in seconds.

Sizes are (domains, runs, benchmarks); the scores are drawn from a saturating law with noise.

Example:
    python benchmarks/surrogates.py --sizes 5,50,7 10,150,10 20,500,20
"""

import time

import numpy as np

from modomodo import command_line
from modomodo.errors import InputError
from modomodo.records import from_rows
from modomodo.strategies import Request, propose, read_options
from modomodo.surrogates import objective, observe, surrogates
from modomodo.surrogates.calibration import DEFAULT


def table(domains: int, runs: int, benchmarks: int):
    """Records of that size."""
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(domains), runs)
    gains = random.random((benchmarks, domains)) ** 3
    scores = (1 - np.exp(-5 * weights)) @ gains.T
    scores += 0.2 * scores.std(axis=0) * random.standard_normal(scores.shape)
    names = [f"d{i:02d}" for i in range(domains)]
    tests = [f"b{i:02d}" for i in range(benchmarks)]
    rows = [
        {
            "mixture": f"m{i:04d}",
            "seed": 0,
            "step": 1,
            "weights": dict(zip(names, weights[i].tolist(), strict=True)),
            "scores": dict(zip(tests, scores[i].tolist(), strict=True)),
        }
        for i in range(runs)
    ]
    return from_rows(rows, names, tests, {"out_score": dict.fromkeys(tests, 1.0)})


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--sizes", nargs="+", default=["5,50,7", "10,150,10", "20,500,20"], help="domains,runs,benchmarks"
    )
    arguments = parser.parse_args()
    print("domains  runs  benchmarks  fit  fit and 10 proposals  with the choice of surrogate")
    for size in arguments.sizes:
        try:
            domains, runs, benchmarks = (int(part) for part in size.split(","))
        except ValueError:
            raise InputError(f"--sizes {size}: expected domains,runs,benchmarks, e.g. 5,50,7") from None
        records = table(domains, runs, benchmarks)
        aim = objective(records, "out_score")
        start = time.process_time()
        surrogates[DEFAULT](observe(records, aim), 0)
        seconds = [time.process_time() - start]
        for surrogate in (DEFAULT, "auto"):
            start = time.process_time()
            options = read_options("acquire", {"surrogate": surrogate})
            propose("acquire", Request(records, records.domains, 10, 0, options=options))
            seconds.append(time.process_time() - start)
        print(f"{domains:7d}  {runs:4d}  {benchmarks:10d}  " + "  ".join(f"{value:.2f}" for value in seconds))


if __name__ == "__main__":
    command_line.run(main)
