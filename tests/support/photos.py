"""Small photos for tests, and the way to upload one."""

from __future__ import annotations

from contextlib import nullcontext
from io import BytesIO

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from airflow_provider_autoenhance.api.models import CreatedImage
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook

_MAKE, _MODEL, _DETAILS, _TAKEN, _FRACTION = 0x010F, 0x0110, 0x8769, 0x9003, 0x9291
_EXPOSURE_TIME, _F_NUMBER, _ISO = 0x829A, 0x829D, 0x8827


def photo(form: str = "JPEG", *, size: tuple[int, int] = (160, 120), shade: int = 60) -> bytes:
    """Return a small dark picture with some detail in it."""
    picture = Image.linear_gradient("L").resize(size).point(lambda level: level * shade // 255)
    data = BytesIO()
    Image.merge("RGB", (picture, picture.rotate(180), picture)).save(data, form)
    return data.getvalue()


def grainy_photo(*, size: tuple[int, int], shade: int = 120) -> bytes:
    """Return a picture of which each pixel takes about a byte, as in a photo."""
    grain = Image.effect_noise(size, 80).convert("RGB")
    data = BytesIO()
    Image.blend(grain, Image.new("RGB", size, (shade, 90, 60)), 0.3).save(data, "JPEG", quality=95)
    return data.getvalue()


def exposure(
    second: float, stop: float, *, camera: str = "Canon EOS R6", size: tuple[int, int] = (160, 120), day: int = 4
) -> bytes:
    """Return one shot of a bracket, with what a camera writes about it.

    :param second: of its minute.
    :param day: of May.
    :param stop: EV over or under a middle exposure; brighter for more.
    """
    exif = Image.Exif()
    exif[_MAKE], exif[_MODEL] = camera.split(" ", 1)
    details = exif.get_ifd(_DETAILS)
    details[_TAKEN], details[_FRACTION] = f"2026:05:{day:02} 10:30:{int(second):02}", f"{second % 1:.2f}"[2:]
    details[_EXPOSURE_TIME], details[_F_NUMBER] = IFDRational(int(2.0**stop * 64), 3840), IFDRational(8)
    details[_ISO] = 100
    gain = 2.0**stop
    picture = Image.linear_gradient("L").resize(size).point(lambda level: min(255, int(level * gain / 2)))
    data = BytesIO()
    Image.merge("RGB", (picture, picture.rotate(180), picture)).save(data, "JPEG", exif=exif)
    return data.getvalue()


class Sized(BytesIO):
    """Bytes with a length, as sources are."""

    def __len__(self) -> int:
        return len(self.getvalue())


def upload(hook: AutoenhanceHook, created: CreatedImage, data: bytes) -> None:
    hook.upload(created.upload_url, lambda: nullcontext(Sized(data)), about=created.image.label)
