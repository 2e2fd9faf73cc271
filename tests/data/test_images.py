"""Rows → files: images decoded once and named by content, failing rows rejected, the same on any number of
cores.
"""

import io
import json
from pathlib import Path

import PIL.Image
import pytest
from raw_fixtures import bomb, drawn_image, encoded, truncated

from modomodo.config.schema import MAX_PIXELS, Dataset
from modomodo.data.examples import (
    Example,
    Filtered,
    Rejected,
    image_paths,
    leaves_its_folder,
    read_examples,
    rejected_path,
    write_examples,
)
from modomodo.data.images import Image, InvalidImage, displayed_size, encode
from modomodo.errors import InputError


def fields(number: int, **changed) -> dict:
    return {"id": str(number), "question": "What?", "answer": "it", "answer_type": "text", **changed}


def settings(**keys) -> Dataset:
    """A dataset's settings as a study gives them; its rows are handed over here."""
    return Dataset(loader="handed_over", **keys)


def opened(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("form", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png")])
def test_published_bytes_are_kept(form, suffix):
    data = encoded(drawn_image(), form)
    assert encode(Image(data, max_side=40)) == (data, suffix)


def test_what_has_to_change_becomes_png():
    resized, suffix = encode(Image(encoded(drawn_image(0, (1281, 30)), "JPEG"), max_side=640))
    assert suffix == ".png" and opened(resized).size == (640, 15)
    for mode in ("L", "LA", "P", "1", "CMYK", "RGBA"):
        form = "JPEG" if mode == "CMYK" else "PNG"
        image = drawn_image(0, mode="RGBA" if mode == "RGBA" else "RGB")
        data = encoded(image if mode == "RGBA" else image.convert(mode), form)
        assert opened(encode(Image(data))[0]).mode == "RGB"
    webp = encode(Image(encoded(drawn_image(), "WEBP")))
    assert webp[1] == ".png"


def test_sixteen_bits_are_scaled_not_cut_off():
    image = PIL.Image.new("I;16", (4, 4), 0x8000)
    assert opened(encode(Image(encoded(image)))[0]).getpixel((0, 0)) == (128, 128, 128)


def test_a_turned_photograph_is_turned_for_good(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    data = encoded(drawn_image(0, (40, 30)), "JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(data)
    assert displayed_size(tmp_path / "a.jpg") == (30, 40)
    upright = opened(encode(Image(tmp_path / "a.jpg"))[0])
    assert upright.size == (30, 40) and 0x0112 not in upright.getexif()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (truncated("JPEG"), "truncated"),
        (truncated("PNG"), "image:"),
        (b"", "no image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known format"),
        (bomb(), "max_pixels"),
        (encoded(drawn_image(0, (500, 2))), "200 times"),
        (encoded(PIL.Image.new("F", (4, 4), 0.5), "TIFF"), "32 bits"),
        (encoded(PIL.Image.new("I", (4, 4), 70_000), "TIFF"), "32 bits"),
    ],
)
def test_images_that_are_refused(data, reason):
    with pytest.raises(InvalidImage, match=reason):
        encode(Image(data))


def test_of_an_animation_the_first_frame_is_shown():
    frames = [PIL.Image.new("RGB", (8, 6), colour) for colour in ("red", "green", "blue")]
    for form in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {} if form == "GIF" else {"lossless": True} if form == "WEBP" else {}
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
        still, suffix = encode(Image(data))
        image = opened(still)
        assert (suffix, image.mode, image.size) == (".png", "RGB", (8, 6)), form
        assert getattr(image, "n_frames", 1) == 1 and image.getpixel((3, 3)) == (255, 0, 0), form


def test_the_largest_image_is_a_setting():
    data = encoded(drawn_image(0, (40, 30)))
    assert MAX_PIXELS > 6250 * 9375  # InfoVQA's largest page
    with pytest.raises(InvalidImage, match="1200 pixels"):
        encode(Image(data), max_pixels=1199)
    assert encode(Image(data), max_pixels=1200)[0] == data
    assert PIL.Image.MAX_IMAGE_PIXELS == MAX_PIXELS  # what others of the process see stays


def many_rows(count: int = 90) -> list:
    """Good rows and one of every way to fail, over several chunks."""
    rows: list = []
    for number in range(count):
        image = drawn_image(number % 7, (60, 50), "RGBA" if number % 3 else "RGB")
        rows.append((fields(number), Image(encoded(image, "PNG"), max_side=50)))
    rows[5] = Rejected("5", "answer: ambiguous")
    rows[11] = Filtered("two images")
    rows[20] = (fields(20), Image(truncated()))
    rows[33] = (fields(20), Image(encoded(drawn_image(33))))  # a duplicate, of an id that failed
    rows[40] = (fields(40), [Image(encoded(drawn_image(i))) for i in (1, 2, 3)])
    rows[41] = (fields(41), [Image(encoded(drawn_image(1))), Image(bomb())])
    rows[50] = (fields(50, answer=" "), Image(encoded(drawn_image(50))))
    rows[51] = (fields(51, question="x" * 200), Image(encoded(drawn_image(51))))
    rows[60] = (fields(60), [])
    rows[70] = (fields(70), drawn_image(70))  # drawn, not published
    return rows


def written(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    counts = [
        write_examples(
            "d",
            many_rows(),
            tmp_path / str(workers) / "d.jsonl",
            dataset=settings(max_rejected=1, max_question=100),
            workers=workers,
        )
        for workers in (1, 3)
    ]
    assert counts[0] == counts[1] == {"kept": 82, "rejected": 7, "two images": 1}
    one, three = written(tmp_path / "1"), written(tmp_path / "3")
    assert list(one) == list(three) and one == three


def test_a_limit_of_the_study_holds_for_all_images(tmp_path):
    """Published or drawn; the dataset's own limit stays where it is lower; boxes in pixels would not fit."""
    wide = drawn_image(0, (200, 50))
    box = {"answer": [[1, 1, 9, 9]], "answer_type": "box"}
    rows = [
        (fields(0), Image(encoded(wide))),
        (fields(1), [wide, Image(encoded(drawn_image(1, (30, 20))))]),
        (fields(2), Image(encoded(wide), max_side=50)),
        (fields(3, **box, meta={"boxes": "0-1000"}), Image(encoded(wide))),
        (fields(4, **box, meta={"boxes": "pixels"}), Image(encoded(wide))),
    ]
    write_examples("d", rows, tmp_path / "d.jsonl", dataset=settings(max_rejected=1, longest=100))
    sizes = [
        [PIL.Image.open(tmp_path / path).size for path in image_paths(example)]
        for example in read_examples(tmp_path / "d.jsonl")
    ]
    assert sizes == [[(100, 25)], [(100, 25), (30, 20)], [(50, 12)], [(100, 25)]]
    assert "do not fit a resized image" in rejected_path(tmp_path / "d.jsonl").read_text()


def test_rejected_rows_say_line_reason_and_key(tmp_path):
    write_examples("d", many_rows(), tmp_path / "d.jsonl", dataset=settings(max_rejected=1, max_question=100))
    rows = [json.loads(line) for line in rejected_path(tmp_path / "d.jsonl").read_text().splitlines()]
    assert [(row["line"], row["id"]) for row in rows] == [
        (6, "5"),
        (21, "20"),
        (34, "20"),
        (42, "41"),
        (51, "50"),
        (52, "51"),
        (61, "60"),
    ]
    words = [
        "ambiguous",
        "truncated",
        "is used by an earlier row",
        "max_pixels",
        "non-empty",
        "max_question",
        "there is none",
    ]
    for row, word in zip(rows, words, strict=True):
        assert word in row["reason"]
    several = next(example for example in read_examples(tmp_path / "d.jsonl") if example.id == "40")
    assert len(several.meta["images"]) == 2


def test_too_many_rejects_stop_the_run(tmp_path):
    with pytest.raises(InputError, match=r"7 of 89 rows of 'd' failed .*ambiguous.*max_rejected"):
        write_examples(
            "d", many_rows(), tmp_path / "d.jsonl", dataset=settings(max_rejected=0.05, max_question=100)
        )
    with pytest.raises(InputError, match="no valid row .*1 filtered: filtered"):
        write_examples("d", [Filtered("filtered")], tmp_path / "e.jsonl", dataset=settings())


@pytest.mark.parametrize(
    "path", ["../x.png", "/etc/x.png", "a/../../x.png", "C:/x.png", "..\\x.png", "a\0.png"]
)
def test_paths_that_lead_out_are_known(path):
    assert leaves_its_folder(path)
    with pytest.raises(ValueError, match="leads out"):
        Example.model_validate(fields(1, dataset="d", image=path))
    with pytest.raises(ValueError, match="leads out"):
        Example.model_validate(fields(1, dataset="d", image="a.png", meta={"images": [path]}))


@pytest.mark.parametrize("path", ["a.png", "images/d/a..b.png", "./a.png"])
def test_paths_that_stay_are_known(path):
    assert not leaves_its_folder(path)
