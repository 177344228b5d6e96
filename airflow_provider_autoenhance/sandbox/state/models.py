"""The things the sandbox keeps: accounts, orders, images, brackets."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_autoenhance.sandbox.photo.files import Asset, Upload


@dataclass(slots=True)
class Account:
    user_id: str
    credits: int
    spent: int = 0
    enhancements: dict[str, int] = field(default_factory=dict)
    name_uses: dict[str, deque[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Image:
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
    bracket_ids: list[str] = field(default_factory=list)
    original: Asset | None = None
    enhanced: Asset | None = None
    processing_runs: int = 0

    def refresh(self, now: float) -> None:
        """Expire an image whose upload URL ran out unused."""
        if self.status == "waiting" and now >= self.upload_expires_at:
            self.status = "expired"
            self.status_reason = "No file was uploaded before the upload URL expired."


@dataclass(slots=True)
class Bracket:
    bracket_id: str
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


@dataclass(slots=True)
class Order:
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
    bracket_ids: list[str] = field(default_factory=list)
