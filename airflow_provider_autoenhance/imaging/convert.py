"""From one lossless download to every output that is encoded here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from airflow_provider_autoenhance.api.errors import ConversionError, SourceError
from airflow_provider_autoenhance.imaging import color, decode, encode, metadata
from airflow_provider_autoenhance.imaging.budget import process_budget
from airflow_provider_autoenhance.imaging.cost import check_fits, megabytes_for, output_size
from airflow_provider_autoenhance.imaging.naming import EXTENSIONS
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.imaging.picture import Picture
from airflow_provider_autoenhance.imaging.profiles import Profile, ReadUri, load_profiles


@dataclass(frozen=True)
class ConvertedFile:
    """A file that was encoded here, with the facts for a manifest.

    :param path: where it lies.
    :param mime: Content-Type.
    :param size: bytes.
    :param dpi: written into the file, if any.
    :param color_space: ``RGB`` or ``CMYK``.
    :param color_profile: its name, or ``None`` where the file's pixels have none.
    :param notes: what could not be taken over from the source, in words.
    """

    path: Path
    output: OutputSpec
    format: str
    mime: str
    width: int
    height: int
    size: int
    dpi: int | None
    color_space: str
    color_profile: str | None
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return what belongs into a manifest's row."""
        names = ("format", "width", "height", "size", "dpi", "color_space", "color_profile")
        facts = {"content_type": self.mime} | {name: getattr(self, name) for name in names}
        return {name: value for name, value in facts.items() if value is not None} | (
            {"notes": list(self.notes)} if self.notes else {}
        )


@dataclass(frozen=True)
class Converter:
    """Encodes outputs. Made by :func:`converter_for`; safe to use from many threads.

    :param profiles: loaded colour profiles, by the name that outputs give them.
    """

    outputs: tuple[OutputSpec, ...]
    profiles: dict[str, Profile] = field(default_factory=dict, repr=False)

    def convert(
        self,
        source: Path | BinaryIO,
        folder: Path,
        *,
        about: str,
        look_at: Callable[[Picture], None] | None = None,
    ) -> list[ConvertedFile]:
        """Decode once, and write a file per output, in their order. Blocks while the process's memory budget is taken.

        :param source: a picture file; an open one must be seekable.
        :param folder: an existing one, for the files; the caller moves or deletes them.
        :param about: the image, for messages.
        :param look_at: gets the decoded picture, and leaves it as it is.
        :raises ConversionError: the picture is damaged, too large, or cannot be written in that format.
        """
        with process_budget().reserve(megabytes_for(decode.read_header(source, about=about), self.outputs)):
            try:
                return self._converted(source, folder, about, look_at)
            except ConversionError as error:
                message = str(error)
            except MemoryError:
                message = f"{about} does not fit into this worker's memory."
        raise ConversionError(message)  # a new one, because the first one's traceback holds the pixels

    def _converted(
        self, source: Path | BinaryIO, folder: Path, about: str, look_at: Callable[[Picture], None] | None
    ) -> list[ConvertedFile]:
        """Do it; the pixels are given back with this function's end, before the memory's reservation is."""
        picture = decode.decode(source, about=about)
        if look_at is not None:
            look_at(picture)
        return [
            self._write(picture, output, folder / f"{number}.{EXTENSIONS[output.format or 'jpeg']}", about)
            for number, output in enumerate(self.outputs)
        ]

    def _write(self, picture: Picture, output: OutputSpec, target: Path, about: str) -> ConvertedFile:
        notes = list(picture.notes)
        if picture.image.mode == "RGBA" and not encode.keeps_transparency(output):
            picture = replace(picture, image=color.flattened(picture.image))
            notes.append("transparency laid on white")
        image, profile = color.adapt(_scaled(picture, output), output, self.profiles)
        dpi = output.dpi or picture.dpi
        is_srgb = profile is None or profile == color.srgb()
        tags = metadata.for_output(picture.tags, size=image.size, dpi=dpi, is_srgb=is_srgb and image.mode != "CMYK")
        embedded = profile if output.embed_profile else None
        encode.encode(encode.Encoding(image, output, tags, embedded, dpi), target, about=about)
        return ConvertedFile(
            path=target,
            output=output,
            format=output.format or "jpeg",
            mime=f"image/{output.format or 'jpeg'}",
            width=image.width,
            height=image.height,
            size=target.stat().st_size,
            dpi=dpi,
            color_space="CMYK" if image.mode == "CMYK" else "RGB",
            color_profile=self._profile_name(output, profile),
            notes=tuple(notes),
        )

    def _profile_name(self, output: OutputSpec, profile: bytes | None) -> str | None:
        if profile is None:
            return None
        if profile == color.srgb():
            return "sRGB"
        known = self.profiles.get(output.profile_name or "")
        return known.name if known and known.data == profile else color.description(profile)


def converter_for(
    outputs: Iterable[OutputSpec],
    *,
    profile_directories: Sequence[str | os.PathLike[str]] = (),
    read_uri: ReadUri | None = None,
) -> Converter:
    """Check everything that can be checked before a credit is spent, and load the colour profiles.

    :param profile_directories: folders with ICC profiles.
    :param read_uri: reads a colour profile given by URI.
    :raises SettingsError: a library or a profile is missing, or a profile is damaged.
    """
    outputs = tuple(output.with_format() for output in outputs)
    for output in outputs:
        encode.check_library(output)
    process_budget()
    profiles = load_profiles(outputs, directories=profile_directories, read_uri=read_uri)
    color.check_profiles(profiles.values())
    return Converter(outputs, profiles)


def check_source(head: bytes, outputs: Iterable[OutputSpec], *, about: str) -> None:
    """Check by a photo's first bytes that its outputs will not be longer than their formats can hold; before anything is sent.

    What the first bytes do not show (of camera RAW, mostly) is found out when the photo is converted.

    :raises ConversionError: one would be.
    """
    try:
        header = decode.read_header(BytesIO(head), about=about)
    except ConversionError:
        return
    check_fits(outputs, header.width, header.height, about=about)


def to_uploadable(source: Path | BinaryIO, folder: Path, *, about: str) -> ConvertedFile:
    """Convert a photo that Autoenhance does not take (``sniff.CONVERTIBLE``) to PNG, with every pixel, EXIF and profile.

    :param source: a picture file; an open one must be seekable.
    :param folder: an existing one, for the file; the caller moves or deletes it.
    :raises SourceError: the photo is damaged, or too large.
    """
    converter = converter_for([OutputSpec(format="png", compression="fast")])
    try:
        (made,) = converter.convert(source, folder, about=about)
    except ConversionError as error:
        raise SourceError(str(error)) from None
    return made


def _scaled(picture: Picture, output: OutputSpec) -> Picture:
    """Scale a picture down as the output asks; never up."""
    from PIL import Image

    size = output_size(*picture.image.size, output)
    if size == picture.image.size:
        return picture
    return replace(picture, image=picture.image.resize(size, Image.Resampling.LANCZOS))
