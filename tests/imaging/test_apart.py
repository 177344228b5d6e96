"""HEIC and AVIF: read by their boxes, and decoded where a crash costs one photo."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from airflow_provider_autoenhance.api.errors import ConversionError
from airflow_provider_autoenhance.imaging import apart
from airflow_provider_autoenhance.imaging.convert import ConvertedFile, check_source, converter_for
from airflow_provider_autoenhance.imaging.decode import _as_ranges, read_header
from airflow_provider_autoenhance.imaging.exif_blocks import heif_blocks
from airflow_provider_autoenhance.imaging.heif import Memory, main_picture
from airflow_provider_autoenhance.imaging.integrity import check_for
from airflow_provider_autoenhance.imaging.output import OutputSpec, outputs_of
from airflow_provider_autoenhance.imaging.sniff import sniff

from .inputs import HEIGHT, WIDTH, lying, photo, saved, upright
from .looking import look
from .moving import clean_aperture, long_boxes, pixels_in_description, with_property
from .samples import box, iso_media

FORMS = ["HEIC", "AVIF"]
FAR = [2**62, 2**63 - 1, 2**63, 2**64 - 1]


def stored(data: bytes, folder: Path) -> Path:
    (path := folder / "photo").write_bytes(data)
    return path


def check_whole(data: bytes) -> str | None:
    check = check_for(sniff(data))
    check.feed(data)
    return check.finish()


def convert(data: bytes, folder: Path) -> ConvertedFile:
    (made,) = converter_for([OutputSpec(format="png")]).convert(BytesIO(data), folder, about="photo 'a'")
    return made


class TestHeader:
    @pytest.mark.parametrize("form", FORMS)
    def test_size_is_told_upright_and_by_no_decoder(self, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "open", None)
        header = read_header(BytesIO(photo(form)), about="photo")
        assert (header.width, header.height, header.apart) == (WIDTH, HEIGHT, True)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
    @pytest.mark.parametrize("frames", [1, 3])
    def test_what_pillow_writes(self, mode: str, frames: int) -> None:
        image = Image.new(mode, (70, 30))
        data = saved(image, "AVIF", save_all=frames > 1, append_images=[image] * (frames - 1))
        header = read_header(BytesIO(data), about="photo")
        assert (header.width, header.height) == (70, 30)
        assert header.transparent or mode != "RGBA"

    @pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_other_formats_are_told_upright_too(self, form: str) -> None:
        header = read_header(BytesIO(photo(form)), about="photo")
        assert (header.width, header.height) == (WIDTH, HEIGHT)

    @pytest.mark.parametrize("form", FORMS)
    def test_a_photo_that_its_outputs_cannot_hold_is_refused_before_it_is_sent(self, form: str) -> None:
        data = photo(form).replace(struct.pack(">II", HEIGHT, WIDTH), struct.pack(">II", 16_384, 4))
        with pytest.raises(ConversionError, match="photo 'a' is 16384 pixels long, but WEBP ends at 16383"):
            check_source(data[:4096], outputs_of(["webp"]), about="photo 'a'")

    @pytest.mark.parametrize("form", FORMS)
    def test_a_bomb_is_not_decoded(self, form: str, tmp_path: Path) -> None:
        data = photo(form).replace(struct.pack(">II", HEIGHT, WIDTH), struct.pack(">II", 40_000, 40_000))
        with pytest.raises(ConversionError, match="1600 megapixels; more than 160 megapixels are taken for a dec"):
            convert(data, tmp_path)

    @pytest.mark.parametrize("form", FORMS)
    def test_lengths_of_64_bits(self, form: str, tmp_path: Path) -> None:
        data = long_boxes(photo(form))
        assert check_whole(data) is None
        assert np.abs(look(convert(data, tmp_path).path).pixels.astype(int) - upright()).mean() < 3

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("length", FAR)
    @pytest.mark.parametrize("on_disk", [False, True])
    def test_a_box_longer_than_any_file_ends_with_the_file(
        self, form: str, length: int, on_disk: bool, tmp_path: Path
    ) -> None:
        whole = photo(form)
        long = struct.pack(">I4sQ", 1, b"free", length)
        at = int.from_bytes(whole[:4], "big")
        for data in (whole + long, whole[:at] + long + whole[at:], whole.replace(b"\0\0\0\x14ispe", long[:8], 1)):
            source = stored(data, tmp_path) if on_disk else BytesIO(data)
            with suppress(ConversionError):
                read_header(source, about="photo")
            with suppress(ConversionError):
                converter_for([OutputSpec(format="png")]).convert(source, tmp_path, about="photo")
        assert read_header(BytesIO(whole + long), about="photo").width == WIDTH

    @pytest.mark.parametrize("place", FAR)
    @pytest.mark.parametrize("on_disk", [False, True])
    def test_exif_that_is_said_to_lie_behind_any_file_is_not_there(
        self, place: int, on_disk: bool, tmp_path: Path
    ) -> None:
        infe = box(b"infe", struct.pack(">BxxxHH4s", 2, 3, 0, b"Exif") + b"\0")
        iloc = struct.pack(">B3xHHHHHHQQ", 1, 0x8800, 1, 3, 0, 0, 1, place, 100)
        inside = bytes(4) + box(b"iinf", bytes(4) + b"\0\1" + infe) + box(b"iloc", iloc)
        data = iso_media(b"heic", [])[:-48] + box(b"meta", inside)
        with _as_ranges(stored(data, tmp_path) if on_disk else BytesIO(data)) as file:
            assert heif_blocks(file).starts == []

    @pytest.mark.parametrize("form", FORMS)
    @given(st.data())
    def test_a_damaged_file_shows_a_size_or_none(self, form: str, data: st.DataObject) -> None:
        whole = bytearray(photo(form)[:2000])
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, len(whole) - 1))
            whole[at : at + 4] = data.draw(st.binary(min_size=1, max_size=4))
        main_picture(Memory(bytes(whole[: data.draw(st.integers(0, len(whole)))])))


class TestWhatIsShown:
    @pytest.mark.parametrize("form", FORMS)
    def test_pixels_in_the_description(self, form: str, tmp_path: Path) -> None:
        made = convert(pixels_in_description(photo(form)), tmp_path)
        assert np.abs(look(made.path).pixels.astype(int) - upright()).mean() < 3

    @pytest.mark.parametrize("form", FORMS)
    def test_a_clean_aperture_is_cut_out(self, form: str, tmp_path: Path) -> None:
        box = (10, 6, 74, 38)  # of the picture as it is stored
        clean = clean_aperture(box[2] - box[0], box[3] - box[1], *box[:2], of=lying().size)
        data = with_property(photo(form), b"clap", clean)
        if form == "HEIC":  # there the turn comes before the cut, and libheif goes by the sequence
            assert read_header(BytesIO(data), about="photo").width == 32
            return
        made = convert(data, tmp_path)
        seen = look(made.path).pixels.astype(int)
        expected = np.asarray(lying().crop(box).transpose(Image.Transpose.ROTATE_270))
        assert seen.shape == expected.shape == (64, 32, 3)
        assert np.abs(seen - expected).mean() < 3

    def test_a_clean_aperture_that_makes_no_sense_is_noted(self, tmp_path: Path) -> None:
        data = with_property(photo("AVIF"), b"clap", clean_aperture(500, 500, 0, 0, of=lying().size))
        made = convert(data, tmp_path)
        assert (made.width, made.height) == (WIDTH, HEIGHT)
        assert made.notes == ("the part of it that is to be shown makes no sense, so all is shown",)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
    def test_each_kind_of_pixels_arrives(self, mode: str, tmp_path: Path) -> None:
        image = Image.fromarray(upright()).convert(mode)
        if mode == "RGBA":
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        made = convert(saved(image, "AVIF", quality=100, subsampling="4:4:4"), tmp_path)
        expected = np.asarray(image.convert("RGB" if mode == "L" else mode)).astype(int)
        assert np.abs(look(made.path).pixels.astype(int) - expected).mean() < 2

    def test_of_many_pictures_the_first(self, tmp_path: Path) -> None:
        image = Image.fromarray(upright())
        made = convert(saved(image, "AVIF", save_all=True, append_images=[image] * 2), tmp_path)
        assert made.notes == ("first of 3 frames",)


def decoder_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "decoder.py"
    program.write_text(does)
    monkeypatch.setattr(apart.decoder, "__file__", str(program))


class TestDeath:
    """What a decoder does with a poisoned file."""

    @pytest.mark.parametrize(
        ("does", "reason"),
        [
            ("import os; os.kill(os.getpid(), 11)", r"the file is damaged, and crashed its decoder \(SIGSEGV\)"),
            ("import os; os.abort()", r"the file is damaged, and crashed its decoder \(SIGABRT\)"),
            ("import os; print('{', flush=True); os._exit(0)", "its picture is not what its header says"),
            ("import sys; sys.exit(3)", "its picture is not what its header says"),
            ("print('[1]')", "its picture is not what its header says"),
            ('print(\'{"error": "bad box"}\')', r"it is cut short or damaged \(bad box\)"),
            (
                'import os\nprint(\'{"mode": "RGB", "size": [64, 96], "frames": 1, "deep": false, '
                '"orientation": 1, "profile": ""}\', flush=True)\nos.kill(os.getpid(), 11)',
                r"crashed its decoder \(SIGSEGV\)",
            ),
            (
                'print(\'{"mode": "RGB", "size": [60000, 60000], "frames": 1, "deep": false, '
                '"orientation": 1, "profile": ""}\', flush=True)',
                "its picture is not what its header says",
            ),
        ],
    )
    @pytest.mark.parametrize("form", FORMS)
    def test_it_costs_one_photo(
        self, form: str, does: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            decoder_that(does, tmp_path, patch)
            with pytest.raises(ConversionError, match=f"photo 'a' cannot be decoded.*{reason}"):
                convert(photo(form), tmp_path)
        assert convert(photo(form), tmp_path).width == WIDTH

    @pytest.mark.parametrize(
        "first",
        [
            '{"mode": "RGB", "size": [60000, 60000], "frames": 1, "deep": false, "orientation": 1, "profile": ""}',
            '{"mode": "RGB", "size": [-64, -96], "frames": 1, "deep": false, "orientation": 1, "profile": ""}',
            '{"mode": "RGB", "size": [64, 96], "frames": [], "deep": false, "orientation": 1, "profile": ""}',
            '{"mode": "RGB", "size": [64.5, 96], "frames": 1, "deep": false, "orientation": 1, "profile": ""}',
            "[" * 100_000,
            "no json",
        ],
    )
    def test_one_that_goes_on_writing_is_not_waited_for(
        self, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It waits for ever for somebody who reads."""
        said, number = tmp_path / "said", tmp_path / "number"
        said.write_text(first + "\n")
        decoder_that(
            f"import os, sys\nopen({str(number)!r}, 'w').write(str(os.getpid()))\n"
            f"sys.stdout.write(open({str(said)!r}).read())\nwhile True: sys.stdout.write('pixels' * 100_000)",
            tmp_path,
            monkeypatch,
        )
        monkeypatch.setattr(apart, "PATIENCE", 1e5)
        with pytest.raises(ConversionError, match="photo cannot be decoded.* its picture is not what its header says"):
            apart.decode(BytesIO(photo("AVIF")), pixels=WIDTH * HEIGHT, heic=False, about="photo")
        with pytest.raises(ProcessLookupError):
            os.kill(int(number.read_text()), 0)

    def test_one_that_writes_more_than_the_picture_is_not_waited_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoder_that(
            'import sys\nsys.stdout.write(\'{"mode": "L", "size": [64, 96], "frames": 1, "deep": false, '
            '"orientation": 1, "profile": ""}\\n\')\nwhile True: sys.stdout.write("pixels" * 100_000)',
            tmp_path,
            monkeypatch,
        )
        monkeypatch.setattr(apart, "PATIENCE", 1e5)
        with pytest.raises(ConversionError, match="its picture is not what its header says"):
            convert(photo("AVIF"), tmp_path)

    @pytest.mark.parametrize("before", ["os.close(1)", "print('{}')", "sys.stdout.write('{'); sys.stdout.flush()"])
    def test_one_that_hangs_is_ended_wherever_it_stands(
        self, before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoder_that(f"import os, sys, time\n{before}\ntime.sleep(600)", tmp_path, monkeypatch)
        monkeypatch.setattr(apart, "PATIENCE", 0.03)
        with pytest.raises(ConversionError, match="photo 'a' cannot be decoded"):
            convert(photo("AVIF"), tmp_path)

    def test_one_that_never_ends_is_ended(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        number = tmp_path / "number"
        decoder_that(
            f"import os, time; open({str(number)!r}, 'w').write(str(os.getpid())); time.sleep(600)",
            tmp_path,
            monkeypatch,
        )
        monkeypatch.setattr(apart, "PATIENCE", 0.1)
        with pytest.raises(ConversionError, match="its decoder took more time or memory than it may"):
            convert(photo("AVIF"), tmp_path)
        with pytest.raises(ProcessLookupError):
            os.kill(int(number.read_text()), 0)

    @pytest.mark.parametrize("form", FORMS)
    def test_memory_has_a_bound(self, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(apart, "BASE_MEGABYTES", 1.0)
        with pytest.raises(ConversionError, match="photo 'a' cannot be decoded"):
            convert(photo(form), tmp_path)

    def test_it_sees_nothing_of_the_workers_secrets(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = tmp_path / "seen"
        monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", "secret")
        decoder_that(f"import os; open({str(seen)!r}, 'w').write(repr(dict(os.environ)))", tmp_path, monkeypatch)
        with pytest.raises(ConversionError):
            convert(photo("AVIF"), tmp_path)
        assert "secret" not in seen.read_text()

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("seed", range(6))
    def test_any_damage_ends_in_a_picture_or_a_conversion_error(self, form: str, seed: int, tmp_path: Path) -> None:
        chance = np.random.default_rng(seed)
        data = bytearray(photo(form))
        for _ in range(int(chance.integers(1, 6))):
            at = int(chance.integers(0, len(data)))
            data[at : at + 4] = chance.bytes(int(chance.integers(1, 5)))
        try:
            convert(bytes(data), tmp_path)
        except ConversionError as error:
            assert str(error).startswith("photo 'a' ")


def test_a_source_may_be_a_path_a_file_or_bytes(tmp_path: Path) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(photo("HEIC"))
    sources: list[Any] = [path, BytesIO(photo("HEIC"))]
    with path.open("rb") as file:
        for source in [*sources, file]:
            decoded = apart.decode(source, pixels=WIDTH * HEIGHT, heic=True, about="photo")
            assert decoded.image.size == (WIDTH, HEIGHT)
