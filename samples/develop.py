"""Develops linear renders as a camera would: exposure, lens, sensor noise, tone curve; JPEG with EXIF and profile."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational

Pixels = npt.NDArray[np.float32]

MAX_BYTES = 390_000
_EXPOSURE_AUTO, _EXPOSURE_BRACKET = 0, 2
_APERTURE_PRIORITY = 3
_NO_FLASH = 16
_MULTI_SEGMENT = 5


@dataclass(frozen=True, kw_only=True)
class Shot:
    """How one JPEG is taken.

    :param exposure: stops added to the render's linear values.
    :param bias: exposure bias as the camera notes it, in EV, for the shots of a bracket; ``None`` for a single photo.
    :param cast: gains of red, green and blue: the white balance that the camera got wrong.
    :param shutter: exposure time in seconds.
    :param focal: focal length in mm, full-frame.
    """

    taken: datetime
    exposure: float
    bias: int | None = None
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shutter: Fraction
    f_number: float = 8.0
    iso: int = 400
    focal: int = 20
    description: str


def bracket(first: Shot, biases: tuple[int, ...]) -> list[Shot]:
    """The shots of one exposure bracket, fired in one go, each ``bias`` stops away from ``first``."""
    shots: list[Shot] = []
    clock = first.taken
    for bias in biases:
        shutter = _nominal(first.shutter * Fraction(2) ** bias)
        shots.append(
            Shot(
                taken=clock,
                exposure=first.exposure + bias,
                bias=bias,
                cast=first.cast,
                shutter=shutter,
                f_number=first.f_number,
                iso=first.iso,
                focal=first.focal,
                description=first.description,
            )
        )
        clock += timedelta(seconds=float(shutter), milliseconds=260)
    return shots


def _nominal(seconds: Fraction) -> Fraction:
    """The shutter speed as marked on cameras (1/250, not 1/240)."""
    marked = (1000, 500, 250, 125, 60, 30, 15, 8, 4, 2, 1)
    return min((Fraction(1, m) for m in marked), key=lambda s: abs(math.log2(s / seconds)))


def develop(linear: Pixels, shot: Shot, size: tuple[int, int], seed: int) -> Image.Image:
    """An 8-bit sRGB photo of scene-linear pixels.

    :param linear: height x width x 3, linear light, 1.0 is diffuse white at exposure 0.
    :param size: width and height of the photo; a smaller render is scaled up, as a phone does with its sensor's pixels.
    :param seed: of the sensor noise.
    """
    light = _lens(_scaled(linear, size)) * np.float32(2.0**shot.exposure) * np.asarray(shot.cast, dtype=np.float32)
    sensor = np.clip(light + _noise(light, shot.iso, seed), 0.0, 1.0)
    return Image.fromarray(np.round(_tone(sensor) * 255).astype(np.uint8))


def _scaled(linear: Pixels, size: tuple[int, int]) -> Pixels:
    bands = [Image.fromarray(linear[..., band]).resize(size, Image.Resampling.BILINEAR) for band in range(3)]
    return np.stack([np.asarray(band, dtype=np.float32) for band in bands], axis=-1)


def _lens(linear: Pixels) -> Pixels:
    """A real lens: not quite sharp, glare around bright windows, darker corners."""
    height, width = linear.shape[:2]
    glare = 0.93 * _blur(linear, width / 3400) + 0.05 * _blur(linear, width / 200) + 0.02 * _blur(linear, width / 18)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    falloff = 1 - 0.22 * ((x**2 + (y * height / width) ** 2) / (1 + (height / width) ** 2)) ** 1.3
    return np.asarray(glare * falloff[..., None], dtype=np.float32)


def _blur(image: Pixels, sigma: float) -> Pixels:
    """Gaussian blur; the edges are mirrored."""
    pad = math.ceil(3 * sigma)
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
    height, width = padded.shape[:2]
    gain_y = np.exp(-2 * (math.pi * sigma * np.fft.fftfreq(height)) ** 2)
    gain_x = np.exp(-2 * (math.pi * sigma * np.fft.rfftfreq(width)) ** 2)
    spectrum = np.fft.rfft2(padded, axes=(0, 1)) * (gain_y[:, None] * gain_x[None, :])[..., None]
    blurred = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    return np.asarray(blurred[pad : height - pad, pad : width - pad], dtype=np.float32)


def _noise(light: Pixels, iso: int, seed: int) -> Pixels:
    """Shot and read noise, softened by the camera's own noise reduction."""
    random = np.random.default_rng(seed)
    grain = random.standard_normal(light.shape, dtype=np.float32)
    grain = 0.8 * grain.mean(axis=-1, keepdims=True) * math.sqrt(3) + 0.35 * grain
    deviation = np.sqrt(np.clip(light, 0, 1) * 6e-5 + 1.5e-6) * math.sqrt(iso / 400)
    return np.asarray(_blur(grain, 0.7) * 2 * deviation, dtype=np.float32)


