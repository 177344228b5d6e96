"""Where colour profiles come from. Reads files, decodes nothing, never goes to the network by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.imaging.output import PRINT_PROFILES, OutputSpec

#: Environment variable for a folder with ICC profiles.
VARIABLE = "AUTOENHANCE_ICC_DIRECTORY"

#: Folder of the profiles that the package carries.
CARRIED = Path(__file__).parent / "icc"

_CARRIED_FILES = {
    "ISO_Coated": "fogra39l_330.icc",
    "ISO_Uncoated": "fogra29l_300.icc",
    "USWeb_Coated": "tr003_300.icc",
}

#: File names under which other makers' profiles of the same print conditions are known.
_USUAL_FILES = {
    "ISO_Coated": ("ISOcoated_v2_eci.icc", "CoatedFOGRA39.icc"),
    "ISO_Uncoated": ("ISOuncoated.icc", "UncoatedFOGRA29.icc"),
    "USWeb_Coated": ("SWOP2006_Coated3v2.icc", "WebCoatedSWOP2006Grade3.icc"),
    "USWeb_Uncoated": ("GRACoL2013UNC_CRPC3.icc",),
}

_SYSTEM_FOLDERS = (
    "/usr/share/color/icc",
    "/usr/local/share/color/icc",
    "~/.local/share/icc",
    "~/.color/icc",
    "/Library/ColorSync/Profiles",
    "~/Library/ColorSync/Profiles",
)

_MAX_BYTES = 32 * 1024 * 1024
_SPACES = {b"RGB ": "RGB", b"CMYK": "CMYK"}
_OUTPUT_CLASSES = (b"prtr", b"mntr", b"spac")

ReadUri = Callable[[str], bytes]


@dataclass(frozen=True)
class Profile:
    """A colour profile that photos can be converted to.

    :param name: as the output names it.
    :param data: the ICC file.
    :param color_space: ``RGB`` or ``CMYK``.
    """

    name: str
    data: bytes = field(repr=False)
    color_space: str


def load_profiles(
    outputs: Iterable[OutputSpec],
    *,
    directories: Sequence[str | os.PathLike[str]] = (),
    read_uri: ReadUri | None = None,
) -> dict[str, Profile]:
    """Load every profile that the outputs name, by that name; ``sRGB`` needs no file.

    :param directories: folders to look in, before the one that ``AUTOENHANCE_ICC_DIRECTORY`` names.
    :param read_uri: reads a profile given by URI, such as ``s3://...``.
    :raises SettingsError: one is missing, is not an ICC profile, or is not of the output's colour space.
    """
    loaded: dict[str, Profile] = {}
    for output in outputs:
        name = output.profile_name
        if name is None or name == "sRGB":
            continue
        profile = loaded.get(name) or load_profile(name, directories=directories, read_uri=read_uri)
        if profile.color_space != output.color_space:
            raise SettingsError(
                f"color_profile {profile.name} is {profile.color_space}, but color_space says {output.color_space}."
            )
        loaded[name] = profile
    return loaded


def load_profile(
    name: str, *, directories: Sequence[str | os.PathLike[str]] = (), read_uri: ReadUri | None = None
) -> Profile:
    """Load a profile by its name, path or URI. See :func:`load_profiles`."""
    shown = redact_url(name) if "://" in name else name
    if "://" in name and not name.startswith("file://"):
        if read_uri is None:
            raise SettingsError(f"color_profile {shown} cannot be read here; give the path of a file.")
        return _checked(shown, read_uri(name))
    folders = [Path(each).expanduser() for each in (*directories, os.environ.get(VARIABLE, "")) if str(each).strip()]
    path = _print_profile(name, folders) if name in PRINT_PROFILES else _own_file(name.removeprefix("file://"), folders)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SettingsError(f"color_profile {shown}: {path} is larger than any ICC profile.")
        return _checked(shown, path.read_bytes())
    except OSError as error:
        raise SettingsError(f"color_profile {shown}: {path} cannot be read ({error.strerror}).") from None


def _print_profile(name: str, folders: Sequence[Path]) -> Path:
    """The user's own of that name, else the package's, else the system's: so outputs do not depend on what a worker has installed."""
    wanted = (f"{name}.icc", f"{name}.icm", *_USUAL_FILES[name])
    found = next(_matches(folders, wanted), None)
    if found:
        return found
    if name in _CARRIED_FILES:
        return CARRIED / _CARRIED_FILES[name]
    system = [Path(each).expanduser() for each in _SYSTEM_FOLDERS]
    found = next(_matches(system, _USUAL_FILES[name]), None)
    if found:
        return found
    raise SettingsError(
        f"color_profile {name} is not carried by this package: get {_USUAL_FILES[name][0]} from idealliance.org or Debian's package "
        f"icc-profiles, and put it into a folder that the connection's extra 'icc_directory' or {VARIABLE} names, or give its path as "
        "color_profile."
    )


def _own_file(name: str, folders: Sequence[Path]) -> Path:
    path = Path(name).expanduser()
    if path.is_absolute() or path.exists():
        return path
    if len(path.parts) == 1:
        found = next(_matches(folders, (name,)), None)
        if found:
            return found
    known = ", ".join((*PRINT_PROFILES, "sRGB"))
    raise SettingsError(f"color_profile {name!r} is neither a file nor one of {known}.")


def _matches(folders: Iterable[Path], names: Iterable[str]) -> Iterator[Path]:
    wanted = {name.lower(): rank for rank, name in enumerate(names)}
    for folder in folders:
        found = [path for path in folder.rglob("*") if path.name.lower() in wanted and path.is_file()]
        yield from sorted(found, key=lambda path: (wanted[path.name.lower()], str(path)))


def _checked(name: str, data: bytes) -> Profile:
    """Look at the header: an ICC profile whose colours can be converted to, of a size that it states itself."""
    space = _SPACES.get(data[16:20])
    whole = data[36:40] == b"acsp" and int.from_bytes(data[:4], "big") <= len(data) <= _MAX_BYTES
    if not whole:
        raise SettingsError(f"color_profile {name} is not an ICC profile, or is cut short.")
    if space is None or data[12:16] not in _OUTPUT_CLASSES:
        raise SettingsError(f"color_profile {name} is neither an RGB nor a CMYK output profile.")
    return Profile(name, data, space)
