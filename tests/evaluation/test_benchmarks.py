"""The questions of benchmarks, from the files of their examples."""

import pytest

from modomodo.errors import InputError
from modomodo.evaluation.benchmarks import load_benchmarks
from modomodo.files import file_digest, write_jsonl


@pytest.fixture
def files(tmp_path, example_fields):
    for name in ("chart", "math"):
        rows = [example_fields(id=f"{name} {i}", dataset=name, image="none.png") for i in range(3)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    return [tmp_path / "chart.jsonl", tmp_path / "math.jsonl"]


def test_all_files_are_read_or_those_that_are_named(files):
    assert list(load_benchmarks(files)) == ["chart", "math"]
    (math,) = load_benchmarks(files, ["math"]).values()
    assert [example.id for example in math.examples] == ["math 0", "math 1", "math 2"]
    assert math.rows[0] == (math.examples[0], files[1].parent)
    assert math.digest == file_digest(files[1])


def test_a_part_keeps_the_name_and_the_file(files):
    part = load_benchmarks(files)["chart"].part([2, 0])
    assert [example.id for example in part.examples] == ["chart 2", "chart 0"]
    assert (part.name, part.path, len(part)) == ("chart", files[0], 2)


def test_a_benchmark_that_is_not_given_is_named(files):
    with pytest.raises(InputError, match=r"^--held-out: no charts\.jsonl given$"):
        load_benchmarks(files, ["chart", "charts"], "--held-out")


def test_a_benchmark_without_rows_is_refused(files):
    files[0].write_text("")
    with pytest.raises(InputError, match=r"chart\.jsonl: benchmark without rows"):
        load_benchmarks(files)


def test_an_image_that_cannot_be_read_is_named(files):
    with pytest.raises(InputError, match=r"id 'chart 0': image: .*none\.png cannot be read"):
        load_benchmarks(files)["chart"].check_images()
