"""Files are whole or not there, and equal data are equal bytes."""

import math
import os

import pandas as pd
import pytest

from modomodo.errors import InputError, nearest
from modomodo.files import (
    atomic_directory,
    atomic_write,
    canonical,
    code_digest,
    digest,
    file_digest,
    read_json,
    read_jsonl,
    write_csv,
    write_json,
    write_jsonl,
)


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as file:
        file.write("half")
        file.flush()
        assert not path.exists()
    assert path.read_text() == "half"
    assert os.listdir(path.parent) == ["a.txt"]


def test_an_exception_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_directory_replaces_the_old_one_and_what_a_killed_attempt_left(tmp_path):
    path, other = tmp_path / "base", tmp_path / ".base-2.ab"
    for folder in (path, tmp_path / ".base.0a1b2c3d", other):
        folder.mkdir()
        (folder / "old").touch()
    with pytest.raises(RuntimeError), atomic_directory(path) as directory:
        (directory / "new").touch()
        raise RuntimeError
    assert os.listdir(path) == ["old"] and sorted(os.listdir(tmp_path)) == [".base-2.ab", "base"]
    with atomic_directory(path) as directory:
        (directory / "inner").mkdir()
        (directory / "inner/new").touch(0o600)  # as libraries leave their files
    assert os.listdir(path) == ["inner"] and sorted(os.listdir(tmp_path)) == [".base-2.ab", "base"]
    assert (path / "inner/new").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_that_a_library_wrote_for_their_owner_have_the_mode_of_new_ones(tmp_path, umask, mode):
    theirs = tmp_path / "theirs"
    theirs.touch(0o600)
    before = os.umask(umask)
    try:
        with atomic_directory(tmp_path / "model") as directory:
            (directory / "model.safetensors").touch(0o600)
            (directory / "link").symlink_to(theirs)
    finally:
        os.umask(before)
    assert (tmp_path / "model/model.safetensors").stat().st_mode & 0o777 == mode
    assert theirs.stat().st_mode & 0o777 == 0o600


def test_rows_that_fail_half_way_leave_the_old_file(tmp_path):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"a": 1}])

    def rows():
        yield {"a": 2}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_jsonl(path, rows())
    assert path.read_text() == '{"a": 1}\n'
    assert os.listdir(tmp_path) == ["a.jsonl"]


def test_others_may_read_what_is_written(tmp_path):
    write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


def test_json_keeps_order_and_letters(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": "é", "a": [0.1, 1e-6]})
    assert path.read_bytes() == '{\n  "b": "é",\n  "a": [\n    0.1,\n    1e-06\n  ]\n}\n'.encode()
    assert read_json(path) == {"b": "é", "a": [0.1, 1e-6]}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_not_written(tmp_path, value):
    for write in (
        lambda path: write_json(path, {"a": value}),
        lambda path: write_jsonl(path, [{"a": value}]),
    ):
        with pytest.raises(ValueError, match="JSON"):
            write(tmp_path / "a.json")
    assert os.listdir(tmp_path) == []


def test_canonical_text_does_not_depend_on_the_order_of_keys():
    assert canonical({"b": {"y": 1, "x": 0.1}, "a": "é"}) == '{"a":"é","b":{"x":0.1,"y":1}}'
    assert canonical({"a": "é", "b": {"x": 0.1, "y": 1}}) == canonical({"b": {"y": 1, "x": 0.1}, "a": "é"})


def test_digests_name_values_not_their_order():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1, "b": [1, 2]}) != digest({"a": 1, "b": [2, 1]})
    assert digest({}) == "44136fa355b3"  # of the two bytes {}
    assert len({digest(value) for value in (1, "1", [1], None, {"1": 1}, 1.5, True)}) == 7


def test_the_digest_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_digest_of_code_depends_on_the_modules_named():
    assert code_digest("files", "errors") == code_digest("errors", "files")
    assert code_digest("files") != code_digest("errors")


@pytest.mark.parametrize("text", ["{", "", '{"a": 1} x', "\udcff"])
def test_damaged_json_is_reported_with_file_and_hint(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"a\.json: not valid JSON .*delete it and run again"):
        read_json(path)


def test_missing_files_are_reported(tmp_path):
    for read in (read_json, lambda path: list(read_jsonl(path))):
        with pytest.raises(InputError, match="nowhere: no such file"):
            read(tmp_path / "nowhere")


def test_rows_come_with_their_line_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"a": "one\nline"}, {"b": "é"}])
    assert path.read_text(encoding="utf-8") == '{"a": "one\\nline"}\n{"b": "é"}\n'
    assert list(read_jsonl(path)) == [(1, {"a": "one\nline"}), (2, {"b": "é"})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1', r":3: not valid JSON"),
        (b"", r":3: not valid JSON"),
        (b"[1]", r":3: expected a JSON object, found list"),
        (b'"text"', r":3: expected a JSON object, found str"),
        (
            b'{"a": "\xff"}',
            r":3: not UTF-8",
        ),
    ],
)
def test_a_damaged_row_is_reported_with_file_and_line(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n' + line + b'\n{"a": 4}\n')
    with pytest.raises(InputError, match=r"a\.jsonl" + message):
        list(read_jsonl(path))


def test_rows_before_a_damaged_one_are_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 2\n')
    rows = read_jsonl(path)
    assert next(rows) == (1, {"a": 1})
    with pytest.raises(InputError, match=":2:"):
        next(rows)


def test_tables_have_shortest_floats_and_empty_cells(tmp_path):
    path = tmp_path / "a.csv"
    write_csv(path, pd.DataFrame({"a": [0.1, 1 / 3], "b": [math.nan, 1e-6], "c": ["x, y", ""]}))
    assert path.read_bytes() == b'a,b,c\n0.1,,"x, y"\n0.3333333333333333,1e-06,\n'


def test_the_nearest_name_or_all_of_them():
    assert nearest("acuracy", ["format", "accuracy"]) == "did you mean 'accuracy'?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "known: none"
