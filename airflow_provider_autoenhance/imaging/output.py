"""What a downloaded photo should look like."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from airflow_provider_autoenhance.api.coerce import Place, is_literal, is_path, is_place
from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.api.shown import last_part, quoted
from airflow_provider_autoenhance.imaging.naming import ALIASES, EXTENSIONS, file_name, format_of_extension

__all__ = [
    "AS_RENDERED",
    "COMPRESSIONS",
    "EXTENSIONS",
    "QUALITIES",
    "OutputSpec",
    "file_name",
    "format_of_extension",
    "named_output",
    "outputs_of",
]

#: Ways to compress by format, the default first.
COMPRESSIONS = {
    "png": ("optimal", "fast", "best"),
    "tiff": ("lossless", "lossy"),
    "webp": ("lossy", "lossless"),
    "avif": ("lossy", "lossless"),
}

#: Quality of a local encoding where none is asked for. The formats that have one; JPEG XL is rendered by the API alone.
QUALITIES = {"jpeg": 85, "tiff": 75, "webp": 75, "avif": 50}

#: The quality that Autoenhance chooses by itself.
AS_RENDERED = "as_rendered"

#: Print conditions whose profiles have a name.
PRINT_PROFILES = ("ISO_Coated", "ISO_Uncoated", "USWeb_Coated", "USWeb_Uncoated")

#: What the API's download endpoints render themselves.
_API_FORMATS = ("jpeg", "png", "webp", "avif", "jxl")
_API_MAX_QUALITY = 90
_API_MIN_DPI = 72
_API_FIELDS = ("format", "quality", "max_width", "scale", "dpi")

_NOTHING = (None, "", "None")


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """One rendering of a photo. What Autoenhance cannot render is encoded in the worker, from one lossless download.

    >>> OutputSpec(format="jpeg", quality=95, dpi=300, color_space="CMYK").color_space
    'CMYK'
    >>> OutputSpec.of("s3://enhanced/maple/").destination
    's3://enhanced/maple/'

    :param format: ``jpeg`` (the default), ``png``, ``tiff``, ``webp``, ``avif`` or ``jxl``. In a mapping also an object:
        ``{"type": "jpeg", "quality": 85}``.
    :param quality: 1 to 100, for JPEG (85 by default), lossy TIFF (75), WEBP (75) and AVIF (50); JPEG XL to 90. ``as_rendered`` leaves it
        to Autoenhance, for what that renders.
    :param progressive: JPEG that builds up while it loads; ``True`` by default where it is encoded here.
    :param compression: PNG: ``fast``, ``optimal`` or ``best``. TIFF: ``lossless`` (LZW) or ``lossy`` (JPEG). WEBP and AVIF: ``lossy`` or
        ``lossless``.
    :param max_width: pixels; wider photos are scaled down.
    :param scale: factor above 0, up to 1.
    :param dpi: 1 to 65535 dots per inch, written into the file; changes no pixels.
    :param color_space: ``RGB`` or ``CMYK`` (JPEG only); by default the photo's own.
    :param color_profile: ``ISO_Coated`` (the default of CMYK), ``ISO_Uncoated``, ``USWeb_Coated``, ``USWeb_Uncoated``, ``sRGB``, or the
        path or URI of an ICC profile. The photo is converted to it.
    :param embed_profile: put the colour profile into the file. Without one, RGB is converted to sRGB.
    :param name_template: path below the destination folder; may hold ``{folder}``, ``{stem}``, ``{name}``, ``{extension}`` (the output's)
        and ``{fingerprint}``.
    :param destination: where it goes, as the task's argument of this name says it too.
    :raises SettingsError: on a value out of range, or one that does not go with the format.
    """

    format: str | None = None
    quality: int | str | None = None
    progressive: bool | None = None
    compression: str | None = None
    max_width: int | None = None
    scale: float | None = None
    dpi: int | None = None
    color_space: str | None = None
    color_profile: str | None = None
    embed_profile: bool = True
    name_template: str | None = None
    destination: Place | None = None

    def __post_init__(self) -> None:
        if self.format is not None:
            spelled = str(self.format).strip().lower()
            self._choice("format", ALIASES.get(spelled, spelled), tuple(EXTENSIONS))
        if str(self.quality).strip().lower() == AS_RENDERED:
            object.__setattr__(self, "quality", AS_RENDERED)
        else:
            self._number("quality", int, 1, 100)
        self._number("max_width", int, 1, None)
        self._number("scale", float, 0.0, 1.0)
        self._number("dpi", int, 1, 65535)
        if self.scale == 0:
            raise SettingsError("output scale takes a number above 0, up to 1, not 0.")
        if not (self.destination is None or isinstance(self.destination, str) or is_path(self.destination)):
            raise SettingsError(f"output destination takes a URI, not {quoted(self.destination)}.")
        for name in ("destination", "name_template", "color_profile"):
            if not is_literal(getattr(self, name)):
                raise SettingsError(
                    f"output {name} is a template, which nobody renders in an OutputSpec: {quoted(getattr(self, name))}. Give an object "
                    "instead, which Airflow renders."
                )
        if self.progressive is not None:
            self._boolean("progressive")
        self._boolean("embed_profile")
        self._check_compression()
        self._check_color()
        if self.format is not None:
            self._check_format(self.format)

    @classmethod
    def of(cls, value: OutputSpec | Mapping[str, Any] | Place | None) -> OutputSpec:
        """Take an OutputSpec, a mapping of its fields (also as JSON text), or just a format or a destination.

        :raises SettingsError: on an unknown field or a value out of range.
        """
        if isinstance(value, str):
            value = _parsed(value)
        if isinstance(value, OutputSpec):
            return value
        if value in _NOTHING:
            return cls()
        if is_path(value):
            return cls(destination=cast("Place", value))
        if isinstance(value, str):
            return cls(destination=value) if is_place(value) else cls(format=value)
        if not isinstance(value, Mapping):
            raise SettingsError(f"an output takes a format or an object of its fields, not {quoted(value)}.")
        flat = _flat(value)
        _check_known(flat, [each.name for each in fields(cls)])
        return cls(**{name: given for name, given in flat.items() if given not in _NOTHING})

    def with_format(self) -> OutputSpec:
        """Return the output with its format, JPEG where none is given."""
        return self if self.format else replace(self, format="jpeg")

    @property
    def lossless(self) -> bool:
        """Whether the file keeps every pixel as it is."""
        ways = COMPRESSIONS.get(self.format or "jpeg", ("lossy",))
        way = self.compression or ("lossy" if self.quality is not None else ways[0])
        return self.format == "png" or way == "lossless"

    @property
    def own_quality(self) -> int | None:
        """The quality that was asked for, or the format's default; ``None`` where Autoenhance is to choose, or there is none."""
        if self.quality is not None:
            return self.quality if isinstance(self.quality, int) else None
        return None if self.lossless else QUALITIES.get(self.format or "jpeg")

    @property
    def profile_name(self) -> str | None:
        """The colour profile to convert to, by name, path or URI, or ``None`` to keep the photo's."""
        return self.color_profile or ("ISO_Coated" if self.color_space == "CMYK" else None)

    def why_local(self) -> str | None:
        """Say what of it the API does not render, or ``None`` if it renders all."""
        if (self.format or "jpeg") not in _API_FORMATS:
            return f"format {self.format}"
        if isinstance(self.quality, int) and self.quality > _API_MAX_QUALITY:
            return f"quality {self.quality}"
        if (self.dpi or _API_MIN_DPI) < _API_MIN_DPI:
            return f"{self.dpi} dpi"
        if self.compression not in (None, "lossy"):
            return f"compression {self.compression!r}"
        if self.progressive is not None:
            return "progressive" if self.progressive else "baseline JPEG"
        if self.color_profile or self.color_space == "CMYK":
            return f"color profile {redact_url(self.profile_name or '')}"
        return None if self.embed_profile else "embed_profile"

    def query(self, *, preview: bool = False) -> dict[str, str]:
        """Spell it as the download endpoints' query parameters. Without a format, the file is handed on as it is.

        :param preview: of the free preview, whose quality is Autoenhance's unless it was asked for.
        :raises SettingsError: the API does not render it; see :func:`~airflow_provider_autoenhance.imaging.purchase.plan_outputs`.
        """
        reason = self.why_local()
        if reason:
            raise SettingsError(
                f"Autoenhance does not render {reason} itself; leave it out here, or convert the file afterwards."
            )
        quality = None if self.quality is None and (preview or self.format is None) else self.own_quality
        asked = {name: getattr(self, name) for name in _API_FIELDS} | {"quality": quality}
        return {name: str(value) for name, value in asked.items() if value is not None}

    def request(self) -> dict[str, str]:
        """Spell what was set, except name and place, for records; equal specs give equal records."""
        asked = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in ("name_template", "destination")
        }
        if self.embed_profile:
            del asked["embed_profile"]
        if "://" in (self.color_profile or ""):
            asked["color_profile"] = redact_url(self.color_profile or "")
        return {name: str(value) for name, value in asked.items() if value is not None}

    def _check_compression(self) -> None:
        if self.compression is None:
            return
        ways = COMPRESSIONS.get(self.format or "")
        if ways is None:
            raise SettingsError(
                f"output compression goes with format {', '.join(COMPRESSIONS)}, not with {self.format or 'jpeg, the default'}."
            )
        self._choice("compression", str(self.compression).strip().lower(), ways)

    def _check_color(self) -> None:
        if self.color_space is not None:
            self._choice("color_space", str(self.color_space).strip().upper(), ("RGB", "CMYK"))
        if self.color_profile is None:
            return
        name = str(self.color_profile).strip()
        spelled = {known.lower(): known for known in (*PRINT_PROFILES, "sRGB")}.get(name.lower(), name)
        object.__setattr__(self, "color_profile", spelled)
        implied = "CMYK" if spelled in PRINT_PROFILES else "RGB" if spelled == "sRGB" else self.color_space
        if implied is None:
            raise SettingsError(
                f"output color_profile {quoted(name)} needs color_space beside it: RGB or CMYK, as the profile is."
            )
        if self.color_space not in (None, implied):
            raise SettingsError(
                f"output color_profile {spelled} is {implied}, but color_space says {self.color_space}."
            )
        object.__setattr__(self, "color_space", implied)

    def _check_format(self, format: str) -> None:
        """Check what does not go with the format."""
        if self.color_space == "CMYK" and format != "jpeg":
            raise SettingsError(f"output color_space CMYK goes with format jpeg only, not with {format}.")
        if self.progressive is not None and format != "jpeg":
            raise SettingsError(f"output progressive goes with format jpeg only, not with {format}.")
        if self.quality is not None and self.lossless:
            raise SettingsError(f"output quality goes with lossy formats, not with lossless {format}.")
        if self.quality == AS_RENDERED and (reason := self.why_local()):
            raise SettingsError(f"output quality {AS_RENDERED} is Autoenhance's own, which does not do {reason}.")
        if format == "jxl":
            if self.quality != AS_RENDERED:
                self._number("quality", int, 1, _API_MAX_QUALITY)
            reason = self.why_local()
            if reason:
                raise SettingsError(f"output format jxl is rendered by Autoenhance alone, which does not do {reason}.")

    def _choice(self, name: str, spelled: str, choices: tuple[str, ...]) -> None:
        if spelled not in choices:
            raise SettingsError(f"output {name} takes one of {', '.join(choices)}, not {quoted(getattr(self, name))}.")
        object.__setattr__(self, name, spelled)

    def _boolean(self, name: str) -> None:
        spelled = str(getattr(self, name)).strip().lower()
        if spelled not in ("true", "false"):
            raise SettingsError(f"output {name} takes true or false, not {getattr(self, name)!r}.")
        object.__setattr__(self, name, spelled == "true")

    def _number(self, name: str, kind: type[int] | type[float], low: float, high: float | None) -> None:
        value = getattr(self, name)
        if value is None:
            return
        try:
            number = kind(value)
            mistyped = isinstance(value, str) and "_" in value  # Python reads 1_0 as 10
            fits = not isinstance(value, bool) and not mistyped and number == float(value)
        except (TypeError, ValueError, OverflowError):
            number, fits = kind(0), False
        if not fits or number < low or (high is not None and number > high):
            bounds = f"from {low:g} to {high:g}" if high is not None else f"of at least {low:g}"
            raise SettingsError(f"output {name} takes a number {bounds}, not {value!r}.")
        object.__setattr__(self, name, number)


