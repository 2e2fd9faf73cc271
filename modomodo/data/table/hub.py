"""The first rows of a repository on the hub, read without downloading the whole of it."""

from itertools import islice
from pathlib import Path
from typing import Any

from modomodo.data.hub import fetch, first_listing
from modomodo.data.raw_folder import README, readme_in
from modomodo.data.table.files import files_of_split
from modomodo.data.table.reading import Options
from modomodo.errors import InputError


def first_rows_of(repo: str, revision: str, options: Options, rows: int, folder: Path) -> tuple[str, Path]:
    """The commit that a revision means, and a file with the first rows. Raises InputError for what is in the way."""
    from datasets import Dataset, Features, Image, load_dataset
    from datasets.exceptions import DatasetNotFoundError

    repo, commit, listing = first_listing([repo], revision)
    if README in listing:
        fetch(repo, commit, [README], folder)
    files = files_of_split(list(listing), readme_in(folder), options.name, options.split, repo)
    try:
        data: Any = load_dataset(repo, data_files=files, split="train", revision=commit, streaming=True)
        features = data.features or data._resolve_features().features
        images = [name for name, feature in features.items() if isinstance(feature, Image)]
        for name in images:
            data = data.cast_column(name, Image(decode=False))
        read = list(islice(data, rows))
    except (DatasetNotFoundError, ValueError, OSError) as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{repo}: {first_line}: a gated repository needs its terms accepted and HF_TOKEN"
        ) from None
    path = folder / "first.parquet"
    Dataset.from_list(read, features=Features(features)).to_parquet(path)
    return commit, path
