from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont

from tools.contact_sheet import MAX_BYTES, Box, Cell, Pair, build_contact_sheet, fit_text, main, plan_layout

RED, BLUE = (200, 30, 30), (30, 30, 200)
LONG_NAME = "listings/" + "a-very-long-street-name-" * 8 + "front-left-corner.jpg"


def photo(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (300, 200)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def pairs_of(folder: Path, count: int, size: tuple[int, int] = (300, 200), name: str = "photo") -> list[Pair]:
    before, after = photo(folder / "before.png", RED, size), photo(folder / "after.png", BLUE, size)
    return [Pair(f"{name}-{n}", before, after, ("1.2 MB -> 0.9 MB", "4.1 s, 1 credit")) for n in range(count)]


def boxes(cell: Cell) -> tuple[Box, Box, Box]:
    return cell.before, cell.after, cell.text


def overlap(a: Box, b: Box) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def close_to(pixel: object, colour: tuple[int, int, int]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) < 14 for a, b in zip(pixel, colour, strict=True))


def centre(box: Box) -> tuple[int, int]:
    return (box.left + box.right) // 2, (box.top + box.bottom) // 2


@given(count=st.integers(1, 60), caption_lines=st.integers(0, 4))
def test_nothing_on_the_sheet_overlaps(count: int, caption_lines: int) -> None:
    layout = plan_layout(count, caption_lines)
    everything = [layout.heading, *itertools.chain.from_iterable(boxes(cell) for cell in layout.cells)]
    assert len(layout.cells) == count
    for a, b in itertools.combinations(everything, 2):
        assert not overlap(a, b), f"{a} overlaps {b}"
    for box in everything:
        assert box.left >= 0
        assert box.top >= 0
        assert box.right <= layout.size[0]
        assert box.bottom <= layout.size[1]


@given(count=st.integers(1, 60))
def test_before_and_after_are_alike_and_level(count: int) -> None:
    for cell in plan_layout(count, 2).cells:
        before, after = cell.before, cell.after
        assert (before.top, before.bottom) == (after.top, after.bottom)
        assert before.right - before.left == after.right - after.left
        assert before.right <= after.left


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 1), (4, 2), (12, 2), (24, 3), (40, 4)])
def test_more_photos_get_more_columns(count: int, columns: int) -> None:
    assert len({cell.before.left for cell in plan_layout(count, 1).cells}) == columns


@pytest.mark.parametrize("count", [1, 3, 40])
def test_each_photo_stands_in_its_place(tmp_path: Path, count: int) -> None:
    path = build_contact_sheet(pairs_of(tmp_path, count), tmp_path / "out" / "sheet.jpg", title="Night of 14 May")
    layout = plan_layout(count, 2)
    with Image.open(path) as sheet:
        assert sheet.format == "JPEG"
        assert sheet.size == layout.size
        for cell in layout.cells:
            assert close_to(sheet.getpixel(centre(cell.before)), RED)
            assert close_to(sheet.getpixel(centre(cell.after)), BLUE)
            assert has_ink(sheet, cell.text)
        assert has_ink(sheet, layout.heading)


def has_ink(sheet: Image.Image, box: Box) -> bool:
    darkest, _ = sheet.convert("L").crop(box).getextrema()
    assert isinstance(darkest, int | float)
    return darkest < 140


def test_portrait_photos_keep_their_shape_beside_landscape_ones(tmp_path: Path) -> None:
    tall, wide = pairs_of(tmp_path / "tall", 1, (200, 300))[0], pairs_of(tmp_path / "wide", 1)[0]
    path = build_contact_sheet([tall, wide], tmp_path / "sheet.jpg", title="Mixed")
    first, second = plan_layout(2, 2).cells
    with Image.open(path) as sheet:
        left, middle = first.before.left + 10, centre(first.before)[1]
        assert not close_to(sheet.getpixel((left, middle)), RED)
        assert close_to(sheet.getpixel((centre(first.before)[0], first.before.top + 8)), RED)
        assert close_to(sheet.getpixel((centre(first.before)[0], first.before.bottom - 8)), RED)
        assert close_to(sheet.getpixel((second.before.left + 10, centre(second.before)[1])), RED)


