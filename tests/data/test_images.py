"""Rows → files: images decoded once and named by content, failing rows rejected, the same on any number of
cores.
"""

import io
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from raw_fixtures import bomb, drawn_image, encoded, truncated

from modomodo.config.schema import MAX_PIXELS, Dataset
from modomodo.data import images
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
from modomodo.data.images import Image, InvalidImage, displayed_size, encode, write_image
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


TURNED = PIL.Image.Exif()
TURNED[0x0112] = 6


def sixteen_bits_on_a_key(level: int, key: int) -> bytes:
    """A grey PNG of 16 bits in which one level is transparent, and its neighbour, equal in 8 bits, is not."""
    image = PIL.Image.fromarray(np.array([[level, key], [key + 1, key - 1]], np.uint16))
    return encoded(image, transparency=key)


PUBLISHED = {
    "rgb.png": encoded(drawn_image(1)),
    "rgb.jpg": encoded(drawn_image(1), "JPEG"),
    "transparent.png": encoded(drawn_image(1, mode="RGBA")),
    "turned.jpg": encoded(drawn_image(1, (40, 30)), "JPEG", exif=TURNED),
    "turned.png": encoded(drawn_image(1, (40, 30)), exif=TURNED),
    "turned.tif": encoded(drawn_image(1, (40, 30)), "TIFF", exif=TURNED),
    "sixteen_bits.png": encoded(PIL.Image.new("I;16", (4, 4), 0x4000)),
    "sixteen_bits_transparent.png": sixteen_bits_on_a_key(0x4000, 0x8010),
    "grey.png": encoded(drawn_image(1, mode="L")),
    "grey_transparent.png": encoded(drawn_image(1, mode="LA")),
    "palette.png": encoded(drawn_image(1, mode="P")),
    "palette_transparent.png": encoded(drawn_image(1, mode="P"), transparency=3),
    "palette_of_alphas.png": encoded(PIL.Image.new("RGBA", (8, 6), (0, 0, 0, 0)).quantize(4)),
    "bilevel.png": encoded(drawn_image(1, mode="1")),
    "cmyk.jpg": encoded(drawn_image(1, mode="CMYK"), "JPEG"),
    "cmyk.tif": encoded(drawn_image(1, mode="CMYK"), "TIFF"),
    "webp.webp": encoded(drawn_image(1, mode="RGBA"), "WEBP", lossless=True),
    "frames.gif": encoded(
        PIL.Image.new("RGB", (8, 6), "red"),
        "GIF",
        save_all=True,
        append_images=[PIL.Image.new("RGB", (8, 6), "blue")],
    ),
    "thin.png": encoded(drawn_image(1, (500, 2))),
    "thinner_when_resized.png": encoded(drawn_image(1, (1383, 7))),  # 198 times, and 214 in 640 x 3 pixels
    "one_pixel.png": encoded(drawn_image(1, (1, 1))),
    "truncated.png": truncated("PNG"),
    "truncated.jpg": truncated("JPEG"),
    "bomb.png": bomb(),
    "floats.tif": encoded(PIL.Image.new("F", (4, 4), 0.5), "TIFF"),
    "no_image.png": b"no image at all",
}


def loaded(path: Path) -> PIL.Image.Image:
    image = PIL.Image.open(path)
    image.load()
    return image


FORMS = {
    "bytes": lambda path: path.read_bytes(),
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "text": str,
    "path": lambda path: path,
    "cell": lambda path: {"bytes": path.read_bytes(), "path": None},
    "cell of a path": lambda path: {"bytes": None, "path": str(path)},
    "opened": PIL.Image.open,
    "loaded": loaded,
}


def looked_at(image, max_side: int | None) -> object:
    """The pixels of the file that is made of an image, or that it is refused."""
    try:
        picture = opened(encode(Image(image, max_side))[0])
    except InvalidImage:
        return "refused"
    assert picture.mode == "RGB" and getattr(picture, "n_frames", 1) == 1
    return picture.size, picture.tobytes()


@pytest.mark.parametrize("max_side", [None, 640, 20])
@pytest.mark.parametrize("name", PUBLISHED)
def test_an_image_is_the_same_whatever_form_it_comes_in(tmp_path, name, max_side):
    path = tmp_path / name
    path.write_bytes(PUBLISHED[name])
    expected = looked_at(path, max_side)
    for form, of in FORMS.items():
        try:
            image = of(path)
        except Exception:  # what Pillow will not open, nobody can hand over opened
            assert expected == "refused", form
            continue
        assert looked_at(image, max_side) == expected, form


