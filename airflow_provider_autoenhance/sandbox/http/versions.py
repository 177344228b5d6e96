"""What each dated API version adds and takes away."""

from __future__ import annotations

from dataclasses import dataclass

#: AI versions that each API version knows; the SDKs of its time raise on any other.
_AI_UNTIL_2025 = frozenset(
    ["dev", "4.x", "4.7", "4.5", "4.4", "4.3", "4.2", "4.1", "4.0", "3.x", "3.5", "3.4", "3.3", "3.2", "3.1", "3.0"]
)
_AI_OF_2025 = _AI_UNTIL_2025 | {"5.x", "5.0"}
_AI_SINCE = _AI_OF_2025 | frozenset(["latest", "stable", "beta", "5.1", "5.2", "5.3"])
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
    """An ``x-api-version``, or what an account has without one.

    :param date: in ISO 8601; such dates compare as text.
    :param account_shape: name of an image's upload URL where the request names no version; None where it does.
    :param flags_beside_status: whether ``status`` and the older flags stand side by side, instead of one after the other.
    :param window_pull_type_from: first version that knows ``window_pull_type``.
    """

    date: str
    account_shape: str | None = None
    flags_beside_status: bool = True
    window_pull_type_from: str = "2025-05-05"

    @property
    def has_sorted_orders(self) -> bool:
        return self.date >= "2026-11-09"

    def upload_url_key(self, kind: str) -> str:
        """Return under which name an answer hands out an upload URL.

        :param kind: ``image_id`` or ``bracket_id``.
        """
        of_image = kind == "image_id"
        if self.account_shape:
            return "upload_url" if self.account_shape == "s3PutObjectUrl" and not of_image else self.account_shape
        if self.date >= "2026-11-09":
            return "upload_file_url"
        return "s3PutObjectUrl" if of_image and not self.has_brackets else "upload_url"

    @property
    def has_brackets(self) -> bool:
        return self.date >= "2025-05-05"

    @property
    def has_status(self) -> bool:
        return self.flags_beside_status or self.date >= "2024-07-01"

    @property
    def has_flags(self) -> bool:
        return self.flags_beside_status or self.date < "2024-07-01"

    @property
    def has_image_type(self) -> bool:
        return self.date <= "2025-01-01" if self.flags_beside_status else self.date < "2024-07-01"

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
        return self.date >= self.window_pull_type_from

    @property
    def has_window_pull(self) -> bool:
        return self.date < "2025-08-31"

    @property
    def has_restage(self) -> bool:
        return self.date >= "2025-08-31"

    @property
    def has_restage_sky(self) -> bool:
        return self.date >= "2026-07-01"

    @property
    def has_perspective(self) -> bool:
        return self.date >= "2026-09-02"

    @property
    def has_sort_order(self) -> bool:
        return self.date >= "2026-10-01"

    def ai_version(self, wanted: str | None) -> str:
        """Choose the AI version that an answer names: one that existed at this API version.

        :param wanted: as the caller asked for it; None is the account's, which is ``5.x``.
        """
        if not self.has_brackets:
            return wanted if wanted in _AI_UNTIL_2025 else "4.7"
        if self.date < "2025-08-31":
            return wanted if wanted in _AI_OF_2025 and wanted != "5.x" else "5.0"
        if wanted == "5.x":
            return "5.3"
        return wanted if wanted in _AI_SINCE else "latest"
