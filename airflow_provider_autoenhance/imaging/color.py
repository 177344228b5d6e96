"""Colours from one profile to another, by LittleCMS: relative colorimetric with black point compensation."""

from __future__ import annotations

import functools
from io import BytesIO
from typing import TYPE_CHECKING, Any

from airflow_provider_autoenhance.api.errors import ConversionError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from PIL import Image

    from airflow_provider_autoenhance.imaging.output import OutputSpec
    from airflow_provider_autoenhance.imaging.picture import Picture
    from airflow_provider_autoenhance.imaging.profiles import Profile

_SPACES_OF_MODES = {
    **dict.fromkeys(("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "YCbCr", "HSV"), "RGB"),
    **dict.fromkeys(("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"), "GRAY"),
    "CMYK": "CMYK",
    "LAB": "Lab",
}


@functools.cache
def srgb() -> bytes:
    """An sRGB profile, the same on every machine and day."""
    from PIL import ImageCms

    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[24:36] = bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))
    data[84:100] = bytes(16)  # its digest, which covers neither
    return bytes(data)


def fits(profile: bytes, mode: str) -> bool:
    """Whether a profile is of the colour space of such pixels, and a pixel can be converted from it."""
    from PIL import Image, ImageCms

    space = _SPACES_OF_MODES.get(mode)
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        if opened.profile.xcolor_space.strip() != space:
            return False
        if space != "Lab":
            _convert(Image.new("L" if space == "GRAY" else str(space), (1, 1)), profile, srgb(), "RGB")
    except (OSError, ValueError, ConversionError, ImageCms.PyCMSError):  # ValueError: a space's name that is not ASCII
        return False
    return True


def description(profile: bytes) -> str:
    """A profile's own name; ``unnamed`` where it cannot be read, which does not spoil the colours."""
    from PIL import ImageCms

    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))).strip()
    except (OSError, ValueError, ImageCms.PyCMSError):
        return "unnamed"


def check_profiles(profiles: Iterable[Profile]) -> None:
    """Try each profile on a pixel.

    :raises SettingsError: one cannot be converted to.
    """
    from PIL import Image

    for profile in profiles:
        try:
            _convert(Image.new("RGB", (1, 1)), srgb(), profile.data, profile.color_space)
        except ConversionError:
            raise SettingsError(f"color_profile {profile.name} is damaged, or cannot be converted to.") from None


def adapt(picture: Picture, output: OutputSpec, profiles: Mapping[str, Profile]) -> tuple[Image.Image, bytes | None]:
    """Return the pixels as the output wants them, and their profile. Transparency that the output does not keep is gone before.

    :param profiles: those that outputs name, but for ``sRGB``.
    """
    image, have = picture.image, picture.profile
    name = output.profile_name
    if image.mode == "CMYK":
        if output.color_profile is None and (output.color_space or "CMYK") == "CMYK" and output.format == "jpeg":
            return image, have
        name = name or "sRGB"
    elif name is None and have is not None and not output.embed_profile:
        name = "sRGB"
    if name is None:
        return image, have
    wanted = profiles[name].data if name in profiles else srgb()
    space = output.color_space or "RGB"
    if image.mode == "CMYK" and have is None:
        have = _assumed_cmyk()
    if have == wanted or (have is None and name == "sRGB"):
        return image, wanted
    return _convert(image, have or srgb(), wanted, "RGBA" if image.mode == "RGBA" else space), wanted


def flattened(image: Image.Image) -> Image.Image:
    """Lay a picture with transparency on white."""
    from PIL import Image

    ground = Image.new("RGB", image.size, (255, 255, 255))
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def from_gray(image: Image.Image, profile: bytes) -> Image.Image:
    """Turn grey pixels with a profile into sRGB."""
    if image.mode == "La":
        image = image.convert("LA")
    colored = _convert(image.convert("L"), profile, srgb(), "RGB")
    if image.mode == "LA":
        colored.putalpha(image.getchannel("A"))
    return colored


def from_lab(image: Image.Image) -> Image.Image:
    """Turn Lab pixels into sRGB."""
    from PIL import ImageCms

    return _transformed(image, ImageCms.createProfile("LAB"), srgb(), "RGB")


def _assumed_cmyk() -> bytes:
    """Profile of CMYK pixels that come without one."""
    from airflow_provider_autoenhance.imaging.profiles import load_profile

    return load_profile("ISO_Coated").data


def _convert(image: Image.Image, have: bytes, wanted: bytes, mode: str) -> Image.Image:
    return _transformed(image, BytesIO(have), wanted, mode)


def _transformed(image: Image.Image, have: Any, wanted: bytes, mode: str) -> Image.Image:
    from PIL import ImageCms

    try:
        transform = ImageCms.buildTransform(
            have,
            BytesIO(wanted),
            image.mode,
            mode,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        converted = transform.apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise ConversionError(f"colours cannot be converted from the picture's profile ({error}).") from None
    converted.info = {}
    return converted
