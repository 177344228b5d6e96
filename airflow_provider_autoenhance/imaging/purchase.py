"""Which outputs Autoenhance renders itself, and which are encoded here from one lossless download. One credit either way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.imaging.naming import folded, output_name
from airflow_provider_autoenhance.imaging.output import AS_RENDERED, OutputSpec

#: Rendering that local outputs are encoded from: every pixel as it is, at full width.
SOURCE_QUERY = {"format": "png"}


@dataclass(frozen=True)
class Purchase:
    """How the outputs of a photo are come by. The first full-size download spends a credit; the others are free.

    :param outputs: all of them, in the order given, their formats filled in.
    :param rendered: those that the API renders; each is a download of its own, with ``query()``.
    :param converted: those that are encoded here, all from one download with ``SOURCE_QUERY``.
    """

    outputs: tuple[OutputSpec, ...]
    rendered: tuple[OutputSpec, ...]
    converted: tuple[OutputSpec, ...]

    def queries(self) -> list[dict[str, str]]:
        """Query parameters of every download that it takes, the lossless one first."""
        return [dict(SOURCE_QUERY)] * bool(self.converted) + [output.query() for output in self.rendered]


def plan_outputs(outputs: Iterable[OutputSpec]) -> Purchase:
    """Decide what is rendered and what is encoded here.

    As soon as one output needs local encoding, all are encoded here from the same pixels, except JPEG XL, which only the API writes, and
    what is asked for as the API renders it.

    :raises SettingsError: two outputs would have the same name.
    """
    outputs = tuple(output.with_format() for output in outputs)
    output_names(outputs, "folder/photo.dng", fingerprint="0" * 8)
    if not any(output.why_local() for output in outputs):
        return Purchase(outputs, rendered=outputs, converted=())
    return Purchase(
        outputs,
        rendered=tuple(output for output in outputs if _is_the_apis(output)),
        converted=tuple(output for output in outputs if not _is_the_apis(output)),
    )


def _is_the_apis(output: OutputSpec) -> bool:
    return output.format == "jxl" or output.quality == AS_RENDERED


def output_names(
    outputs: Sequence[OutputSpec], path: str, *, fingerprint: str = "", template: str | None = None
) -> list[str]:
    """Paths of a photo's outputs below the destination folder, in their order.

    :param path: the photo's path or name.
    :param template: for outputs without a ``name_template`` of their own.
    :raises SettingsError: two would be the same file, also where a file system ignores case.
    """
    names: list[str] = []
    for output in outputs:
        format = output.format or "jpeg"
        name = output_name(path, format, template=output.name_template or template, fingerprint=fingerprint)
        if folded(name) in map(folded, names):
            raise SettingsError(
                f"two outputs would both be named {name!r}; give one a name_template, for example '{{folder}}{{stem}}-{len(names) + 1}'."
            )
        names.append(name)
    return names