def outputs_of(value: Any) -> tuple[OutputSpec, ...]:
    """Take one output, however spelled, or a list of them.

    :raises SettingsError: on a bad one, or an empty list.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, Iterable) and not isinstance(value, (str, Mapping)):
        outputs = tuple(OutputSpec.of(each) for each in value)
        if not outputs:
            raise SettingsError("outputs is an empty list; leave it out for JPEG, or name at least one format.")
        return outputs
    return (OutputSpec.of(value),)


def named_output(outputs: tuple[OutputSpec, ...], name: str) -> OutputSpec:
    """Return the output that a file of this name is to hold, with its format.

    :raises SettingsError: there are several, or name and format contradict each other.
    """
    if len(outputs) > 1:
        raise SettingsError(f"{len(outputs)} outputs need a folder as destination, ending in '/'.")
    (output,) = outputs
    by_name = format_of_extension(name)
    wanted = output.format or by_name
    if wanted is None:
        raise SettingsError(
            f"destination {last_part(name)!r} is neither a folder, which ends in '/', nor has it an extension of a format: "
            f"{', '.join(EXTENSIONS.values())}."
        )
    if (by_name or wanted) != wanted:
        raise SettingsError(
            f"destination {last_part(name)!r} does not fit output format {output.format!r}; there are {', '.join(EXTENSIONS)}."
        )
    return replace(output, format=wanted)


def _parsed(text: str) -> Any:
    """Jinja makes text of an object or list; take it back from JSON."""
    if text.strip()[:1] not in ("{", "["):
        return text.strip()
    try:
        return json.loads(text)
    except ValueError:
        raise SettingsError(f"an output takes a format or an object of its fields, not {quoted(text)}.") from None


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Take the options out of the object forms ``metadata``, ``format``, ``compression`` and ``color_space``."""
    flat = dict(value)
    metadata = flat.pop("metadata", None)
    if metadata not in _NOTHING:
        _check_metadata(metadata, flat)
        flat |= metadata
    for name in ("format", "compression", "color_space"):
        given = flat.get(name)
        if not isinstance(given, Mapping):
            continue
        options = dict(given)
        flat[name] = options.pop("type", None)
        if flat[name] in _NOTHING:
            raise SettingsError(f"output {name} as an object needs 'type'.")
        for option, choice in options.items():
            if flat.get(option) not in (*_NOTHING, choice):
                raise SettingsError(f"output {option} is given twice: inside {name} and beside it.")
            flat[option] = choice
    return flat


def _check_metadata(metadata: Any, beside: Mapping[str, Any]) -> None:
    if not isinstance(metadata, Mapping) or not metadata.keys() <= {"dpi", "color_space"}:
        raise SettingsError(f"output metadata takes an object with 'dpi' and 'color_space', not {metadata!r:.80}.")
    for name, value in metadata.items():
        if beside.get(name) not in (*_NOTHING, value):
            raise SettingsError(f"output {name} is given twice: inside metadata and beside it.")


def _check_known(given: Mapping[str, Any], known: list[str]) -> None:
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(known)}."
            raise SettingsError(f"Unknown output field {name!r}.{hint}")
