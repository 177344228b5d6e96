"""What each dated API version adds and takes away."""

from __future__ import annotations

from dataclasses import dataclass

SDK_AI_VERSIONS = frozenset(
    [
        "dev",
        "5.x",
        "5.0",
        "4.x",
        "4.7",
        "4.5",
        "4.4",
        "4.3",
        "4.2",
        "4.1",
        "4.0",
        "3.x",
        "3.5",
        "3.4",
        "3.3",
        "3.2",
        "3.1",
        "3.0",
    ],
)
_CHANNELS = frozenset(["latest", "stable", "beta", "5.1", "5.2", "5.3"])
SLIDERS = (
    "brightness_boost",
    "brightness_boost_external",
    "brightness_boost_internal",
    "contrast_boost",
    "contrast_boost_external",
    "contrast_boost_internal",
    "clarity_level",
    "denoise_level",
    "saturation_level",
    "sharpen_level",
)


@dataclass(frozen=True)
class Version:
    """An ``x-api-version``.

    :param date: in ISO 8601; such dates compare as text.
    """

    date: str

    @property
    def upload_url_key(self) -> str:
        return "upload_url" if self.has_brackets else "s3PutObjectUrl"

    @property
    def has_brackets(self) -> bool:
        return self.date >= "2025-05-05"

    @property
    def has_status(self) -> bool:
        return self.date >= "2024-07-01"

    @property
    def has_metadata_out(self) -> bool:
        return self.date >= "2024-09-01"

    @property
    def has_sliders(self) -> bool:
        return self.date < "2025-01-01"

    @property
    def previews_by_default(self) -> bool:
        return self.date >= "2024-11-01"

    @property
    def has_window_pull_type(self) -> bool:
        return self.date >= "2025-08-31"

    @property
    def has_perspective(self) -> bool:
        return self.date >= "2026-09-02"

    @property
    def has_sort_order(self) -> bool:
        return self.date >= "2026-10-01"

    def ai_version(self, wanted: str | None) -> str:
        """Choose the AI version that an answer names.

        API versions before 2025-08-31 answer with the closed list that their SDK accepts, later ones with channels too.

        :param wanted: as the caller asked for it.
        """
        known = SDK_AI_VERSIONS if self.date < "2025-08-31" else SDK_AI_VERSIONS | _CHANNELS
        if wanted in known:
            return wanted
        return "5.x" if self.date < "2025-08-31" else "latest"