def test_a_photo_taken_sideways_is_shown_upright(tmp_path: Path) -> None:
    sideways = Image.new("RGB", (200, 300), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways.save(tmp_path / "sideways.jpg", exif=exif)
    pair = Pair("sideways", tmp_path / "sideways.jpg", photo(tmp_path / "after.png", BLUE))
    path = build_contact_sheet([pair], tmp_path / "sheet.jpg", title="Upright")
    before = plan_layout(1, 0).cells[0].before
    with Image.open(path) as sheet:
        assert close_to(sheet.getpixel((before.left + 10, centre(before)[1])), RED)


@pytest.mark.parametrize("count", [3, 40])
def test_long_names_stay_in_their_column(tmp_path: Path, count: int) -> None:
    path = build_contact_sheet(pairs_of(tmp_path, count, name=LONG_NAME), tmp_path / "sheet.jpg", title=LONG_NAME * 3)
    layout = plan_layout(count, 2)
    right = max(cell.text.right for cell in layout.cells)
    first_row = [cell for cell in layout.cells if cell.text.top == layout.cells[0].text.top]
    gutters = [Box(a.text.right, a.text.top, b.text.left, a.text.bottom) for a, b in itertools.pairwise(first_row)]
    with Image.open(path) as sheet:
        for gap in [*gutters, Box(right, 0, layout.size[0], layout.size[1])]:
            darkest, _ = sheet.convert("L").crop(gap).getextrema()
            assert isinstance(darkest, int | float)
            assert darkest > 190


@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=120), width=st.integers(40, 600))
def test_fitted_text_is_never_wider_than_its_place(text: str, width: int) -> None:
    font = ImageFont.load_default(size=18)
    fitted = fit_text(text, font, width)
    assert font.getlength(fitted) <= width


def test_a_shortened_name_keeps_its_two_ends() -> None:
    fitted = fit_text(LONG_NAME, ImageFont.load_default(size=18), 400)
    start, end = fitted.split("...")
    assert LONG_NAME.startswith(start)
    assert LONG_NAME.endswith(end)
    assert len(end) > 8


def test_forty_noisy_photos_stay_below_the_limit(tmp_path: Path) -> None:
    noise = Image.effect_noise((600, 400), 120).convert("RGB")
    noise.save(tmp_path / "noise.jpg", quality=95)
    pairs = [Pair(f"photo {n}", tmp_path / "noise.jpg", tmp_path / "noise.jpg", ("",)) for n in range(40)]
    path = build_contact_sheet(pairs, tmp_path / "sheet.jpg", title="Noise")
    assert path.stat().st_size <= MAX_BYTES


def test_an_unreadable_photo_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 not a photo")
    with pytest.raises(ValueError, match=r"broken\.jpg: not a readable photo"):
        build_contact_sheet([Pair("x", broken, broken)], tmp_path / "sheet.jpg", title="Broken")
    assert not (tmp_path / "sheet.jpg").exists()


def test_no_photos_and_wrong_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one photo"):
        build_contact_sheet([], tmp_path / "sheet.jpg", title="Empty")
    with pytest.raises(ValueError, match=r"ends in \.jpg"):
        build_contact_sheet(pairs_of(tmp_path, 1), tmp_path / "sheet.gif", title="Wrong")


def test_command_line_pairs_two_folders_by_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "in" / "a" / "one.jpg", RED)
    photo(tmp_path / "in" / "b" / "one.jpg", RED)
    photo(tmp_path / "in" / "b" / "only-before.jpg", RED)
    photo(tmp_path / "out" / "a" / "one.webp", BLUE)
    photo(tmp_path / "out" / "b" / "one.png", BLUE)
    sheet = tmp_path / "sheet.jpg"
    assert main([str(tmp_path / "in"), str(tmp_path / "out"), "--out", str(sheet), "--title", "Two"]) == 0
    assert capsys.readouterr().out.strip() == str(sheet)
    with Image.open(sheet) as image:
        assert image.size == plan_layout(2, 1).size


def test_command_line_without_a_common_photo_says_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit, match="No photo is in both"):
        main([str(tmp_path / "in"), str(tmp_path / "out"), "--out", str(tmp_path / "sheet.jpg")])
