"""Measure how fast raw rows become examples, and how much memory that takes.

Example:
    python benchmarks/preprocessing.py speed --rows 400 --workers 1 2
    python benchmarks/preprocessing.py speed --shape lisa --rows 88 --workers 1 2 --repeats 1
    python benchmarks/preprocessing.py make-pages --rows 100 --folder /tmp/infovqa
    python benchmarks/preprocessing.py memory --folder /tmp/infovqa --workers 2
    python benchmarks/preprocessing.py batches --folder /tmp/infovqa --model results/tiny/base
    python benchmarks/preprocessing.py make-photos --rows 30000 --folder /tmp/sat
    python benchmarks/preprocessing.py memory --folder /tmp/sat --workers 2

`speed` writes a parquet file with COCO's columns (640 x 480 pixels; half of the images are RGBA, which are
converted to RGB PNGs, half JPEGs, which are copied) or ReasonSeg's pairs of files (5184 x 3456 pixels, resized to
640; 44 instructions for 10 images, as in its test split). It converts them to examples by a plain loop in one
process, which decodes an image for each row, and by `write_examples` with each number of workers, and prints rows
per second (the best of --repeats), the ratio to the loop, and whether the files are identical.
`make-pages` and `make-photos` write a file with a single row group, the worst case for a reader: InfoVQA's largest
pages (6250 x 9375 pixels) or SAT's small photographs.
`memory` converts such a file and prints the peak resident memory of the process and its workers together.
`batches` converts it too and prepares all batches twice, as prediction does, with the tokenizer of a given model,
Qwen2-VL's own limits of image size, and no generation.
"""

