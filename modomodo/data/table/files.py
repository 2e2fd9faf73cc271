"""Which files a table is: at a path, in a folder, among those of a repository; by split and configuration."""

import glob
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modomodo.data.raw_folder import README, readme_in
from modomodo.errors import InputError, nearest

PACKED = (".gz", ".bz2", ".xz", ".zst")
TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# What lies beside a table and is none: of this project's downloads, of the hub and of save_to_disk.
_BESIDE = ("manifest.json", "origin.json", "dataset_info.json", "dataset_infos.json", "state.json")
_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")  # of a folder of images


@dataclass(frozen=True)
class Source:
    """Where the rows of a table come from: files in order, or a folder that the datasets library reads as one."""

    kind: str  # "files", "images", "disk" (save_to_disk)
    paths: tuple[Path, ...]
    split: str | None  # of a folder with several, or of a JSON file that has them as keys
    folder: Path  # that paths of images are relative to

    @property
    def shown(self) -> str:
        """What a message calls it."""
        return str(self.paths[0]) if self.kind == "files" and len(self.paths) == 1 else str(self.folder)


def source_of(path: str, name: str | None, split: str | None) -> Source:
    """The rows at a path: a file, a pattern of files, or a folder. `name`: configuration, where a folder has several.

    Raises InputError, from `options.` on, for a path where nothing is, and a split that is missing or not there.
    """
    place = Path(path).expanduser()
    if any(sign in path for sign in "*?[") and not place.exists():
        found = sorted(Path(file) for file in glob.glob(str(place), recursive=True))
        files = tuple(file for file in found if file.is_file())
        if not files:
            raise InputError(f"options.path: {path}: fits no file (paths are relative to the study's file)")
        return Source("files", files, split, files[0].parent)
    if place.is_dir():
        return folder_source(place, name, split)
    if not place.is_file():
        raise InputError(f"options.path: {path}: {_missing(path)}")
    if split is not None and ".json" not in place.suffixes:
        raise InputError(
            f"options.split: {path} is one file without splits: leave it out; slice or filter takes a part of it"
        )
    return Source("files", (place,), split, place.parent)


def _missing(path: str) -> str:
    hint = "no such file or folder (paths are relative to the study's file)"
    if "$" in path:
        hint += "; variables such as $HOME are not read, ~ is"
    if "huggingface.co" in path or (path.count("/") == 1 and not Path(path).suffix and path[0] not in "./~"):
        hint += "; a repository of the hub is named beside options: source: {repo: owner/name, revision: …}"
    return hint


def folder_source(folder: Path, name: str | None, split: str | None) -> Source:
    """A folder: what save_to_disk wrote, tables with or without splits, or images with or without metadata."""
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return Source("disk", (folder,), split, folder)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    files = files_of_split(names, readme_in(folder), name, split, str(folder))
    kind = "images" if any(Path(file).suffix.lower() in IMAGES for file in files) else "files"
    return Source(kind, tuple(folder / file for file in files), split, folder)


def download_source(raw: Path, split: str | None) -> Source:
    """A folder of downloaded files, which are those of one split."""
    names = [path.relative_to(raw).as_posix() for path in sorted(raw.rglob("*")) if path.is_file()]
    tables, images = _readable(names)
    if not tables and not images:
        raise InputError(f"{raw}: no table ({', '.join(TABLES)}) and no image: correct source.files")
    return Source("files" if tables else "images", tuple(raw / name for name in tables or images), split, raw)


def needed_files(
    names: Sequence[str], readme: str, config: str | None, split: str | None, where: str
) -> list[str]:
    """Of a repository's files, those of one split, its README, and the images that a table without any may name."""
    chosen = files_of_split(names, readme, config, split, where)
    if not any(name.endswith((".parquet", ".arrow")) or Path(name).suffix in IMAGES for name in chosen):
        chosen += _readable(names)[1]
    return sorted({*chosen, *(name for name in names if name == README)})


def files_of_split(
    names: Iterable[str], readme: str, config: str | None, split: str | None, where: str
) -> list[str]:
    """Of the files in a folder or repository, those that hold a split, in order; the README may say so.

    The datasets library decides, as for the hub: it is shown empty files of these names. Tables go before images, as a
    table may name images that lie beside it. Raises InputError naming the splits or configurations there are.
    """
    names = list(names)
    tables, images = _readable(names)
    shown = tables or images
    if not shown:
        script = next((name for name in names if name.endswith(".py")), None)
        if script:
            raise InputError(
                f"{where}: holds a loading script ({script}), which is not run, and no table: the hub's viewer shows a "
                "copy as parquet, on the branch refs/convert/parquet: name the commit of that branch as source.revision"
            )
        raise InputError(f"{where}: no table ({', '.join(TABLES)}) and no image")
    splits = _splits(shown, readme, config, where)
    if split is None:
        if len(splits) > 1:
            raise InputError(f"options.split: missing: {where} has the splits {', '.join(splits)}")
        return next(iter(splits.values()))
    if split not in splits:
        raise InputError(f"options.split: {where} has no '{split}': {nearest(split, splits)}")
    return splits[split]


def _readable(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The tables among files, and the images with what is said of them."""
    shown = [name for name in names if not any(part.startswith(".") for part in Path(name).parts)]
    images = [name for name in shown if Path(name).suffix.lower() in IMAGES or Path(name).name in _METADATA]
    return [name for name in shown if _is_table(name)], images


def _is_table(name: str) -> bool:
    path = Path(name.lower())
    suffix = Path(path.stem).suffix if path.suffix in PACKED else path.suffix
    return suffix in TABLES and path.name not in (*_BESIDE, *_METADATA)


def _splits(names: Sequence[str], readme: str, config: str | None, where: str) -> dict[str, list[str]]:
    """Split → its files, as the datasets library finds them."""
    from datasets import load_dataset_builder

    with tempfile.TemporaryDirectory() as mirror:
        folder = Path(mirror).resolve()
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        if readme:
            (folder / README).write_text(readme, encoding="utf-8")
        try:
            builder = load_dataset_builder(str(folder), name=config)
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).replace(str(folder), where).split()).partition(" Example of")[0]
            raise InputError(f"options.name: {where}: {reason}") from None
        found = builder.config.data_files or {}
        return {
            str(split): [Path(file).resolve().relative_to(folder).as_posix() for file in files]
            for split, files in found.items()
        }
