"""File names of outputs: from a photo's path and a template to a path that cannot leave its folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from string import Formatter

from airflow_provider_autoenhance.api.errors import SettingsError

#: Output formats, with the file extension of each.
EXTENSIONS = {"jpeg": "jpg", "png": "png", "tiff": "tif", "webp": "webp", "avif": "avif", "jxl": "jxl"}

ALIASES = {"jpg": "jpeg", "jpe": "jpeg", "tif": "tiff"}


def format_of_extension(name: str) -> str | None:
    """Output format that a file name's extension stands for, if any."""
    extension = name.rpartition("/")[2].rpartition(".")[2].lower()
    extension = ALIASES.get(extension, extension)
    return extension if extension in EXTENSIONS else None


def folded(name: str) -> str:
    """What names have in common that some file systems take for one: macOS and Windows ignore case, and how an accent is encoded.

    >>> folded("CAF\u00c9.jpg") == folded("cafe\u0301.jpg")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def safe_path(path: str) -> str:
    """A path that stays in its folder: absolute ones, ``..`` and backslashes cannot leave it."""
    return "/".join(part for part in re.split(r"[/\\]+", path) if part not in ("", ".", ".."))


def file_name(image_name: str, format: str) -> str:
    """File name for a rendering of an image: its own path and name; another extension is added, never swapped.

    So ``a.dng`` and ``a.jpg`` do not end up as one file. ``..`` and absolute paths cannot leave the folder.

    >>> file_name("elm/a.dng", "jpeg"), file_name("elm/a.jpg", "jpeg")
    ('elm/a.dng.jpg', 'elm/a.jpg')
    """
    name = re.sub(r"[\x00-\x1f\x7f?#]", "_", safe_path(image_name)) or "image"
    return name if format_of_extension(name) == format else f"{name}.{EXTENSIONS[format]}"


def name_parts(path: str, fingerprint: str = "") -> dict[str, str]:
    """What a name template may hold: ``folder`` (ends in ``/``), ``name``, ``stem``, ``extension`` (begins with a dot), ``fingerprint``."""
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    return {
        "folder": folder + slash,
        "name": name,
        "stem": stem if dot else name,
        "extension": dot + extension if dot else "",
        "fingerprint": fingerprint[:8],
    }


def fill_template(argument: str, template: str, parts: Mapping[str, str]) -> str:
    """Fill a name template.

    :param argument: its name, for the error.
    :raises SettingsError: it holds something else than ``parts``, or gives an empty name.
    """
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
        filled = template.format_map(parts) if set(fields) <= set(parts) else None
    except (KeyError, ValueError, IndexError):
        filled = None
    if filled is None:
        raise SettingsError(
            f"{argument} {template!r} cannot be filled; it may hold {', '.join('{' + name + '}' for name in parts)}."
        )
    if not re.sub(r"[./\s]", "", filled):
        raise SettingsError(f"{argument} {template!r} gives an empty name.")
    return filled


def output_name(
    path: str,
    format: str,
    *,
    template: str | None = None,
    fingerprint: str = "",
    argument: str = "name_template",
) -> str:
    """Path of an output below its destination folder.

    :param path: the photo's path or name, with ``/`` between folders.
    :param template: may hold ``{folder}``, ``{name}``, ``{stem}``, ``{extension}`` (the output's, without a dot) and ``{fingerprint}``;
        by default the photo's own path. The format's extension is added where the name has another.
    :raises SettingsError: the template cannot be filled.
    """
    if template is None:
        return file_name(path, format)
    parts = name_parts(path, fingerprint) | {"extension": EXTENSIONS[format]}
    return file_name(fill_template(argument, template, parts), format)
