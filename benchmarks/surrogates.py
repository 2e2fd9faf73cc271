"""How fast an answer is, and how that grows with runs, domains and metrics: CPU seconds, on one thread.

    1. at each size, scores are drawn from a saturating law with noise
    2. fit the default surrogate; propose ten mixtures with it, leave-one-mixture-out included; then compare three other
       surrogates with it, as a replay's report does
    3. scripts/propose.py as it is called, with one such strategy: mixtures, report, 50 fits to halves for how
       sure the optimum is, imports included; beside it the wall time, which other work makes longer

Sizes are domains,runs,metrics. Without --sizes: 5,50,7 and 20,500,20, and what lies between them, one thing at a time.
A size that --output has already is not timed again. --plot draws the table.

Example:
    python benchmarks/surrogates.py --output benchmarks/surrogates.csv --plot docs/speed.png
    python benchmarks/surrogates.py --sizes 5,50,7
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo import command_line
from modomodo.errors import InputError
from modomodo.files import write_csv
from modomodo.mixtures.records import from_rows, write_records
from modomodo.mixtures.strategies.base import Request, propose, read_options
from modomodo.mixtures.surrogates.base import objective, observe, surrogates
from modomodo.mixtures.surrogates.calibration import DEFAULT, compared

ROOT = Path(__file__).parent.parent
SMALL, LARGE = (5, 50, 7), (20, 500, 20)
SIZES = [
    *(SMALL, LARGE),
    *((20, runs, 20) for runs in (50, 120)),
    *((5, runs, 7) for runs in (100, 200, 500)),
    *((domains, 50, 7) for domains in (10, 20)),
    *((5, 50, metrics) for metrics in (14, 20)),
]
PARTS = ["fit", "ten proposals", "comparison", "propose.py"]


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


def children() -> float:
    """CPU seconds of the processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(size: tuple[int, int, int]) -> dict[str, float]:
    """Seconds of each part at one size."""
    records = table(*size)
    aim = objective(records, "out_score")
    found: dict[str, float] = dict(zip(("domains", "runs", "metrics"), size, strict=True))
    start = time.process_time()
    surrogates[DEFAULT](observe(records, aim), 0)
    found["fit"] = time.process_time() - start
    start = time.process_time()
    propose("acquire", Request(records, records.domains, 10, 0, options=read_options("acquire", {})))
    found["ten proposals"] = time.process_time() - start
    start = time.process_time()
    compared(observe(records, aim), 0)  # the default's answers are known from the proposals
    found["comparison"] = time.process_time() - start
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_records(folder / "runs.csv", records)
        study = {
            "name": "speed",
            "records": {"path": str(folder / "runs.csv")},
            "strategies": {"next": {"propose": "acquire", "count": 10}},
        }
        (folder / "study.yaml").write_text(json.dumps(study))
        command = [
            "scripts/propose.py",
            "--config",
            str(folder / "study.yaml"),
            "--output",
            str(folder / "next"),
        ]
        before, start = children(), time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
        found["propose.py"], found["wall"] = children() - before, time.perf_counter() - start
    return {key: round(value, 2) for key, value in found.items()}


def draw(frame: pd.DataFrame, path: Path) -> None:
    """One panel for each thing that grows, the others as in the smallest table."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(10, 3.2), sharey=True)
    names = ("domains", "runs", "metrics")
    for panel, name in zip(panels, names, strict=True):
        others = [other for other in names if other != name]
        smallest = dict(zip(names, SMALL, strict=True))
        rows = frame[(frame[others] == [smallest[other] for other in others]).all(axis=1)].sort_values(name)
        for part in PARTS:
            panel.plot(rows[name], rows[part], marker="o", label=part)
        kept = ", ".join(f"{smallest[other]} {other}" for other in others)
        panel.set(xlabel=f"{name} ({kept})", yscale="log")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds")
    panels[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--sizes", nargs="+", help="domains,runs,metrics")
    parser.add_argument("--output", type=Path, help="CSV of the seconds")
    parser.add_argument("--plot", type=Path, help="picture of them")
    arguments = parser.parse_args()
    sizes = SIZES
    if arguments.sizes:
        try:
            sizes = [(int(a), int(b), int(c)) for a, b, c in (size.split(",") for size in arguments.sizes)]
        except ValueError:
            raise InputError("--sizes: expected domains,runs,metrics, e.g. 5,50,7") from None
    known = arguments.output is not None and arguments.output.is_file()
    rows = pd.read_csv(arguments.output).to_dict("records") if known else []
    for size in sizes:
        if size in [(row["domains"], row["runs"], row["metrics"]) for row in rows]:
            continue
        rows.append(measure(size))
        print(rows[-1], flush=True)
        if arguments.output:
            write_csv(arguments.output, pd.DataFrame(rows).sort_values(["domains", "runs", "metrics"]))
    if arguments.plot:
        draw(pd.DataFrame(rows), arguments.plot)


if __name__ == "__main__":
    command_line.run(main)
