"""Folders of images: read in order, at one size, as those of the fit were; written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from diabolo import AnomalyDetector, Denoiser
from diabolo.arguments import check_output
from diabolo.cli import app
from diabolo.errors import DiaboloWarning, InvalidData, InvalidParameter, MissingExtra, UnreadableFile
from diabolo.grids import channels, grid_column, stacked
from diabolo.images import Pictures
from diabolo.readers import open_sink, open_source

Image = pytest.importorskip("PIL.Image")


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def grey(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Stripes of one height each, 12 x 10 pixels; a text and a hidden file among them."""
    folder = tmp_path / "grey"
    for i in range(40):
        pixels = np.zeros((12, 10), np.uint8)
        pixels[i % 4 * 3 : i % 4 * 3 + 3] = 200
        save(folder / f"{i:02}.png", pixels + rng.integers(0, 20, pixels.shape).astype(np.uint8))
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_text("nor this")
    return folder


def test_rows_are_images_in_the_order_of_their_names(grey: Path) -> None:
    source = open_source(grey)
    table = source.table()
    assert (source.rows, table.schema.names) == (40, ["file", "grey"])
    assert table["file"].to_pylist() == [f"{i:02}.png" for i in range(40)]
    assert np.array_equal(stacked(table, ["grey"], (12, 10))[7, 0], np.asarray(Image.open(grey / "07.png")))
    assert source.locate(3).endswith("03.png")


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        ("1", ["grey"]),
        ("L", ["grey"]),
        ("LA", ["grey"]),
        ("I;16", ["grey"]),
        ("P", ["red", "green", "blue"]),
        ("RGB", ["red", "green", "blue"]),
        ("CMYK", ["red", "green", "blue"]),
        ("RGBA", ["red", "green", "blue", "alpha"]),
    ],
)
def test_colours(mode: str, found: list[str], tmp_path: Path) -> None:
    ending = "tif" if mode in ("CMYK", "I;16") else "png"
    for name in "ab":
        Image.new(mode, (4, 3)).save(tmp_path / f"{name}.{ending}")
    source = open_source(tmp_path)
    assert channels(source.schema) == found
    assert source.schema.field(found[0]).type.value_type == (pa.uint16() if mode == "I;16" else pa.uint8())
    assert stacked(source.table(), found, (3, 4)).shape == (2, len(found), 3, 4)


def test_folders_within_are_told(grey: Path) -> None:
    save(grey / "more" / "z.png", np.zeros((12, 10), np.uint8))
    table = open_source(grey).table()
    assert table["folder"].to_pylist()[-1] == "more"
    assert table["file"].to_pylist()[-1] == "more/z.png"
    detector = AnomalyDetector("Linear", random_state=0).fit(grey)
    assert set(detector.preparation_.schema_.dropped) == {"file", "folder"}


def test_sizes(grey: Path) -> None:
    save(grey / "wide.png", np.zeros((12, 30), np.uint8))
    with pytest.raises(UnreadableFile, match=r"wide.png has 12 x 30 pixels and .*00.png has 12 x 10"):
        open_source(grey)
    assert open_source(grey, "images:6").schema.field("grey").type.shape == [6, 6]
    assert open_source(grey, "images:6x5").schema.field("grey").type.shape == [6, 5]
    with pytest.raises(InvalidParameter, match="images:64"):
        open_source(grey, "images:big")


def test_large_images_need_a_size(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros((300, 300), np.uint8))
    with pytest.raises(UnreadableFile, match="300 x 300"):
        open_source(tmp_path)


