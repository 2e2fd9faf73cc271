"""How fast the explorer is: bytes, first view and one move of a slider, with 200 runs of five domains.

    python benchmarks/explorer_page.py
    python benchmarks/explorer_page.py --surrogate gp_average

Needs Debian's chromium and chromium-driver (`make browser`). Times are of this machine, best and median of five.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from chromium import FLAGS

from modomodo.mixtures.records import from_rows
from modomodo.reporting.explorer import page_data, render
from modomodo.reporting.results import results_of
from modomodo.reporting.settings import EXPORTABLE

DOMAINS = ["a", "b", "c", "d", "e"]
BENCHMARKS = [f"benchmark_{i}" for i in range(7)]


def page(runs: int, surrogate: str) -> str:
    """The page of made-up runs, smooth in the weights."""
    random = np.random.default_rng(0)
    slopes = random.random((5, 7))
    rows = []
    for number, weights in enumerate(random.dirichlet(np.full(5, 0.7), runs)):
        scores = 0.1 + 0.5 * np.sqrt(weights) @ slopes / 2 + 0.01 * random.standard_normal(7)
        rows.append(
            {
                "mixture": f"mixture-{number:03d}",
                "seed": 0,
                "step": 1,
                "weights": dict(zip(DOMAINS, weights.tolist(), strict=True)),
                "scores": dict(zip(BENCHMARKS, scores.tolist(), strict=True)),
                "standard_errors": dict.fromkeys(BENCHMARKS, 0.01),
            }
        )
    sizes = {
        "in_score": dict.fromkeys(BENCHMARKS[:3], 100),
        "out_score": dict.fromkeys(BENCHMARKS[3:], 100),
    }
    found = results_of(from_rows(rows, DOMAINS, BENCHMARKS, sizes))
    return render(page_data(found, f"{runs} runs", surrogate))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--surrogate", default="gp_sqrt", choices=EXPORTABLE)
    arguments = parser.parse_args()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    start = time.process_time()
    text = page(arguments.runs, arguments.surrogate)
    spent = time.process_time() - start
    asked = f"{arguments.runs} runs, {arguments.surrogate}"
    print(f"page of {asked}: {len(text) / 1e6:.2f} MB, made in {spent:.1f} s of CPU")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "explorer.html"
        path.write_text(text, encoding="utf-8")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in [*FLAGS, f"--user-data-dir={folder}/profile", "--window-size=1200,1000"]:
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            first, move = [], []
            for _ in range(5):
                browser.get(path.as_uri())
                # The script fills the page before the browser paints it: both must be over.
                first.append(
                    browser.execute_script(
                        "return Math.max(performance.getEntriesByType('navigation')[0].domComplete,"
                        "...performance.getEntriesByType('paint').map((entry) => entry.startTime))"
                    )
                )
                move.append(
                    browser.execute_script(
                        "const start = performance.now(); for (let i = 0; i < 20; i++) set(0, i / 20, null);"
                        "return (performance.now() - start) / 20"
                    )
                )
        finally:
            browser.quit()
    print(f"first view: {min(first):.0f} ms, median {median(first):.0f} ms")
    print(f"one move of a slider: {min(move):.1f} ms, median {median(move):.1f} ms")


if __name__ == "__main__":
    main()
