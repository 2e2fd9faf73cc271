"""raw → examples: write one dataset's examples, images and rejected rows.

Example:
    python scripts/preprocess.py --settings config/tiny.yaml --name detection --output /tmp/detection.jsonl

    python scripts/preprocess.py --settings config/paper.yaml --name COCO --raw resources/coco-train/main \\
        --threads 8 --output /tmp/examples/COCO.jsonl

Writes DATASET.jsonl, images/DATASET/ and DATASET.rejected.jsonl (rows that failed a check, with the
reason). Stops when more rows fail than `max_rejected` allows. What is written does not depend on the number
of threads.
"""

from pathlib import Path

from modomodo import command_line, console
from modomodo.config.loading import load_plugins
from modomodo.config.options import check_options
from modomodo.data.examples import write_examples
from modomodo.data.raw_folder import MANIFEST, check_raw
from modomodo.data.readers.registry import datasets
from modomodo.data.readers.table import TableRows
from modomodo.data.settings import ExamplesSettings
from modomodo.errors import InputError
from modomodo.study.provenance import describe
from modomodo.warning_files import warn


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--name", required=True, help="the dataset's name in the study")
    parser.add_argument("--raw", type=Path, help="folder of the raw data, for datasets that have one")
    parser.add_argument("--threads", type=int, default=1, help="processes that decode images (default: 1)")
    parser.add_argument("--output", type=Path, required=True, help="the examples, DATASET.jsonl")
    arguments = parser.parse_args()
    settings = command_line.settings(
        arguments.settings, ExamplesSettings, lambda study: ExamplesSettings.of(study, arguments.name)
    )
    load_plugins(settings.plugins)
    dataset = settings.dataset
    if arguments.raw is not None:
        check_raw(arguments.raw)
    loader = datasets[dataset.loader]
    check_options(loader, dataset.options, f"{arguments.name}.options")
    try:
        given = loader(arguments.raw, **dataset.options)
    except InputError as error:  # of downloaded files, which no dry run has seen
        key = f"{arguments.name}." if str(error).startswith("options.") else ""
        raise InputError(f"{key}{error}") from None
    rows = console.progress(given, arguments.name)
    counts = write_examples(
        arguments.name, rows, arguments.output, dataset=dataset, workers=arguments.threads
    )
    raw = sorted(arguments.raw.glob(MANIFEST)) if arguments.raw else []
    describe(arguments.output, settings, raw)
    warn(arguments.output, given.warnings if isinstance(given, TableRows) else ())
    texts = counts.pop("without_image", 0)
    alone = f", {texts} of them without an image" if texts else ""
    print(f"{arguments.output}: {counts.pop('kept')} examples{alone}, {counts.pop('rejected')} rejected")
    for reason, count in counts.items():
        print(f"{arguments.output}: {count} rows filtered: {reason}")


if __name__ == "__main__":
    command_line.run(main)
