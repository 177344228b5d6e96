"""Where picture formats and their libraries trip people up; each of these went wrong somewhere once."""

from __future__ import annotations

import resource
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from airflow_provider_autoenhance.api.errors import ConversionError, ServerError, SourceError
from airflow_provider_autoenhance.imaging.convert import ConvertedFile, converter_for, to_uploadable
from airflow_provider_autoenhance.imaging.cost import MAX_SIDES, check_fits
from airflow_provider_autoenhance.imaging.output import OutputSpec, outputs_of
from airflow_provider_autoenhance.imaging.sniff import CONVERTIBLE, sniff
from airflow_provider_autoenhance.storage.temporary import temporary_folder

from .exif_samples import Block, Raw, block
from .icc import gray, hollow, wide_gamut
from .inputs import DPI, TAKEN, Pixels, decoded, exif, lying, photo, saved, upright
from .looking import look

#: One of each way in which EXIF is written.
ENCODED: list[Any] = [
    "jpeg",
    "png",
    "webp",
    "avif",
    "tiff",
    {"format": "tiff", "compression": "lossy"},
    {"format": "avif", "compression": "lossless"},
]


def text(raw: bytes) -> Raw:
    return Raw(2, len(raw) + 1, raw + b"\0")


def with_exif(form: str, first: dict[int, Any], shot: dict[int, Any], order: str = "<") -> bytes:
    """A small picture with fields that no writer would write."""
    if form == "TIFF":
        pixels = bytes(range(48))
        built = Block(order, mark=pixels)
        structure = {
            256: 4,
            257: 4,
            258: Raw(3, 3, struct.pack(order + "3H", 8, 8, 8)),
            259: 1,
            262: 2,
            273: 8,
            277: 3,
            278: 4,
            279: 48,
        }
        built.data += bytes(2 + 12 * (len(first) + len(structure) + 1) + 4)
        built.directory({**first, **structure, 34665: built.directory(shot)}, first=True)
        return bytes(built.data)
    image = Image.fromarray(upright())
    return saved(image, form, exif=b"Exif\0\0" + block(first, shot, order=order))


def fields_of(path: Path) -> dict[int, bytes]:
    """Each EXIF field's bytes, read by nothing that has written them."""
    data = path.read_bytes()
    start = (
        0 if data[:2] in (b"II", b"MM") else next(at for mark in (b"II*\0", b"MM\0*") if (at := data.find(mark)) >= 0)
    )
    order = "<" if data[start : start + 1] == b"I" else ">"
    found: dict[int, bytes] = {}

    def read(at: int) -> None:
        (count,) = struct.unpack_from(order + "H", data, start + at)
        for place in range(start + at + 2, start + at + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(order + "HHI", data, place)
            length = number * {2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}.get(kind, 1)
            where = place + 8 if length <= 4 else start + struct.unpack_from(order + "I", data, place + 8)[0]
            found[tag] = data[where : where + length]
            if tag in (0x8769, 0x8825):
                read(struct.unpack_from(order + "I", data, place + 8)[0])

    read(struct.unpack_from(order + "I", data, start + 4)[0])
    return found


def convert(data: bytes, output: Any, folder: Path) -> ConvertedFile:
    (made,) = converter_for([OutputSpec.of(output)]).convert(BytesIO(data), folder, about="photo 'a'")
    return made


def noise(width: int, height: int, bands: int = 3) -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (height, width, bands), dtype=np.uint8)


