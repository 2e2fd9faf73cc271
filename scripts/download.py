"""hub, or a folder → the raw files of one published dataset, checked.

Example:
    python scripts/download.py --settings config/paper.yaml --name COCO \\
        --output resources/coco-train/main/manifest.json

On a cluster whose nodes have no network: run it where there is one with `--output raw/coco/manifest.json`,
copy raw/ over, and set `data.raw_from: raw` (or give `--from raw`). Files that lie there are checked and
linked, files that are missing are downloaded. docs/datasets.md says what is downloaded, and under which
licence.
"""

from pathlib import Path

from modomodo import command_line, console
from modomodo.config.loading import load_plugins
from modomodo.data.downloads import obtain
from modomodo.data.settings import DownloadSettings
from modomodo.files import write_json


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--name", required=True, help="the dataset's name in the study")
    parser.add_argument("--from", dest="raw_from", type=Path, help="folder of files fetched beforehand")
    parser.add_argument(
        "--output", type=Path, required=True, help="manifest.json; the files are written next to it"
    )
    arguments = parser.parse_args()
    settings = command_line.settings(
        arguments.settings, DownloadSettings, lambda study: DownloadSettings.of(study, arguments.name)
    )
    load_plugins(settings.plugins)
    about = settings.about
    raw_from = arguments.raw_from or (Path(settings.raw_from) if settings.raw_from else None)
    if raw_from is not None and not raw_from.exists() and arguments.raw_from is None:
        print(f"data.raw_from: no folder {raw_from}: downloading")
        raw_from = None
    manifest = obtain(
        settings.loader,
        about,
        settings.split,
        folder=arguments.output.parent,
        source=settings.source,
        raw_from=raw_from,
    )
    write_json(arguments.output, manifest)
    total = sum(entry["size"] for entry in manifest["files"].values())
    print(f"{arguments.output}: {len(manifest['files'])} files, {console.size(total)}")


if __name__ == "__main__":
    command_line.run(main)
