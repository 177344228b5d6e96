"""What a downloaded photo should look like."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from airflow_provider_autoenhance.api.errors import SettingsError

#: Output formats that the API renders, with the file extension of each.
EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif", "jxl": "jxl"}

_ALIASES = {"jpg": "jpeg", "jpe": "jpeg"}


def format_of_extension(name: str) -> str | None:
    """Output format that a file name's extension stands for, if any."""
    extension = name.rpartition("/")[2].rpartition(".")[2].lower()
    extension = _ALIASES.get(extension, extension)
    return extension if extension in EXTENSIONS else None


def safe_path(path: str) -> str:
    """A path that stays in its folder: absolute ones, ``..`` and backslashes cannot leave it."""
    return "/".join(part for part in re.split(r"[/\\]+", path) if part not in ("", ".", ".."))


def file_name(image_name: str, format: str) -> str:
    """File name for a rendering of an image: its own path and name; another extension is added, never swapped.

    So ``a.dng`` and ``a.jpg`` do not end up as one file. No name can leave the folder.
    """
    name = re.sub(r"[\x00-\x1f\x7f?#]", "_", safe_path(image_name)) or "image"
    return name if format_of_extension(name) == format else f"{name}.{EXTENSIONS[format]}"


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """One rendering of a photo. What is left out is the API's default.

    :param format: ``jpeg`` (the API's default), ``png``, ``webp``, ``avif`` or ``jxl``.
    :param quality: 1 to 90, for lossy formats.
    :param max_width: pixels; wider photos are scaled down.
    :param scale: factor above 0, up to 1.
    :param dpi: dots per inch written into the file, from 72.
    :raises SettingsError: on a value out of range.
    """

    format: str | None = None
    quality: int | None = None
    max_width: int | None = None
    scale: float | None = None
    dpi: int | None = None

    def __post_init__(self) -> None:
        if self.format is not None:
            spelled = _ALIASES.get(str(self.format).strip().lower(), str(self.format).strip().lower())
            if spelled not in EXTENSIONS:
                raise SettingsError(f"output format takes one of {', '.join(EXTENSIONS)}, not {self.format!r}.")
            object.__setattr__(self, "format", spelled)
        self._number("quality", int, 1, 90)
        self._number("max_width", int, 1, None)
        self._number("scale", float, 0.0, 1.0)
        self._number("dpi", int, 72, 65535)
        if self.scale == 0:
            raise SettingsError("output scale takes a number above 0, up to 1, not 0.")

    @classmethod
    def of(cls, value: OutputSpec | Mapping[str, Any] | str | None) -> OutputSpec:
        """Take an OutputSpec, a mapping of its fields, or just a format.

        :raises SettingsError: on an unknown field or a value out of range.
        """
        if isinstance(value, OutputSpec):
            return value
        if value is None or value in ("", "None"):
            return cls()
        if isinstance(value, str):
            return cls(format=value)
        known = [each.name for each in fields(cls)]
        for name in value:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(known)}."
                raise SettingsError(f"Unknown output field {name!r}.{hint}")
        return cls(**{name: given for name, given in value.items() if given not in (None, "")})

    def query(self) -> dict[str, str]:
        """Spell it as the download endpoints' query parameters."""
        return {each.name: str(value) for each in fields(self) if (value := getattr(self, each.name)) is not None}

    def _number(self, name: str, kind: type[int] | type[float], low: float, high: float | None) -> None:
        value = getattr(self, name)
        if value is None:
            return
        try:
            number = kind(value)
            fits = not isinstance(value, bool) and number == float(value)
        except (TypeError, ValueError):
            number, fits = kind(0), False
        if not fits or number < low or (high is not None and number > high):
            bounds = f"from {low:g} to {high:g}" if high is not None else f"of at least {low:g}"
            raise SettingsError(f"output {name} takes a number {bounds}, not {value!r}.")
        object.__setattr__(self, name, number)
