"""Colour profiles: the package's own, the user's, and those that only the user may have."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from airflow_provider_autoenhance.api.errors import ConversionError, SettingsError
from airflow_provider_autoenhance.imaging import color, profiles
from airflow_provider_autoenhance.imaging.convert import converter_for
from airflow_provider_autoenhance.imaging.output import PRINT_PROFILES, OutputSpec, outputs_of
from airflow_provider_autoenhance.imaging.profiles import CARRIED, VARIABLE, load_profile, load_profiles

from .icc import gray, wide_gamut

INK_LIMITS = {"fogra39l_330.icc": 330, "fogra29l_300.icc": 300, "tr003_300.icc": 300}


@pytest.fixture(autouse=True)
def no_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What this machine has installed does not count."""
    system = tmp_path / "system"
    system.mkdir()
    monkeypatch.setattr(profiles, "_SYSTEM_FOLDERS", (str(system),))
    monkeypatch.delenv(VARIABLE, raising=False)
    return system


def cmyk() -> bytes:
    return (CARRIED / "tr003_300.icc").read_bytes()


class TestCarried:
    @pytest.mark.parametrize("name", ["ISO_Coated", "ISO_Uncoated", "USWeb_Coated"])
    def test_it_is_there_without_any_setup(self, name: str) -> None:
        profile = load_profile(name)
        assert (profile.name, profile.color_space) == (name, "CMYK")

    @pytest.mark.parametrize("file", INK_LIMITS)
    def test_it_never_asks_for_more_ink_than_the_paper_takes(self, file: str) -> None:
        import numpy as np
        from PIL import Image

        levels = np.linspace(0, 255, 18).astype(np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(18, -1, 3)
        inks = color._convert(Image.fromarray(grid), color.srgb(), (CARRIED / file).read_bytes(), "CMYK")
        assert np.asarray(inks).sum(-1).max() / 2.55 <= INK_LIMITS[file] + 1

    def test_it_names_its_data_and_nobody_elses_product(self) -> None:
        for file in INK_LIMITS:
            profile = ImageCms.getOpenProfile(str(CARRIED / file))
            told = f"{ImageCms.getProfileDescription(profile)} {ImageCms.getProfileCopyright(profile)}"
            assert re.search("FOGRA39L|FOGRA29L|TR 003", told)
            assert "NOTICE" in told
            assert not re.search(r"Adobe|ECI|Coated FOGRA39 \(|SWOP2006|ISO Coated", told)

    def test_the_notice_names_every_file(self) -> None:
        notice = (CARRIED / "NOTICE").read_text()
        files = {path.name for path in CARRIED.iterdir()} - {"NOTICE"}
        assert files == set(INK_LIMITS)
        for file in files:
            assert file in notice
        assert "Technical Report must be identified as the source" in notice
        assert "zlib/libpng License" in notice


class TestLookup:
    @pytest.mark.parametrize("name", PRINT_PROFILES)
    @pytest.mark.parametrize("usual", [True, False])
    def test_the_users_own_folder_comes_first(self, name: str, usual: bool, tmp_path: Path) -> None:
        file = profiles._USUAL_FILES[name][0] if usual else f"{name}.icc"
        (tmp_path / "mine" / "press").mkdir(parents=True)
        (tmp_path / "mine" / "press" / file).write_bytes(cmyk() + b"mine")
        assert load_profile(name, directories=[tmp_path / "mine"]).data.endswith(b"mine")

    def test_the_environment_names_a_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "gracol2013unc_crpc3.ICC").write_bytes(cmyk())
        monkeypatch.setenv(VARIABLE, str(tmp_path))
        assert load_profile("USWeb_Uncoated").data == cmyk()

    def test_the_systems_folders_fill_the_gap_alone(self, no_machine: Path) -> None:
        for file in ("GRACoL2013UNC_CRPC3.icc", "ISOcoated_v2_eci.icc"):
            (no_machine / file).write_bytes(cmyk())
        assert load_profile("USWeb_Uncoated").data == cmyk()
        # A worker that happens to have another maker's profile must not print otherwise than its neighbour.
        assert load_profile("ISO_Coated").data == (CARRIED / "fogra39l_330.icc").read_bytes()

    def test_where_to_get_what_nobody_may_carry(self) -> None:
        with pytest.raises(SettingsError) as caught:
            converter_for([OutputSpec(color_profile="USWeb_Uncoated")])
        for word in ("GRACoL2013UNC_CRPC3.icc", "idealliance.org", "icc_directory", VARIABLE):
            assert word in str(caught.value)

    def test_a_file_of_the_users(self, tmp_path: Path) -> None:
        (tmp_path / "press.icc").write_bytes(cmyk())
        for name in (str(tmp_path / "press.icc"), f"file://{tmp_path}/press.icc"):
            assert load_profile(name).data == cmyk()
        assert load_profile("press.icc", directories=[tmp_path]).data == cmyk()

    def test_a_uri(self) -> None:
        uri = "https://host/press.icc?X-Amz-Signature=s3cr3t"
        asked: list[str] = []

        def read(uri: str) -> bytes:
            asked.append(uri)
            return cmyk()

        outputs = outputs_of(
            [{"color_space": "CMYK", "color_profile": uri}, {"color_space": "CMYK", "color_profile": uri, "dpi": 9}]
        )
        loaded = load_profiles(outputs, read_uri=read)
        assert asked == [uri]
        assert loaded[uri].data == cmyk()
        assert "s3cr3t" not in loaded[uri].name
        with pytest.raises(SettingsError, match="cannot be read here") as caught:
            load_profiles(outputs)
        assert "s3cr3t" not in str(caught.value)


