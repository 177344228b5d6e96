"""Which format a file has, by its content.

Works on the first 64 KiB and never decodes. What these cannot show:

- whether a JPEG or HEIC is a 360 degree picture, HDR, or a motion photo: all are the plain format here;
- which camera RAW it is when a TIFF keeps its directory further back (some scanners and editors do): the file's name
  decides then;
- the compression inside a RAW file (Nikon HE/HE*, Sony L, Canon CRAW), which Autoenhance has trouble with.

MIME types are those of Autoenhance's own upload examples (contract, section 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from airflow_provider_autoenhance.imaging.tiff import TiffHead


@dataclass(frozen=True)
class ImageFormat:
    """A picture format.

    :param name: as photographers call it.
    :param mime: Content-Type for an upload.
    :param extensions: usual file name endings, the commonest first.
    :param accepted: Autoenhance takes it as it is.
    :param raw: camera RAW.
    """

    name: str
    mime: str
    extensions: tuple[str, ...]
    accepted: bool = True
    raw: bool = False


JPEG = ImageFormat("JPEG", "image/jpeg", (".jpg", ".jpeg", ".jpe", ".jfif"))
PNG = ImageFormat("PNG", "image/png", (".png",))
WEBP = ImageFormat("WEBP", "image/webp", (".webp",))
AVIF = ImageFormat("AVIF", "image/avif", (".avif",))
HEIC = ImageFormat("HEIC", "image/heic", (".heic", ".heif", ".hif"))
TIFF = ImageFormat("TIFF", "image/tiff", (".tif", ".tiff"))
DNG = ImageFormat("DNG", "image/x-adobe-dng", (".dng",), raw=True)
CR2 = ImageFormat("CR2", "image/x-canon-cr2", (".cr2",), raw=True)
CR3 = ImageFormat("CR3", "image/x-canon-cr3", (".cr3",), raw=True)
NEF = ImageFormat("NEF", "image/x-nikon-nef", (".nef",), raw=True)
NRW = ImageFormat("NRW", "image/x-nikon-nrw", (".nrw",), raw=True)
ARW = ImageFormat("ARW", "image/x-sony-arw", (".arw",), raw=True)
SR2 = ImageFormat("SR2", "image/x-sony-sr2", (".sr2",), raw=True)
SRF = ImageFormat("SRF", "image/x-sony-srf", (".srf",), raw=True)
RAF = ImageFormat("RAF", "image/x-fuji-raf", (".raf",), raw=True)
BMP = ImageFormat("BMP", "image/bmp", (".bmp", ".dib"), accepted=False)
GIF = ImageFormat("GIF", "image/gif", (".gif",), accepted=False)
JXL = ImageFormat("JPEG XL", "image/jxl", (".jxl",), accepted=False)
JP2 = ImageFormat("JPEG 2000", "image/jp2", (".jp2", ".jpx"), accepted=False)
OTHER_RAW = ImageFormat(
    "camera RAW of an unsupported make",
    "application/octet-stream",
    (".orf", ".rw2", ".pef", ".srw", ".3fr", ".crw", ".x3f"),
    accepted=False,
    raw=True,
)

FORMATS = (
    *(JPEG, PNG, WEBP, AVIF, HEIC, TIFF),
    *(DNG, CR2, CR3, NEF, NRW, ARW, SR2, SRF, RAF),
    *(BMP, GIF, JXL, JP2, OTHER_RAW),
)

CONVERTIBLE = (BMP, GIF)
"""What Autoenhance does not take, but goes up as PNG."""

PHOTO_EXTENSIONS = tuple(
    ending for form in FORMATS if form.accepted or form in CONVERTIBLE for ending in form.extensions
)
"""File name endings of photos, for default patterns of a folder listing."""

_NIKON, _SONY = (NEF, NRW), (ARW, SR2, SRF)
_TIFF_BASED = (TIFF, DNG, CR2, *_NIKON, *_SONY)

_BEGINNINGS = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"FUJIFILMCCD-RAW", RAF),
    (b"\xff\x0a", JXL),
    (b"\0\0\0\x0cJXL \r\n\x87\n", JXL),
    (b"\0\0\0\x0cjP  \r\n\x87\n", JP2),
    (b"\xff\x4f\xff\x51", JP2),
    (b"IIRO", OTHER_RAW),  # Olympus
    (b"IIRS", OTHER_RAW),
    (b"MMOR", OTHER_RAW),
    (b"IIU\0", OTHER_RAW),  # Panasonic
    (b"FOVb", OTHER_RAW),  # Sigma
    (b"II\x1a\0\0\0HEAPCCDR", OTHER_RAW),  # Canon CRW
)
_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEVC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1"})
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def sniff(head: bytes, name: str | None = None) -> ImageFormat | None:
    """Recognize a file's format by its first bytes; ``None`` when it is not a picture that we know.

    :param head: the first 64 KiB, or all of a shorter file.
    :param name: the file's name. Its ending only decides between TIFF and TIFF-based RAW where the head leaves that
        open; it never overrides the content.
    """
    for beginning, form in _BEGINNINGS:
        if head.startswith(beginning):
            return form
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head.startswith(_TIFF_BEGINNINGS):
        return _tiff_based(head, name)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return BMP
    return None


def _iso_media(head: bytes) -> ImageFormat | None:
    end = min(int.from_bytes(head[:4], "big"), 4096)
    major = head[8:12]
    brands = {major} | {head[at : at + 4] for at in range(16, end, 4)}
    if major == b"crx ":
        return CR3
    if brands & _AVIF_BRANDS and major not in _HEVC_BRANDS:
        return AVIF
    if brands & _HEVC_BRANDS or brands & _HEIF_BRANDS:
        return HEIC
    return None


def _tiff_based(head: bytes, name: str | None) -> ImageFormat:
    if head[8:11] == b"CR\x02":
        return CR2
    tiff = TiffHead(head)
    named = _by_name(name)
    if not tiff.first_directory_seen:
        return named or TIFF
    if tiff.has_dng_version:
        return DNG
    if tiff.make.startswith("NIKON"):
        return _of_make(tiff, _NIKON, named, NRW if "COOLPIX" in tiff.model else NEF)
    if tiff.make.startswith("SONY"):
        return _of_make(tiff, _SONY, named, {"DSC-F828": SRF, "DSC-R1": SR2}.get(tiff.model, ARW))
    return OTHER_RAW if tiff.has_sensor_data else TIFF


def _of_make(
    tiff: TiffHead, forms: tuple[ImageFormat, ...], named: ImageFormat | None, usual: ImageFormat
) -> ImageFormat:
    """A camera's own TIFF, or one exported from its RAW, carries the make too: so ask for a sign of sensor data."""
    if named in forms:
        return named
    return usual if tiff.has_sensor_data else TIFF


def _by_name(name: str | None) -> ImageFormat | None:
    ending = PurePosixPath(name or "").suffix.lower()
    return next((form for form in _TIFF_BASED if ending in form.extensions), None)
