"""What the sandbox keeps: accounts, orders, images, exposures. Times are seconds since the epoch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_autoenhance.sandbox.photo.files import Asset, Upload


@dataclass(slots=True)
class Account:
    """The holder of an API key.

    :param enhancements: UTC day to their number.
    :param name_uses: file name to the times of its use within the last hour.
    """

    user_id: str
    credits: int
    spent: int = 0
    enhancements: dict[str, int] = field(default_factory=dict)
    name_uses: dict[str, deque[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Image:
    """An image at Autoenhance, made of one upload or of a bracket.

    :param settings: preferences as the caller gave them.
    :param downloaded: whether it is paid for.
    :param revision: number of the current processing run; older runs are dropped.
    :param upload: its file; None for a bracket.
    :param exposure_ids: those of a bracket.
    :param processing_runs: all that were started.
    :param exposure_id: under which its order lists its upload among the exposures.
    :param parent_id: the image that it is a premium edit of.
    """

    image_id: str
    name: str
    order_id: str
    user_id: str
    created_at: float
    upload_expires_at: float
    settings: dict[str, Any]
    metadata: dict[str, Any] | None = None
    rating: int | None = None
    content_type: str | None = None
    status: str = "waiting"
    status_reason: str | None = None
    scene: str | None = None
    downloaded: bool = False
    deleted: bool = False
    revision: int = 0
    upload: Upload | None = None
    exposure_ids: list[str] = field(default_factory=list)
    original: Asset | None = None
    enhanced: Asset | None = None
    processing_runs: int = 0
    exposure_id: str = ""
    parent_id: str | None = None

    def refresh(self, now: float) -> None:
        """Expire an image whose upload URL ran out unused."""
        if self.status == "waiting" and now >= self.upload_expires_at:
            self.status = "expired"
            self.status_reason = "No file was uploaded before the upload URL expired."


@dataclass(slots=True)
class Exposure:
    """One file of a bracketed shot; the vendor calls it a "bracket".

    :param image_id: the image that it became part of.
    :param of_image: the image whose upload it is; empty where it was registered as an exposure.
    :param legacy_image: whether it was created as an image with ``hdr``, as API versions up to 2025-01-01 do.
    """

    exposure_id: str
    name: str
    order_id: str
    user_id: str
    created_at: float
    metadata: dict[str, Any] | None = None
    content_type: str | None = None
    upload: Upload | None = None
    image_id: str | None = None
    deleted: bool = False
    legacy_image: bool = False
    of_image: str = ""

    @property
    def is_free(self) -> bool:
        """Whether it may go into an image; the upload of a plain image may do so once more."""
        return self.image_id in (None, self.of_image or None)


@dataclass(slots=True)
class Order:
    """Images and exposures that were sent together.

    :param sequence: its number in order of creation.
    """

    order_id: str
    user_id: str
    sequence: int
    created_at: float
    updated_at: float
    name: str | None = None
    sort_order: str | None = None
    is_merging: bool = False
    is_deleted: bool = False
    image_ids: list[str] = field(default_factory=list)
    exposure_ids: list[str] = field(default_factory=list)