def test_photographs_are_set_upright(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the right by 90 degrees
    save(tmp_path / "a.png", pixels, exif=exif)
    assert stacked(open_source(tmp_path).table(), ["grey"], (3, 2))[0, 0].tolist() == [[0, 255], [0, 0], [0, 0]]


def test_tiff_is_set_upright_once(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.tif", pixels, exif=exif, compression="tiff_lzw")
    assert stacked(open_source(tmp_path).table(), ["grey"], (3, 2))[0, 0].tolist() == [[0, 255], [0, 0], [0, 0]]


def test_a_model_knows_how_many_bits_a_pixel_has(grey: Path, tmp_path: Path) -> None:
    for file in sorted(grey.glob("[0-9]*.png")):
        with Image.open(file) as image:
            save(tmp_path / "deep" / file.name, np.asarray(image).astype(np.uint16) * 257)
    for one, other in ((grey, tmp_path / "deep"), (tmp_path / "deep", grey)):
        detector = AnomalyDetector("Linear", random_state=0).fit(one)
        assert np.array_equal(detector.anomaly_score(other), detector.anomaly_score(one))


def test_one_image_is_a_row(grey: Path) -> None:
    first = grey / "00.png"
    alone = open_source(first)
    assert alone.rows == 1 and alone.table().equals(open_source(grey).table().slice(0, 1))
    assert open_source(first, "images:4").table()["grey"].type.shape == [4, 4]
    with pytest.raises(UnreadableFile, match=r"absent\.png cannot be read"):
        open_source(grey / "absent.png")


def test_pages_of_tiff_are_not_left_out_silently(tmp_path: Path, rng: np.random.Generator) -> None:
    pages = [Image.fromarray(rng.integers(0, 255, (6, 8), dtype=np.uint8)) for _ in range(3)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UnreadableFile, match=r"scan\.tif has 3 pages or frames"):
        open_source(tmp_path)
    pages[0].save(tmp_path / "one.tif")
    with pytest.warns(DiaboloWarning, match=r"1 of 2 images .*\(scan\.tif\).* has 3 pages or frames"):
        assert open_source(tmp_path).rows == 1


def test_fractions_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    save(tmp_path / "a.tif", rng.random((4, 4)).astype(np.float32))
    with pytest.raises(UnreadableFile, match=r"a\.tif holds fractions.* Save it with 8 or 16 bits\.$"):
        open_source(tmp_path)


def test_no_image_takes_the_place_of_another(tmp_path: Path) -> None:
    pixels = np.arange(4 * 4, dtype=np.uint8).reshape(4, 1, 2, 2)
    rows = pa.table({"file": ["a.png", "a.bmp", "a.bmp.png", "a.png"], "grey": grid_column(pixels[:, 0])})
    with open_sink(f"{tmp_path}/new/") as sink:
        sink.write(rows)
        sink.write(rows.set_column(0, "file", pa.array([1, 1, 2, 3])))
    names = ["a.png", "a.bmp.png", "a.bmp (2).png", "a (2).png", "1.png", "1 (2).png", "2.png", "3.png"]
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == sorted(names)
    with Image.open(tmp_path / "new" / "a (2).png") as image:
        assert np.array_equal(np.asarray(image), pixels[3, 0])


def test_a_model_reads_images_as_those_of_its_fit(grey: Path, tmp_path: Path) -> None:
    detector = AnomalyDetector("Linear", random_state=0).fit(grey)
    with Image.open(grey / "00.png") as first:
        first.convert("RGB").resize((20, 24)).save(tmp_path / "other.png")
    scores = detector.anomaly_score(tmp_path)  # the folder holds grey/ too
    assert scores.shape == (41,)
    assert np.allclose(scores[:40], detector.anomaly_score(grey))


def test_broken_images_are_named(grey: Path) -> None:
    detector = AnomalyDetector("Linear", random_state=0).fit(grey)
    (grey / "99.png").write_bytes((grey / "00.png").read_bytes()[:60])
    with pytest.raises(UnreadableFile, match=r"99.png cannot be read as an image"):
        detector.anomaly_score(grey)
    (grey / "empty").mkdir()
    with pytest.raises(UnreadableFile, match="without images"):
        open_source(grey / "empty")


def test_a_fit_leaves_out_broken_images_and_names_them(grey: Path) -> None:
    save(grey / "50.png", np.random.default_rng(0).integers(0, 200, (12, 10), dtype=np.uint8))
    whole = open_source(grey).table()
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    save(grey / "41.jpg", noise, quality=95)  # its header is read as if nothing were wrong
    (grey / "41.jpg").write_bytes((grey / "41.jpg").read_bytes()[:5000])
    (grey / "42.png").write_text("no image")
    with pytest.warns(DiaboloWarning, match=r"2 of 43 images .* left out \(41.jpg, 42.png\): .*41.jpg cannot be read"):
        source = open_source(grey)
    assert source.rows == 41 and source.table().equals(whole)
    with pytest.warns(DiaboloWarning, match="left out"):
        assert AnomalyDetector("Linear", random_state=0).fit(grey).rows_seen_ == 41


def test_broken_images_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(UnreadableFile, match=r"a.png cannot be read as an image"):
        open_source(tmp_path)


def test_mixed_depths_are_refused(grey: Path) -> None:
    Image.new("I;16", (10, 12)).save(grey / "deep.tif")
    with pytest.raises(UnreadableFile, match=r"8 bits and some 16: .*00.png and .*deep.tif"):
        open_source(grey)


def test_without_pillow(grey: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"diabolo\[images\]"):
        open_source(grey)


def test_images_are_written_under_their_names(grey: Path, tmp_path: Path) -> None:
    save(grey / "in" / "a.jpg", np.full((12, 10), 90, np.uint8))
    table = open_source(grey).table()
    with open_sink(f"{tmp_path}/out/") as sink:
        sink.write(table)
    again = open_source(tmp_path / "out").table()
    assert again["file"].to_pylist()[-1] == "in/a.jpg.png"
    assert np.array_equal(stacked(again, ["grey"], (12, 10)), stacked(table, ["grey"], (12, 10)))
    with pytest.raises(InvalidParameter, match="exists already"):
        open_sink(f"{tmp_path}/out/")


def test_a_folder_is_named_where_images_could_go(grey: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="for images, a new folder: out/"):
        open_sink("out")
    with pytest.raises(InvalidParameter, match="for images, a folder that is not there yet"):
        check_output(grey, "-", rows=True)


def test_names_lead_nowhere_else(tmp_path: Path, grey: Path) -> None:
    table = open_source(grey).table().slice(0, 2)
    for folder, names in {"out": ["../../evil.png", "/etc/evil.png"], "here": [".", "./"]}.items():
        with Pictures(tmp_path / folder) as sink:
            sink.write(table.set_column(0, "file", pa.array(names)))
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == ["000000.png", "000001.png"]


def test_nothing_is_left_after_an_error(tmp_path: Path, grey: Path) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(InvalidData, match=r"red \+ green \+ blue"), Pictures(tmp_path / "out") as sink:
        sink.write(pa.table({"a": [1]}))
    assert set(tmp_path.iterdir()) == before
    with pytest.raises(OSError, match="not empty"), Pictures(tmp_path / "out") as sink:
        (tmp_path / "out" / "other").mkdir(parents=True)
    assert set(tmp_path.iterdir()) == before | {tmp_path / "out"}


def run(*words: object) -> str:
    """What the command prints; it must go well."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_command_line(grey: Path, tmp_path: Path) -> None:
    model, page = tmp_path / "m.diabolo", tmp_path / "r.html"
    run("fit", "detect", grey, "-o", model, "-q", "-p", "variant=Linear")
    assert run("run", model, grey, "-q", "--explain").splitlines()[0] == "file,anomaly_score,p_value,anomaly,reasons"
    assert "grey, rows" in run("explain", model, grey, "--top", 1)
    assert run("explain", model, grey, "--rows", 7).startswith("row 7, 07.png: ")
    run("report", model, grey, "-o", page, "-q")
    assert "data:image/png;base64" in page.read_text()


def test_new_images_are_not_sent_into_a_text_file(grey: Path, tmp_path: Path) -> None:
    words = ["fit", "synthesize", str(grey), "-o", str(tmp_path / "m"), "-p", "variant=Linear"]
    assert "1000 -o new.parquet" in CliRunner().invoke(app, words).output


def test_cleaned_images_go_to_a_folder(grey: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.diabolo"
    Denoiser("Linear", random_state=0).fit(grey).save(model)
    run("run", model, grey, "-q", "-o", f"{tmp_path}/cleaned/")
    assert len(list((tmp_path / "cleaned").glob("*.png"))) == 40


@pytest.mark.parametrize("value", [-5, 70_000])
def test_values_beyond_16_bits_are_refused(value: int, tmp_path: Path) -> None:
    save(tmp_path / "a.tif", np.full((4, 4), value, np.int32))
    with pytest.raises(UnreadableFile, match="beyond 0 to 65,535"):
        open_source(tmp_path).table()


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_frames_are_not_left_out_silently(ending: str, tmp_path: Path, rng: np.random.Generator) -> None:
    frames = [Image.fromarray(rng.integers(0, 255, (6, 8), dtype=np.uint8)) for _ in range(2)]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableFile, match="2 pages or frames"):
        open_source(tmp_path)


def test_deep_images_stay_deep_beside_a_missing_one(tmp_path: Path) -> None:
    pixels = np.full((2, 4, 5), 40_000, np.uint16)
    rows = pa.table({"grey": pa.concat_arrays([grid_column(pixels), pa.nulls(1, grid_column(pixels).type)])})
    with open_sink(f"{tmp_path / 'out'}/") as folder:
        folder.write(rows)
    written = [np.asarray(Image.open(each)) for each in sorted((tmp_path / "out").iterdir())]
    assert [int(each.max()) for each in written] == [40_000, 40_000, 0]
    colours = pa.table({name: grid_column(pixels) for name in ("red", "green", "blue")})
    with pytest.raises(InvalidData, match="16 bits"), open_sink(f"{tmp_path / 'new'}/") as folder:
        folder.write(colours)