import hashlib
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from modomodo import command_line
from modomodo.config.schema import Dataset
from modomodo.data.examples import Example, read_examples, write_examples
from modomodo.data.images import Image, encode
from modomodo.data.readers.registry import datasets
from modomodo.files import write_jsonl

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def photograph(seed: int, width: int, height: int) -> PIL.Image.Image:
    """Smooth shapes with a little noise, which compress about as well as a photograph."""
    random = np.random.default_rng(seed)
    small = PIL.Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    noise = random.integers(-6, 7, (min(height, 480), min(width, 640), 3))
    tiled = np.tile(noise, (-(-height // noise.shape[0]), -(-width // noise.shape[1]), 1))[:height, :width]
    smooth = np.asarray(small.resize((width, height), PIL.Image.Resampling.BICUBIC), np.int16)
    return PIL.Image.fromarray(np.clip(smooth + tiled, 0, 255).astype(np.uint8))


def encoded(image: PIL.Image.Image, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def coco_file(folder: Path, rows: int) -> Path:
    """A file with ViRFT_COCO's columns; every other image is an RGBA PNG."""
    images = []
    for seed in range(min(rows, 40)):
        photo = photograph(seed, 640, 480)
        images.append(
            encoded(photo.convert("RGBA"), "PNG", compress_level=1)
            if seed % 2
            else encoded(photo, "JPEG", quality=90)
        )
    table = pa.table(
        {
            "image": pa.array([{"bytes": images[i % len(images)], "path": None} for i in range(rows)], IMAGE),
            "problem": [
                f"Detect all objects belonging to the category '{i}' in the image." for i in range(rows)
            ],
            "solution": ["<answer>[{'Position': [1, 366, 344, 657], 'Confidence': 1}]</answer>"] * rows,
        }
    )
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "train-00000-of-00001.parquet", row_group_size=100)
    return folder


def lisa_files(folder: Path, rows: int) -> Path:
    """ReasonSeg's train/: photographs as large as its largest, each with four or five instructions."""
    place = folder / "train"
    place.mkdir(parents=True)
    shape = {"label": "target", "points": [[500, 500], [2500, 500], [2500, 1500]]}
    for seed in range(-(-rows * 10 // 44)):
        texts = [
            f"instruction {number}" for number in range(seed * 44 // 10, min(rows, (seed + 1) * 44 // 10))
        ]
        (place / f"{seed}.jpg").write_bytes(encoded(photograph(seed, 5184, 3456), "JPEG", quality=90))
        (place / f"{seed}.json").write_text(json.dumps({"text": texts, "shapes": [shape]}), encoding="utf-8")
    return folder


SHAPES = {"coco": coco_file, "lisa": lisa_files}


def plain_loop(shape: str, raw: Path, output: Path) -> None:
    """Write the same files in the simplest way: read, decode, write, one row after the other."""
    images = output.parent / f"images/{shape}"
    images.mkdir(parents=True)
    lines = []
    for row in datasets[shape](raw):
        assert isinstance(row, tuple)
        fields, image = row
        assert isinstance(image, Image)
        data, suffix = encode(image)
        name = f"{hashlib.sha256(data).hexdigest()[:24]}{suffix}"
        (images / name).write_bytes(data)
        complete = {**fields, "dataset": shape, "image": f"images/{shape}/{name}"}
        lines.append(Example.model_validate(complete).model_dump(mode="json"))
    write_jsonl(output, lines)


def digest_of(folder: Path) -> str:
    """The digest of all files in a folder but the list of rejected rows, which the plain loop does not write."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not path.name.endswith(".rejected.jsonl"):
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def timed(make: Callable[[Path], object], folder: Path, repeats: int) -> float:
    """Seconds of the fastest repeat. The last repeat's files remain."""
    best = float("inf")
    for _ in range(repeats):
        shutil.rmtree(folder, ignore_errors=True)
        started = time.perf_counter()
        make(folder)
        best = min(best, time.perf_counter() - started)
    return best


def speed(shape: str, rows: int, workers: list[int], repeats: int, place: Path) -> None:
    raw = SHAPES[shape](place / "raw", rows)
    loop = timed(lambda folder: plain_loop(shape, raw, folder / f"{shape}.jsonl"), place / "plain", repeats)
    truth = digest_of(place / "plain")
    print(f"{'':>12} {'rows/s':>8} {'ratio':>6}  same bytes")
    print(f"{'plain loop':>12} {rows / loop:8.1f} {1:6.2f}")
    for number in workers:

        def make(folder: Path, number: int = number) -> None:
            write_examples(
                shape,
                datasets[shape](raw),
                folder / f"{shape}.jsonl",
                dataset=Dataset(loader=shape),
                workers=number,
            )

        took = timed(make, place / "workers", repeats)
        same = digest_of(place / "workers") == truth
        print(f"{f'{number} workers':>12} {rows / took:8.1f} {loop / took:6.2f}  {'yes' if same else 'NO'}")
        if not same:
            sys.exit("the bytes differ")


def one_row_group(path: Path, columns: dict[str, pa.DataType], rows: Iterable[dict], count: int) -> None:
    schema = pa.schema(list(columns.items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        batches = [pa.RecordBatch.from_pylist([row], schema) for row in rows]
        writer.write_table(pa.Table.from_batches(batches), row_group_size=count)


def make_pages(folder: Path, rows: int) -> None:
    """InfographicVQA's columns."""
    page = photograph(0, 6250, 9375)
    data = [encoded(page, "JPEG", quality=quality) for quality in (70, 75, 80)]
    text, texts = pa.string(), pa.list_(pa.string())
    one_row_group(
        folder / "infovqa.parquet",
        {"questionId": text, "question": text, "answers": texts, "image": IMAGE},
        (
            {
                "questionId": str(i),
                "question": "?",
                "answers": ["x"],
                "image": {"bytes": data[i % 3], "path": None},
            }
            for i in range(rows)
        ),
        rows,
    )


def make_photos(folder: Path, rows: int) -> None:
    """SAT's columns."""
    photos = [encoded(photograph(i, 512, 512), "JPEG", quality=90) for i in range(200)]
    text = pa.string()
    one_row_group(
        folder / "sat.parquet",
        {
            "image_bytes": pa.list_(pa.binary()),
            "question": text,
            "answers": pa.list_(text),
            "correct_answer": text,
        },
        (
            {
                "image_bytes": [photos[i % 200]],
                "question": f"{i}?",
                "answers": ["a", "b"],
                "correct_answer": "a",
            }
            for i in range(rows)
        ),
        rows,
    )


def memory(folder: Path, workers: int, place: Path) -> None:
    (path,) = folder.glob("*.parquet")
    name, groups = path.stem, pq.ParquetFile(path).num_row_groups
    options = {"first": None} if name == "sat" else {}
    peak, started = PeakMemory(), time.perf_counter()
    rows = datasets[name](folder, **options)
    counts = write_examples(
        name, rows, place / f"{name}.jsonl", dataset=Dataset(loader=name), workers=workers
    )
    took = time.perf_counter() - started
    print(
        f"{counts['kept']} rows, file of {path.stat().st_size / 1e9:.2f} GB in {groups} row group, "
        f"{workers} workers: "
        f"{counts['kept'] / took:.1f} rows/s, peak resident memory {peak.stop() / 1e9:.2f} GB in all, "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB of this process alone"
    )


def batches(folder: Path, model: Path, place: Path) -> None:
    from modomodo.config.schema import Templates
    from modomodo.evaluation.engines.base import BatchLimits, LazyBatches, render_prompts
    from modomodo.evaluation.engines.hf import processor_inputs
    from modomodo.training.processors import load_processor

    (path,) = folder.glob("*.parquet")
    write_examples(
        path.stem,
        datasets[path.stem](folder),
        place / "all.jsonl",
        dataset=Dataset(loader=path.stem),
        workers=2,
    )
    rows = [(example, place) for example in read_examples(place / "all.jsonl")]
    processor = load_processor(model)
    images = processor.image_processor
    images.patch_size, images.merge_size, images.temporal_patch_size = 14, 2, 2
    images.size = {"shortest_edge": 3136, "longest_edge": 12_845_056}
    before, peak, started = resident(os.getpid()), PeakMemory(), time.perf_counter()

    def prepare(prompts, shown):
        inputs = processor_inputs(processor, prompts, shown)
        return inputs, sum(tensor.nbytes for tensor in inputs.values())

    prepared = LazyBatches(rows, render_prompts(rows, processor, Templates()), prepare, BatchLimits(8))
    size = sum(tensor.nbytes for batch in prepared for tensor in batch.inputs.values())
    second = sum(len(batch.ids) for batch in prepared)
    took = time.perf_counter() - started
    print(
        f"{len(rows)} questions in {len(prepared)} batches ({size / 1e9:.1f} GB), prepared twice "
        f"({second} questions the second time): {2 * len(rows) / took:.1f} questions/s, peak resident memory "
        f"{peak.stop() / 1e9:.2f} GB, {before / 1e9:.2f} GB of it before the first batch"
    )


class PeakMemory:
    """Peak resident memory of this process and its descendants, sampled 20 times per second, in bytes."""

    def __init__(self) -> None:
        self.largest, self.running = 0, True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while self.running:
            self.largest = max(self.largest, sum(map(resident, descendants(os.getpid()))))
            time.sleep(0.05)

    def stop(self) -> int:
        self.running = False
        self.thread.join()
        return self.largest


def descendants(root: int) -> list[int]:
    """A process and its descendants."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def main() -> None:
    parser = command_line.parser(__doc__)
    commands = ["speed", "make-pages", "make-photos", "memory", "batches"]
    parser.add_argument("command", choices=commands, help="what to do")
    parser.add_argument("--shape", choices=SHAPES, default="coco", help="whose files speed is measured on")
    parser.add_argument("--rows", type=int, default=400, help="rows of the file that is written")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 2], help="processes; memory uses the last number"
    )
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement of speed")
    parser.add_argument("--folder", type=Path, help="folder of the file that is written or read")
    parser.add_argument("--model", type=Path, help="model directory, for batches")
    arguments = parser.parse_args()
    if arguments.command != "speed" and arguments.folder is None:
        parser.error("--folder is needed")
    if arguments.command == "batches" and arguments.model is None:
        parser.error("--model is needed")
    if arguments.command == "make-pages":
        return make_pages(arguments.folder, arguments.rows)
    if arguments.command == "make-photos":
        return make_photos(arguments.folder, arguments.rows)
    with tempfile.TemporaryDirectory() as place:
        if arguments.command == "speed":
            speed(arguments.shape, arguments.rows, arguments.workers, arguments.repeats, Path(place))
        elif arguments.command == "batches":
            batches(arguments.folder, arguments.model, Path(place))
        else:
            memory(arguments.folder, arguments.workers[-1], Path(place))


if __name__ == "__main__":
    command_line.run(main)
