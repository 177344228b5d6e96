"""Settings of the sandbox, chosen at start and changed while it runs (``POST /sandbox/settings``)."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

Range = tuple[float, float]
MOST_URL_CHARACTERS = 2000
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


class Settings(BaseModel):
    """Behaviour that can change while the sandbox runs.

    :param credits: balance of every account; each first full-size download of an image takes one.
    :param daily_limit: enhancements per account and UTC day; what is over it ends in ``error``. 0 = no limit.
    :param processing_seconds: shortest and longest enhancement, in seconds, drawn uniformly.
    :param merging_seconds: the same for grouping an order's exposures.
    :param render: ``enhance`` works on the pixels; ``copy`` hands the upload back, for load tests; ``copy-big`` does so
        too, but for what is asked for with ``max_width``, which is a grey picture.
    :param upload_url_seconds: life of an upload URL; an image never uploaded by then is ``expired``.
    :param upload_url_names_type: whether an upload URL names the Content-Type in its query, as the vendor's do.
    :param upload_flag_lag_seconds: how long ``is_uploaded`` of an exposure lags its upload.
    :param asset_url_seconds: life of the URL that a download redirects to.
    :param asset_hops: redirects before the bytes of a download, 1 or 2.
    :param max_upload_bytes: bigger uploads are answered with S3's ``EntityTooLarge``.
    :param upload_digests: whether uploads are hashed; without it, for load tests, their ETag is not an MD5, as S3's is not
        for multipart or KMS objects, and the ledger has no SHA-256.
    :param max_megapixels: bigger images end in ``error``.
    :param requests_per_second: per client address; more get 429. 0 = no limit.
    :param same_name_limit: uses of one file name per account and hour; more get 429. 0 = no limit.
    :param retry_after: seconds in a ``Retry-After`` header on those 429s; None sends no header.
    :param latency_ms: delay added to each API call, in milliseconds.
    :param account_api_version: the version that applies to calls without ``x-api-version``.
    :param account_shape: under which name these calls get an image's upload URL.
    :param flags_beside_status: whether ``enhanced`` and ``error`` stand beside ``status`` at every API version, and ``image_type`` and
        ``is_threesixty`` up to 2025-01-01; without it, the flags end and ``status`` begins on 2024-07-01.
    :param metadata_written: what becomes of the caller's ``metadata`` when Autoenhance writes into it, at an upload and when an order is
        processed: it stands ``beside`` what is written, which goes ``instead`` of it, or is ``never`` written.
    :param window_pull_type_from: first API version that knows ``window_pull_type``.
    :param preview_path_until: first API version without ``GET /v3/images/{id}/preview``.
    :param chosen_image_ids: whether an ``image_id`` in a creation is ``taken`` as the image's id, ``ignored``, or ``refused`` with 422.
    :param premium_edits: whether the accounts may have premium edits made; without it, 403.
    :param child_credits: credits that the first full-size download of a premium edit takes.
    :param child_order: whether a premium edit stands in its ``parent``'s order, or in one of its ``own``.
    :param child_metadata: whether a premium edit has its parent's metadata ``copied``, or ``none``.
    :param second_edit: what the same edit of the same image makes the second time: ``another`` image, or the ``same``.
    :param edit_answers: which image the answer to a premium edit shows: the ``child``, or its ``parent``.
    :param not_ready_status: status of a download before the image is ready, 404 or 422.
    :param strict: refuse fields that the contract doesn't name with 422, where the vendor ignores them.
    :param short_pages: list pages hold one order less than asked for, as the contract allows.
    :param reuse_deleted_ids: whether the id of a deleted order may be used again (else 409).
    :param fail_images: file name pattern (glob) to the ``status_reason`` its processing ends with.
    :param webhook_url: where events are posted, an http or https address without user info; None sends none.
    :param webhook_token: value of their ``Authentication`` header.
    :param webhook_attempts: tries per event; the vendor is not known to repeat any.
    :param webhook_copies: how often each event is sent, to try receivers with duplicates.
    :param clock_offset_seconds: shifts the sandbox's clock, to pass an hour or a day at once.
    :param seed: of every random choice.

    Example: ``{"processing_seconds": [0, 0.1], "daily_limit": 0}``.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    credits: int = Field(1000, ge=0)
    daily_limit: int = Field(500, ge=0)
    processing_seconds: Range = (1.0, 3.0)
    merging_seconds: Range = (0.2, 0.5)
    render: Literal["enhance", "copy", "copy-big"] = "enhance"
    upload_url_seconds: int = Field(3600, ge=1)
    upload_url_names_type: bool = True
    upload_flag_lag_seconds: float = Field(0.0, ge=0)
    asset_url_seconds: int = Field(300, ge=1)
    asset_hops: int = Field(2, ge=1, le=2)
    max_upload_bytes: int = Field(5 * 1024**3, ge=0)
    upload_digests: bool = True
    max_megapixels: float = Field(150.0, gt=0)
    requests_per_second: int = Field(300, ge=0)
    same_name_limit: int = Field(30, ge=0)
    retry_after: int | None = None
    latency_ms: float = Field(0.0, ge=0)
    account_api_version: str = Field("2025-08-31", pattern=DATE)
    account_shape: Literal["s3PutObjectUrl", "upload_url", "upload_file_url"] = "s3PutObjectUrl"
    flags_beside_status: bool = True
    metadata_written: Literal["beside", "instead", "never"] = "beside"
    window_pull_type_from: str = Field("2025-05-05", pattern=DATE)
    preview_path_until: str = Field("2025-08-31", pattern=DATE)
    chosen_image_ids: Literal["taken", "ignored", "refused"] = "taken"
    premium_edits: bool = True
    child_credits: int = Field(1, ge=0)
    child_order: Literal["parent", "own"] = "parent"
    child_metadata: Literal["copied", "none"] = "copied"
    second_edit: Literal["another", "same"] = "another"
    edit_answers: Literal["child", "parent"] = "child"
    not_ready_status: Literal[404, 422] = 404
    strict: bool = False
    short_pages: bool = False
    reuse_deleted_ids: bool = True
    fail_images: dict[str, str] = Field(default_factory=dict)
    webhook_url: str | None = Field(None, max_length=MOST_URL_CHARACTERS)
    webhook_token: str | None = Field(None, pattern=r"^[ -~]*$")
    webhook_attempts: int = Field(1, ge=1)
    webhook_copies: int = Field(1, ge=1)
    clock_offset_seconds: float = 0.0
    seed: int = 0

    @field_validator("processing_seconds", "merging_seconds")
    @classmethod
    def _ordered(cls, value: Range) -> Range:
        if not 0 <= value[0] <= value[1]:
            raise ValueError("must be MIN,MAX with 0 <= MIN <= MAX")
        return value

    @field_validator("webhook_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if not value:
            return value
        plain = value.isascii() and value.isprintable() and " " not in value and "\\" not in value
        parts = urlsplit(value if plain else "")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("must be an http or https address")
        if "@" in parts.netloc:
            raise ValueError("must hold no user name or password; the receiver checks webhook_token")
        return value

    def changed(self, changes: dict[str, Any]) -> Settings:
        """Return a checked copy with some fields replaced.

        :param changes: field names to new values.
        :raises pydantic.ValidationError: for an unknown field or a bad value.
        """
        return Settings.model_validate({**self.model_dump(), **changes})
