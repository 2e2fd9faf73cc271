"""Sum up where a study's time went, by stage, and how much of the training was imports and loading.

Example:
    python benchmarks/stages.py --study tiny --output benchmarks/tiny_stages.csv

Reads Snakemake's record of when each job of a finished study started and ended, and the seconds in every run.json.
Seconds are summed over jobs: two jobs that run at the same time count twice.
"""

import base64
import json
from collections import defaultdict
from pathlib import Path

import pandas as pd

from modomodo import command_line
from modomodo.errors import InputError
from modomodo.files import read_json, write_csv

STAGES = {
    "base_model": "base model",
    "train": "training",
    "predict": "prediction",
}


def jobs(study: str) -> pd.DataFrame:
    """One row per job: rule, start, end and seconds, from Snakemake's metadata of the study's outputs.

    Raises InputError if there are none.
    """
    rows: dict[tuple[str, ...], dict] = {}
    for path in Path(".snakemake/metadata").rglob("*"):
        if not path.is_file():
            continue
        output = base64.b64decode(
            "".join(path.relative_to(".snakemake/metadata").parts).replace("@", "")
        ).decode()
        record = json.loads(path.read_text(encoding="utf-8"))
        if not output.startswith(f"results/{study}/") or not record.get("endtime"):
            continue
        # A job's outputs share its log.
        rows[tuple(record["log"])] = {
            "rule": record["rule"],
            "start": record["starttime"],
            "end": record["endtime"],
        }
    if not rows:
        raise InputError(
            f"results/{study}: Snakemake has no record of a finished job: run the study here first"
        )
    return pd.DataFrame(rows.values()).assign(seconds=lambda frame: frame["end"] - frame["start"])


def by_stage(frame: pd.DataFrame) -> pd.DataFrame:
    """Each stage's jobs, seconds, median seconds of a job, and share of all seconds."""
    stage = frame["rule"].map(STAGES).fillna("the rest")
    table = frame.groupby(stage)["seconds"].agg(["count", "sum", "median"]).rename_axis("stage").reset_index()
    table.columns = pd.Index(["stage", "jobs", "seconds", "median_seconds"])
    return table.assign(share=table["seconds"] / table["seconds"].sum()).sort_values(
        "seconds", ascending=False
    )


def start_up(study: str) -> dict[str, float]:
    """Seconds of the training jobs by part (import, start, train, …), summed over runs."""
    totals: dict[str, float] = defaultdict(float)
    for path in Path(f"results/{study}/runs").glob("*/*/run.json"):
        for name, seconds in read_json(path)["seconds"].items():
            totals[name] += seconds
    return dict(totals)


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--study", default="tiny", help="a study that has run here (default tiny)")
    parser.add_argument("--output", type=Path, required=True, help="the table, as CSV")
    arguments = parser.parse_args()
    frame = jobs(arguments.study)
    table = by_stage(frame)
    write_csv(arguments.output, table)
    print(table.round(3).to_string(index=False))
    print(f"from the first start to the last end: {frame['end'].max() - frame['start'].min():.0f} s")
    seconds = start_up(arguments.study)
    early = seconds.get("import", 0.0) + seconds.get("start", 0.0)
    total = sum(seconds.values())
    print(f"training: {early:.0f} of {total:.0f} s ({early / total:.0%}) are imports and loading")


if __name__ == "__main__":
    command_line.run(main)