def _tone(sensor: Pixels) -> Pixels:
    """sRGB with the lifted mid-tones' contrast and the soft shoulder of a camera's standard picture style."""
    encoded = np.where(sensor <= 0.0031308, 12.92 * sensor, 1.055 * np.maximum(sensor, 1e-9) ** (1 / 2.4) - 0.055)
    return np.asarray(0.75 * encoded + 0.25 * encoded**2 * (3 - 2 * encoded), dtype=np.float32)


def save(photo: Image.Image, shot: Shot, path: Path) -> int:
    """Write the JPEG at the best quality below :data:`MAX_BYTES`; returns the quality."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in range(92, 40, -3):
        buffer = io.BytesIO()
        photo.save(
            buffer,
            "JPEG",
            quality=quality,
            optimize=True,
            subsampling="4:2:0",
            exif=_exif(shot, photo.size),
            icc_profile=_srgb_profile(),
            dpi=(300, 300),
        )
        if buffer.tell() <= MAX_BYTES:
            path.write_bytes(buffer.getvalue())
            return quality
    raise ValueError(f"{path}: no JPEG quality brings it below {MAX_BYTES} bytes; lower the noise or the size")


def _srgb_profile() -> bytes:
    """sRGB ICC profile without the moment of its making, so that the same photo gives the same file."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07ea00010001000000000000")
    return bytes(profile)


def _exif(shot: Shot, size: tuple[int, int]) -> Image.Exif:
    exif = Image.Exif()
    taken = shot.taken.strftime("%Y:%m:%d %H:%M:%S")
    exif[Base.ImageDescription] = shot.description
    exif[Base.Make] = "Sample Camera"
    exif[Base.Model] = "Render 1"
    exif[Base.Orientation] = 1
    exif[Base.XResolution] = exif[Base.YResolution] = IFDRational(300, 1)
    exif[Base.ResolutionUnit] = 2
    exif[Base.YCbCrPositioning] = 1
    exif[Base.Software] = "POV-Ray 3.7"
    exif[Base.DateTime] = taken
    camera = exif.get_ifd(IFD.Exif)
    camera[Base.ExposureTime] = IFDRational(shot.shutter.numerator, shot.shutter.denominator)
    camera[Base.FNumber] = IFDRational(round(shot.f_number * 10), 10)
    camera[Base.ExposureProgram] = _APERTURE_PRIORITY
    camera[Base.ISOSpeedRatings] = shot.iso
    camera[Base.ExifVersion] = b"0232"
    camera[Base.ComponentsConfiguration] = bytes((1, 2, 3, 0))
    camera[Base.FlashPixVersion] = b"0100"
    camera[Base.DateTimeOriginal] = camera[Base.DateTimeDigitized] = taken
    camera[Base.OffsetTimeOriginal] = "+00:00"
    camera[Base.SubsecTimeOriginal] = camera[Base.SubsecTimeDigitized] = f"{shot.taken.microsecond // 10_000:02d}"
    camera[Base.ExposureBiasValue] = IFDRational(shot.bias or 0, 1)
    camera[Base.MeteringMode] = _MULTI_SEGMENT
    camera[Base.Flash] = _NO_FLASH
    camera[Base.FocalLength] = IFDRational(shot.focal, 1)
    camera[Base.ColorSpace] = 1
    camera[Base.ExifImageWidth], camera[Base.ExifImageHeight] = size
    camera[Base.ExposureMode] = _EXPOSURE_AUTO if shot.bias is None else _EXPOSURE_BRACKET
    camera[Base.WhiteBalance] = 0
    camera[Base.FocalLengthIn35mmFilm] = shot.focal
    camera[Base.LensModel] = f"Render {shot.focal}mm F4"
    return exif