class TestRefused:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "not an ICC profile"),
            (b"junk" * 100, "not an ICC profile"),
            (cmyk()[:-1], "cut short"),
            (gray(), "neither an RGB nor a CMYK output profile"),
            (wide_gamut(), "is RGB, but color_space says CMYK"),
            (cmyk()[:132] + bytes(len(cmyk()) - 132), "damaged"),
        ],
        ids=["empty", "junk", "short", "grey", "rgb", "hollow"],
    )
    def test_no_profile_to_convert_to(self, data: bytes, message: str, tmp_path: Path) -> None:
        (tmp_path / "a.icc").write_bytes(data)
        with pytest.raises(SettingsError, match=message):
            converter_for([OutputSpec(color_space="CMYK", color_profile=str(tmp_path / "a.icc"))])

    @pytest.mark.parametrize("name", ["nowhere.icc", "ISO Coated", "../nowhere.icc"])
    def test_no_such_file(self, name: str) -> None:
        with pytest.raises(SettingsError, match="neither a file nor one of ISO_Coated, ISO_Uncoated"):
            load_profile(name)

    def test_not_to_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="cannot be read"):
            load_profile(str(tmp_path / "gone.icc"))
        with pytest.raises(SettingsError, match="cannot be read"):
            load_profile(str(tmp_path))


MISSING = """
import sys
sys.modules.update(dict.fromkeys({names!r}))
from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.imaging.convert import converter_for
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.imaging.purchase import plan_outputs
assert plan_outputs([OutputSpec(format="webp")]).queries() == [{{"format": "webp", "quality": "75"}}]
try:
    converter_for([OutputSpec(format="avif", compression="lossless")])
except SettingsError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("names", "extra"), [(["PIL"], "imaging"), (["pyvips"], "avif-lossless")], ids=["no Pillow", "no libvips"]
)
def test_a_missing_library_is_named_before_anything_is_spent(names: list[str], extra: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING.format(names=names)], capture_output=True, text=True, check=True, timeout=60
    )
    assert f"pip install 'airflow-provider-autoenhance[{extra}]'" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert extra in project["project"]["optional-dependencies"]


def test_a_flipped_bit_in_a_photo_s_profile_never_surprises(tmp_path: Path) -> None:
    """The profile is used, or left out with a note; the photo is converted, or named as what cannot be."""
    draw, converter = random.Random(11), converter_for([OutputSpec(format="tiff")])
    header = [(place, bit) for place in range(12, 24) for bit in range(8)]
    anywhere = [(draw.randrange(len(color.srgb())), draw.randrange(8)) for _ in range(100)]
    for place, bit in header + anywhere:
        damaged = bytearray(color.srgb())
        damaged[place] ^= 1 << bit
        data = BytesIO()
        Image.new("RGB", (4, 4)).save(data, "TIFF", icc_profile=bytes(damaged))
        with suppress(ConversionError):
            converter.convert(data, tmp_path, about="kitchen.tif")