def test_what_the_pictures_of_all_forms_show():
    assert opened(encode(PUBLISHED["sixteen_bits.png"])[0]).getpixel((0, 0)) == (64, 64, 64)
    key = opened(encode(PUBLISHED["sixteen_bits_transparent.png"])[0])
    assert [key.getpixel(xy)[0] for xy in ((0, 0), (1, 0), (0, 1), (1, 1))] == [64, 255, 128, 128]
    assert opened(encode(PUBLISHED["turned.tif"])[0]).size == (30, 40)
    for name in ("transparent.png", "palette_of_alphas.png", "webp.webp"):
        assert opened(encode(PUBLISHED[name])[0]).getpixel((0, 0)) == (255, 255, 255), name
    assert opened(encode(PUBLISHED["frames.gif"])[0]).getpixel((0, 0)) == (255, 0, 0)
    for name in ("thin.png", "bomb.png", "truncated.jpg", "floats.tif", "no_image.png"):
        with pytest.raises(InvalidImage):
            encode(PUBLISHED[name])
    with pytest.raises(InvalidImage, match="640 x 3 pixels"):
        encode(Image(PUBLISHED["thinner_when_resized.png"], max_side=640))


def test_an_opened_file_keeps_its_published_bytes(tmp_path):
    data = PUBLISHED["rgb.jpg"]
    (tmp_path / "a.jpg").write_bytes(data)
    with PIL.Image.open(tmp_path / "a.jpg") as image:
        assert encode(image) == (data, ".jpg")
        assert image.getpixel((0, 0))  # it can still be read
        image.putpixel((0, 0), (1, 2, 3))
        changed, suffix = encode(image)
    assert suffix == ".png" and opened(changed).getpixel((0, 0)) == (1, 2, 3)


def test_a_frame_that_was_chosen_is_shown():
    image = opened(PUBLISHED["frames.gif"])
    image.seek(1)
    assert opened(encode(image)[0]).getpixel((0, 0)) == (0, 0, 255)


def test_arrays():
    pixels = np.asarray(drawn_image(1))
    assert encode(pixels) == encode(drawn_image(1))
    assert opened(encode(pixels[..., 0])[0]).getpixel((2, 2)) == (pixels[2, 2, 0],) * 3
    assert encode(pixels[..., :1]) == encode(pixels[..., 0])
    assert opened(encode(np.full((4, 4), 0x4000, np.uint16))[0]).getpixel((0, 0)) == (64, 64, 64)
    assert opened(encode(np.zeros((4, 4, 4), np.uint8))[0]).getpixel((0, 0)) == (255, 255, 255)
    for odd in (pixels.transpose(2, 0, 1), pixels / 255, pixels[None], pixels[:0], pixels.astype(np.int64)):
        with pytest.raises(InvalidImage, match="image: "):
            encode(odd)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "there is none"),
        ("", "there is none"),
        ({}, "there is none"),
        ({"bytes": None, "path": None}, "there is none"),
        (3, "found int, expected a file"),
        ("nowhere.png", "No such file"),
        (PIL.Image.new("RGB", (0, 5)), "0 x 5 pixels"),
        (PIL.Image.new("RGB", (50, 50)), "50 x 50 pixels exceed max_pixels"),
    ],
)
def test_what_is_no_image_is_rejected_with_its_row(tmp_path, given, reason):
    rows = [(fields(0), drawn_image()), (fields(1), given), (fields(2), [drawn_image(), given])]
    write_examples("d", rows, tmp_path / "d.jsonl", dataset=settings(max_rejected=1, max_pixels=2000))
    rejected = [json.loads(line) for line in rejected_path(tmp_path / "d.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rejected] == ["1", "2"]
    assert all(reason in row["reason"] for row in rejected)


def test_a_canvas_that_is_drawn_on_again_gives_each_picture(tmp_path):
    def rows():
        canvas = PIL.Image.new("RGB", (8, 8))
        array = np.zeros((8, 8, 3), np.uint8)
        for level in range(4):
            canvas.paste((level, 0, 0), (0, 0, 8, 8))
            array[...] = (0, level, 0)
            yield fields(level), [canvas, array]

    write_examples("d", rows(), tmp_path / "d.jsonl", dataset=settings())
    shown = [
        PIL.Image.open(tmp_path / path).getpixel((0, 0))
        for example in read_examples(tmp_path / "d.jsonl")
        for path in image_paths(example)
    ]
    assert shown == [pixel for level in range(4) for pixel in ((level, 0, 0), (0, level, 0))]


@pytest.mark.parametrize("form", ["text", "bytes", "cell", "opened"])
def test_an_image_of_many_rows_is_decoded_once(tmp_path, monkeypatch, form):
    """For each side and background that it is wanted in."""
    written = []
    monkeypatch.setattr(images, "write_image", lambda *given: written.append(given) or write_image(*given))
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        path.write_bytes(encoded(drawn_image(number, mode="RGBA")))
    rows: list = [(fields(number), FORMS[form](paths[number % 2])) for number in range(80)]
    rows.append((fields(80), Image(paths[0], max_side=20)))
    rows.append((fields(81), Image(paths[0], background="black")))
    rows += [(fields(number), Image(truncated())) for number in (82, 83)]
    counts = write_examples("d", rows, tmp_path / "d.jsonl", dataset=settings(max_rejected=1))
    assert counts == {"kept": 82, "rejected": 2} and len(written) == 5
    names = [example.image for example in read_examples(tmp_path / "d.jsonl")]
    assert names[:80] == [names[0], names[1]] * 40 and len({*names}) == 4


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
    rows[60] = (fields(60), None)
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