class TestMetadata:
    @pytest.mark.parametrize("compression", ["lossless", "lossy"])
    def test_a_compressed_tiff_keeps_camera_and_place(self, compression: str, tmp_path: Path) -> None:
        made = convert(photo("JPEG"), {"format": "tiff", "compression": compression, "dpi": 300}, tmp_path)
        seen = look(made.path).exif
        assert seen["DateTimeOriginal"] == TAKEN
        assert seen["FNumber"] == "(8, 1)"
        assert seen["GPSLatitudeRef"] == "N"
        assert seen["XResolution"] == "(300, 1)"

    def test_lzw_makes_photos_smaller(self, tmp_path: Path) -> None:
        smooth = np.asarray(Image.linear_gradient("L").resize((400, 300)).convert("RGB")) + noise(400, 300) // 64
        made = convert(saved(Image.fromarray(smooth), "PNG"), "tiff", tmp_path)
        assert made.size < 0.75 * smooth.size

    @pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "avif"])
    def test_a_new_dpi_overrules_the_cameras_everywhere(self, format: str, tmp_path: Path) -> None:
        made = convert(photo("JPEG"), {"format": format, "dpi": 72}, tmp_path)
        seen = look(made.path)
        assert made.dpi == 72
        assert seen.container_dpi in (None, 72)
        assert seen.exif["XResolution"] in ("72", "72/1", "(72, 1)")
        assert str(DPI) not in seen.exif["YResolution"]

    @pytest.mark.parametrize("format", ["webp", "avif"])
    def test_a_dpi_without_any_exif_before(self, format: str, tmp_path: Path) -> None:
        made = convert(saved(Image.fromarray(upright()), "PNG"), {"format": format, "dpi": 300}, tmp_path)
        assert look(made.path).exif["XResolution"] in ("300", "300/1")

    def test_what_describes_the_old_file_goes(self, tmp_path: Path) -> None:
        made = convert(photo("JPEG"), {"max_width": 32, "format": "png"}, tmp_path)
        with Image.open(made.path) as image:
            block = image.getexif()
            shot = block.get_ifd(0x8769)
        assert block[0x0112] == 1
        assert (shot[0xA002], shot[0xA003]) == (32, 48)
        assert 0x927C not in shot
        assert shot[0x9286] == b"ASCII\0\0\0hello"

    def test_a_tiffs_own_tags_do_not_become_the_jpegs(self, tmp_path: Path) -> None:
        made = convert(photo("TIFF"), "jpeg", tmp_path)
        with Image.open(made.path) as image:
            assert not set(image.getexif()) & {256, 257, 258, 259, 262, 273, 277, 278, 279}

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("output", ENCODED, ids=str)
    @pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_texts_go_out_byte_for_byte(self, form: str, output: Any, order: str, tmp_path: Path) -> None:
        """EXIF says nothing of a text's encoding, so whatever it is, it stays."""
        first = {
            0x010E: text("Küche".encode()),
            0x013B: text("José".encode("latin-1")),
            0x8298: text("田中".encode("shift-jis")),
        }
        shot = {
            0xA430: text("Łukasz".encode()),
            0x9003: TAKEN,
            0x829A: Fraction(1, 60),
            0x9286: b"JIS\0\0\0\0\0" + b"\x8a\xbf",
        }
        source = with_exif(form, first, shot, order)
        made = convert(source, output, tmp_path)
        found = fields_of(made.path)
        assert {tag: found[tag] for tag in first} == {tag: each.content for tag, each in first.items()}
        assert found[0xA430] == "Łukasz".encode() + b"\0"
        assert found[0x9003] == TAKEN.encode() + b"\0"
        assert found[0x9286] == shot[0x9286]
        assert made.notes == ()

    @pytest.mark.parametrize("output", ENCODED, ids=str)
    @pytest.mark.parametrize(
        ("tag", "wrong"),
        [
            (0x8298, Raw(3, 1, b"\1\0")),
            (0x010F, Raw(5, 1, bytes(8))),
            (0x0132, Raw(4, 1, b"\1\0\0\0")),
            (0x013B, Raw(12, 1, bytes(8))),
            (0x4746, Raw(2, 5, b"five\0")),
            (0x829A, Raw(2, 5, b"1/60\0")),
            (0x9003, Raw(3, 2, bytes(4))),
            (0x8827, Raw(2, 4, b"400\0")),
            (0x9286, Raw(5, 1, bytes(8))),
        ],
        ids=lambda each: hex(each) if isinstance(each, int) else "",
    )
    def test_a_wrongly_typed_field_is_left_out_and_noted(
        self, tag: int, wrong: Raw, output: Any, tmp_path: Path
    ) -> None:
        first, shot = dict[int, Any]({0x0110: "Model 7"}), dict[int, Any]({0x9004: TAKEN})
        (shot if tag in (0x829A, 0x9003, 0x8827, 0x9286) else first)[tag] = wrong
        for orientation in (1, 6):
            made = convert(with_exif("JPEG", {**first, 0x0112: orientation}, shot), output, tmp_path)
            found = fields_of(made.path)
            assert tag not in found
            assert (found[0x0110], found[0x9004]) == (b"Model 7\0", TAKEN.encode() + b"\0")
            (note,) = made.notes
            assert note.startswith("EXIF fields that are damaged, of a wrong type or too long were left out: ")

    @pytest.mark.parametrize("output", ENCODED, ids=str)
    def test_a_field_that_fits_into_no_jpeg_is_left_out_and_noted(self, output: Any, tmp_path: Path) -> None:
        long = b"ASCII\0\0\0" + b"x" * 70_000
        made = convert(with_exif("PNG", {0x0110: "Model 7"}, {0x9286: long}), output, tmp_path)
        found = fields_of(made.path)
        assert (found[0x0110], 0x9286 in found) == (b"Model 7\0", False)
        assert "UserComment" in made.notes[0]

    def test_damaged_exif_is_left_out(self, tmp_path: Path) -> None:
        data = saved(Image.fromarray(upright()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\0\0junk")
        made = convert(data, "png", tmp_path)
        assert look(made.path).pixels.shape == upright().shape

    def test_two_orientations_are_applied_once(self, tmp_path: Path) -> None:
        """HEIC and AVIF turn by a box of their own, and carry the camera's EXIF beside it."""
        for form in ("HEIC", "AVIF"):
            seen = look(convert(photo(form), "png", tmp_path).path)
            assert seen.pixels.shape == upright().shape
            assert np.abs(seen.pixels.astype(int) - upright()).mean() < 3

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_every_orientation(self, orientation: int, tmp_path: Path) -> None:
        back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
        image = Image.fromarray(upright())
        stored = image if back is None else image.transpose(Image.Transpose(back))
        made = convert(saved(stored, "PNG", exif=exif(orientation).tobytes()), "png", tmp_path)
        assert np.array_equal(look(made.path).pixels, upright())


class TestPixels:
    @pytest.mark.parametrize("format", ["webp", "avif"])
    def test_lossless_is_exact_on_noise(self, format: str, tmp_path: Path) -> None:
        pixels = noise(67, 41)
        made = convert(saved(Image.fromarray(pixels), "PNG"), {"format": format, "compression": "lossless"}, tmp_path)
        assert np.array_equal(look(made.path, by_pillow=format == "avif").pixels, pixels)

    @pytest.mark.parametrize("format", ["png", "tiff", "webp", "avif"])
    def test_transparency_is_exact_too_even_colours_that_nobody_sees(self, format: str, tmp_path: Path) -> None:
        pixels = noise(67, 41, 4)
        pixels[:20, :, 3] = 0
        output = {"format": format} | ({} if format in ("png", "tiff") else {"compression": "lossless"})
        made = convert(saved(Image.fromarray(pixels), "PNG"), output, tmp_path)
        assert np.array_equal(look(made.path, by_pillow=format == "avif").pixels, pixels)
        assert made.notes == ()

    @pytest.mark.parametrize("output", ["jpeg", {"format": "tiff", "compression": "lossy"}])
    def test_transparency_is_laid_on_white(self, output: Any, tmp_path: Path) -> None:
        image = Image.new("RGBA", (32, 32), (200, 0, 0, 0))
        image.paste((200, 0, 0, 255), (16, 0, 32, 32))
        made = convert(saved(image, "PNG"), output, tmp_path)
        seen = look(made.path).pixels
        assert seen[16, 4].min() > 250
        assert abs(int(seen[16, 28, 0]) - 200) < 6
        assert made.notes == ("transparency laid on white",)

    def test_transparency_to_cmyk_is_bare_paper(self, tmp_path: Path) -> None:
        made = convert(saved(Image.new("RGBA", (32, 32), (0, 0, 0, 0)), "PNG"), {"color_space": "CMYK"}, tmp_path)
        assert look(made.path).pixels.max() < 3
        assert made.notes == ("transparency laid on white",)

    def test_transparency_survives_a_change_of_colours(self, tmp_path: Path) -> None:
        pixels = noise(30, 20, 4)
        made = convert(
            saved(Image.fromarray(pixels), "PNG", icc_profile=wide_gamut()),
            {"format": "png", "color_profile": "sRGB"},
            tmp_path,
        )
        seen = look(made.path).pixels
        assert np.array_equal(seen[..., 3], pixels[..., 3])
        assert not np.array_equal(seen[..., :3], pixels[..., :3])

    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB tRNS", "L tRNS"])
    def test_other_kinds_of_pixels(self, mode: str, tmp_path: Path) -> None:
        image = Image.fromarray(noise(20, 12, 1)[..., 0])
        options: dict[str, Any] = {}
        if mode == "RGB tRNS":
            image, options = Image.new("RGB", (20, 12), (9, 8, 7)), {"transparency": (9, 8, 7)}
        elif mode == "L tRNS":
            options = {"transparency": 300}
        elif mode != "L":
            image = image.convert(mode)
        expected = image.convert("RGBA" if mode in ("LA", "RGB tRNS", "L tRNS") else "RGB")
        seen = look(convert(saved(image, "PNG", **options), "png", tmp_path).path).pixels
        assert np.array_equal(seen[..., :3], np.asarray(expected)[..., :3])
        assert seen.shape[2] == len(expected.getbands())
        if mode == "RGB tRNS":
            assert seen[..., 3].max() == 0

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    @pytest.mark.parametrize("bands", [1, 3])
    def test_16_bits_are_cut_to_8_not_clipped(self, suffix: str, bands: int, tmp_path: Path) -> None:
        import pyvips

        deep = np.random.default_rng(1).integers(0, 65536, (20, 30, bands), dtype=np.uint16)
        image = pyvips.Image.new_from_array(deep).copy(interpretation="rgb16" if bands == 3 else "grey16")
        made = convert(image.write_to_buffer(suffix), "png", tmp_path)
        seen = look(made.path).pixels.astype(int)
        assert np.abs(seen - np.broadcast_to(deep // 257, seen.shape)).max() <= 1
        assert made.notes == ("more than 8 bits per channel cut to 8",)

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("planes", ["separate", "contig"])
    @pytest.mark.parametrize("bands", [1, 3, 4])
    @pytest.mark.parametrize("compression", [None, "zlib"])
    def test_16_bits_in_either_order_and_in_planes(
        self, compression: str | None, bands: int, planes: Any, order: Any, tmp_path: Path
    ) -> None:
        import tifffile

        deep = np.random.default_rng(1).integers(0, 65536, (20, 30, bands), dtype=np.uint16)
        stored = deep[..., 0] if bands == 1 else np.moveaxis(deep, -1, 0) if planes == "separate" else deep
        options: dict[str, Any] = {"photometric": "minisblack" if bands == 1 else "rgb", "compression": compression}
        options |= {} if bands == 1 else {"planarconfig": planes}
        options |= {"extrasamples": ["unassalpha"]} if bands == 4 else {}
        file = BytesIO()
        tifffile.imwrite(file, stored, byteorder=order, **options)
        made = convert(file.getvalue(), "png", tmp_path)
        seen = look(made.path).pixels.astype(int)
        assert np.abs(seen - np.broadcast_to(deep // 257, seen.shape)).max() <= 1
        assert made.notes == ("more than 8 bits per channel cut to 8",)

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_16_bits_of_grey_in_a_plane_of_their_own(self, order: str, tmp_path: Path) -> None:
        """A single channel may be called separate from itself."""
        deep = np.arange(16 * 12, dtype=np.uint16) * 300
        raw = deep.astype(f"{order}u2").tobytes()
        built = Block(order, mark=raw)
        fields = {256: 16, 257: 12, 258: 16, 259: 1, 262: 1, 273: 8, 277: 1, 278: 12, 279: len(raw), 284: 2}
        built.data += bytes(2 + 12 * len(fields) + 4)
        built.directory(fields, first=True)
        seen = look(convert(bytes(built.data), "png", tmp_path).path).pixels.astype(int)
        assert np.abs(seen[..., 0].ravel() - deep // 257).max() <= 1

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_a_damaged_bigtiff_is_named(self, order: Any, tmp_path: Path) -> None:
        import tifffile

        file = BytesIO()
        tifffile.imwrite(file, upright(), byteorder=order, bigtiff=True, photometric="rgb")
        whole = file.getvalue()
        chance = np.random.default_rng(7)
        for _ in range(300):
            data = bytearray(whole)
            for _ in range(3):
                at = int(chance.integers(0, 400))
                data[at : at + 4] = chance.bytes(4)
            try:
                convert(bytes(data), "png", tmp_path)
            except ConversionError as error:
                assert str(error).startswith("photo 'a' ")

    @pytest.mark.parametrize("place", [2**62, 2**63 - 1, 2**63, 2**64 - 1])
    @pytest.mark.parametrize("on_disk", [False, True])
    @pytest.mark.parametrize("tag", [None, 0x8769, 0x8825, 0x010F, 273])
    def test_a_bigtiff_that_leads_behind_any_file_is_named(
        self, place: int, on_disk: bool, tag: int | None, tmp_path: Path
    ) -> None:
        import tifffile

        file = BytesIO()
        tifffile.imwrite(file, upright(), bigtiff=True, photometric="rgb", software="x" * 90)
        data = bytearray(file.getvalue())
        first = int.from_bytes(data[8:16], "little")
        count = int.from_bytes(data[first : first + 8], "little")
        entries = range(first + 8, first + 8 + 20 * count, 20)
        if tag is None:
            struct.pack_into("<Q", data, 8, place)
        else:
            at = next((at for at in entries if int.from_bytes(data[at : at + 2], "little") == tag), entries[-1])
            struct.pack_into("<HHQQ", data, at, tag, 2 if tag == 0x010F else 16, 90 if tag == 0x010F else 1, place)
        (path := tmp_path / "photo.tif").write_bytes(data)
        with suppress(ConversionError):
            converter_for([OutputSpec()]).convert(path if on_disk else BytesIO(data), tmp_path, about="photo")

    @pytest.mark.parametrize("keyword", ["exif", "icc_profile", "transparency", "dpi", "gamma"])
    def test_a_png_may_call_its_texts_as_it_likes(self, keyword: str, tmp_path: Path) -> None:
        texts = PngInfo()
        texts.add_text(keyword, "a note")
        texts.add_itxt(keyword, "a note")
        made = convert(saved(Image.fromarray(upright()), "PNG", pnginfo=texts), "tiff", tmp_path)
        assert (look(made.path).pixels == upright()).all()

    def test_what_does_not_fit_into_memory_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise MemoryError

        for name in ("resize", "load", "convert"):
            with monkeypatch.context() as patch:
                patch.setattr(Image.Image if name != "load" else ImageFile.ImageFile, name, full)
                with pytest.raises(ConversionError, match="photo 'a' does not fit into this worker's memory"):
                    convert(photo("GIF"), {"max_width": 10}, tmp_path)

    @pytest.mark.parametrize("mode", ["I", "F"])
    def test_32_bits_are_refused(self, mode: str, tmp_path: Path) -> None:
        with pytest.raises(ConversionError, match="32 bits per channel"):
            convert(saved(Image.new(mode, (4, 4)), "TIFF"), "png", tmp_path)

    @pytest.mark.parametrize(
        ("form", "noun"), [("GIF", "frames"), ("WEBP", "frames"), ("PNG", "frames"), ("TIFF", "pages")]
    )
    def test_of_many_pictures_the_first(self, form: str, noun: str, tmp_path: Path) -> None:
        colors = [(200, 20, 20), (20, 200, 20), (20, 20, 200)]
        frames = [Image.new("RGB", (16, 16), color) for color in colors]
        made = convert(saved(frames[0], form, save_all=True, append_images=frames[1:]), "png", tmp_path)
        assert np.abs(look(made.path).pixels[..., :3].astype(int) - colors[0]).max() <= 6
        assert made.notes == (f"first of 3 {noun}",)

    def test_a_phones_second_picture_is_not_worth_a_note(self, tmp_path: Path) -> None:
        pair = saved(Image.fromarray(upright()), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))])
        made = convert(pair, "png", tmp_path)
        assert (made.width, made.height, made.notes) == (64, 96, ())


class TestColors:
    def test_cmyk_stays_itself_as_jpeg(self, tmp_path: Path) -> None:
        inks = Image.fromarray(noise(24, 16, 4), "CMYK")
        source = saved(inks, "TIFF")
        made = convert(source, {"format": "jpeg", "quality": 100}, tmp_path)
        assert made.color_space == "CMYK"
        assert np.abs(look(made.path).pixels.astype(int) - np.asarray(inks)).max() <= 3

    @pytest.mark.parametrize("output", ["png", "webp", {"color_space": "RGB"}])
    def test_cmyk_becomes_rgb_by_its_profile_where_it_must(self, output: Any, tmp_path: Path) -> None:
        made = convert(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), output, tmp_path)
        assert (made.color_space, made.color_profile) == ("RGB", "sRGB")
        red, green, blue = look(made.path).pixels[8, 8][:3]
        assert red > 190  # the red of ISO coated paper, not the naive (255, 0, 0)
        assert 5 < green < 60
        assert 5 < blue < 60

    def test_grey_means_what_its_profile_says(self, tmp_path: Path) -> None:
        data = saved(Image.new("L", (8, 8), 128), "PNG", icc_profile=gray(gamma=1.0))
        made = convert(data, "png", tmp_path)
        assert made.color_profile == "sRGB"
        assert set(look(made.path).pixels[4, 4]) == {188}  # half of the light, in sRGB

    @pytest.mark.parametrize("profile", [b"junk" * 50, gray()], ids=["junk", "grey"])
    def test_a_profile_that_does_not_fit_is_left_out(self, profile: bytes, tmp_path: Path) -> None:
        made = convert(saved(Image.fromarray(upright()), "PNG", icc_profile=profile), "png", tmp_path)
        assert look(made.path).profile is None
        assert made.notes == ("its colour profile is damaged or of another colour space, and was left out",)

    @pytest.mark.parametrize("mode", ["RGB", "L", "LA", "CMYK", "RGBA", "P"])
    @pytest.mark.parametrize(
        "output", ["jpeg", "png", {"color_profile": "sRGB"}, {"color_space": "CMYK"}, {"embed_profile": False}]
    )
    def test_a_profile_that_opens_but_converts_nothing_is_left_out(
        self, mode: str, output: Any, tmp_path: Path
    ) -> None:
        image = Image.new("CMYK" if mode == "CMYK" else "RGB", (8, 8), 77).convert(mode)
        space = {"L": b"GRAY", "LA": b"GRAY", "CMYK": b"CMYK"}.get(mode, b"RGB ")
        data = saved(image, "JPEG" if mode == "CMYK" else "PNG", icc_profile=hollow(space))
        made = convert(data, output, tmp_path)
        assert look(made.path).pixels.shape[:2] == (8, 8)
        assert "its colour profile is damaged or of another colour space, and was left out" in made.notes

    def test_colours_mean_the_same_without_their_profile(self, tmp_path: Path) -> None:
        """Dropping a wide profile alone would make every photo pale."""
        data = saved(Image.new("RGB", (8, 8), (60, 180, 60)), "PNG", icc_profile=wide_gamut())
        seen = look(convert(data, {"format": "png", "embed_profile": False}, tmp_path).path)
        assert seen.profile is None
        assert seen.pixels[4, 4][0] < 40

    def test_the_exif_says_which_colours(self, tmp_path: Path) -> None:
        spaces = []
        for output in outputs_of([{"color_profile": "sRGB"}, {}, {"color_space": "CMYK"}]):
            with Image.open(convert(photo("JPEG"), output, tmp_path).path) as image:
                spaces.append(image.getexif().get_ifd(0x8769)[0xA001])
        assert spaces == [1, 0xFFFF, 0xFFFF]


class TestLimits:
    @pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIC", "BMP", "GIF"])
    @pytest.mark.parametrize("share", [0.03, 0.5, 0.9])
    def test_a_file_that_is_cut_short_is_never_a_picture(self, form: str, share: float, tmp_path: Path) -> None:
        data = photo(form)
        with pytest.raises(
            ConversionError, match=r"photo 'a' (cannot be decoded, it is cut short|is not a picture|is HEIC)"
        ):
            convert(data[: int(len(data) * share)], "jpeg", tmp_path)

    @pytest.mark.parametrize("side", [13_000, 40_000])
    def test_a_decompression_bomb_is_not_decoded(self, side: int, tmp_path: Path) -> None:
        with pytest.raises(ConversionError, match="photo 'a' has .* decompression bomb"):
            convert(bomb(side), "jpeg", tmp_path)

    @pytest.mark.parametrize(("format", "side"), [("webp", 16_384), ("jpeg", 65_501)])
    def test_longer_than_the_format_can_be(self, format: str, side: int, tmp_path: Path) -> None:
        data = saved(Image.new("RGB", (2, side)), "PNG")
        with pytest.raises(
            ConversionError,
            match=f"photo 'a' is {side} pixels long, but {format.upper()} ends at {MAX_SIDES[format]}",
        ):
            convert(data, format, tmp_path)

    def test_too_long_is_told_from_the_size_alone(self) -> None:
        outputs = outputs_of(["jpeg", "png", {"format": "webp", "max_width": 8_000}])
        check_fits(outputs, 16_384, 9_000, about="photo 'a'")
        with pytest.raises(ConversionError, match="photo 'a' is 16384 pixels long, but WEBP ends at 16383"):
            check_fits(outputs, 8_000, 16_384, about="photo 'a'")

    def test_just_as_long_as_webp_can_be(self, tmp_path: Path) -> None:
        made = convert(saved(Image.new("RGB", (2, 16_383)), "PNG"), "webp", tmp_path)
        assert look(made.path).pixels.shape == (16_383, 2, 3)

    def test_a_very_long_photo_fits_once_it_is_scaled(self, tmp_path: Path) -> None:
        made = convert(saved(Image.new("RGB", (17_000, 100)), "PNG"), {"format": "webp", "max_width": 1000}, tmp_path)
        assert (made.width, made.height) == (1000, 6)

    @pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xd8\xff\xe0", b"%PDF-1.7"])
    def test_no_picture(self, data: bytes, tmp_path: Path) -> None:
        with pytest.raises(ConversionError, match="photo 'a' is not a picture"):
            convert(data, "jpeg", tmp_path)

    @pytest.mark.parametrize("quality", [85, 89, 90, 94, 95, 100])
    @pytest.mark.parametrize("progressive", [True, False])
    @pytest.mark.parametrize("size", [(1, 1), (17, 13), (97, 3), (301, 299), (640, 480)], ids=str)
    @pytest.mark.parametrize("space", ["RGB", "CMYK"])
    def test_pure_noise_can_be_written(
        self, space: str, size: tuple[int, int], progressive: bool, quality: int, tmp_path: Path
    ) -> None:
        inks = Image.fromarray(noise(*size, 3 if space == "RGB" else 4), space)
        source = saved(inks, "TIFF", icc_profile=wide_gamut() + bytes(99_000) if space == "RGB" else None)
        made = convert(source, {"format": "jpeg", "quality": quality, "progressive": progressive}, tmp_path)
        assert look(made.path).pixels.shape[:2] == size[::-1]
        assert (made.color_space, look(made.path).progressive) == (space, progressive)

    def test_a_full_disk_is_not_the_photos_fault(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            convert(photo("PNG"), "jpeg", tmp_path / "gone")

    @pytest.mark.parametrize("output", ENCODED, ids=str)
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
    def test_a_file_that_the_disk_has_taken_in_part_is_no_output(
        self, output: Any, share: float, tmp_path: Path
    ) -> None:
        """Of what does not fit, a disk takes a part, and says that; Pillow does not listen."""
        source = saved(Image.fromarray(noise(256, 200)), "PNG", exif=exif(), icc_profile=wide_gamut())
        whole = convert(source, output, tmp_path).size
        with full_disk(int(whole * share)), temporary_folder("photo") as folder:
            convert(source, output, folder)
        with disk_that_takes(whole + (1 << 20)), temporary_folder("photo") as folder:
            assert convert(source, output, folder).size == whole

    def test_a_photo_that_goes_up_as_png_is_whole(self, tmp_path: Path) -> None:
        source = saved(Image.fromarray(noise(256, 200)), "BMP")
        whole = to_uploadable(BytesIO(source), tmp_path, about="photo").size
        with full_disk(whole - 10), temporary_folder("photo") as folder:
            to_uploadable(BytesIO(source), folder, about="photo")


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    with pytest.raises(ServerError, match="photo: .* no room .* TMPDIR"), disk_that_takes(size):
        yield


@contextmanager
def disk_that_takes(size: int) -> Iterator[None]:
    """Let the system take so much of each file that is written, and nothing more."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class TestUploads:
    @pytest.mark.parametrize("form", ["BMP", "GIF"])
    def test_what_autoenhance_does_not_take_goes_up_as_png(self, form: str, tmp_path: Path) -> None:
        made = to_uploadable(BytesIO(photo(form)), tmp_path, about="photo 'a'")
        seen = look(made.path)
        assert (made.mime, seen.format) == ("image/png", "png")
        assert np.array_equal(seen.pixels[..., :3], decoded(form))

    def test_profile_and_exif_stay(self, tmp_path: Path) -> None:
        made = to_uploadable(BytesIO(photo("TIFF")), tmp_path, about="photo 'a'")
        seen = look(made.path)
        assert seen.profile == wide_gamut()
        assert seen.exif["DateTimeOriginal"] == TAKEN

    def test_a_damaged_one_is_the_sources_fault(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="photo 'a' cannot be decoded"):
            to_uploadable(BytesIO(photo("BMP")[:900]), tmp_path, about="photo 'a'")

    def test_which_formats(self) -> None:
        assert [form.name for form in CONVERTIBLE] == ["BMP", "GIF"]
        assert not any(form.accepted for form in CONVERTIBLE)
        assert sniff(photo("BMP")) in CONVERTIBLE


def bomb(side: int) -> bytes:
    """Return a PNG of a few kilobytes that is a huge white square."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + -(-side // 8))
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_lying_and_upright_are_the_same_photo() -> None:
    assert np.array_equal(np.asarray(lying().transpose(Image.Transpose.ROTATE_270)), upright())
