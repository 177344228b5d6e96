"""Everything that the sandbox remembers from one reset to the next."""

from __future__ import annotations

import asyncio
import base64
import random
import secrets
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_autoenhance.sandbox.errors import ApiError, not_found
from airflow_provider_autoenhance.sandbox.photo.files import Asset, Upload
from airflow_provider_autoenhance.sandbox.state.models import Account, Exposure, Image, Order
from airflow_provider_autoenhance.sandbox.state.settings import Settings
from airflow_provider_autoenhance.sandbox.state.signing import Signer

HOUR = 3600.0


class World:
    """Accounts, orders, images and what happened to them.

    Only the event loop touches it, so it needs no lock. A reset replaces it. Work that is still under way keeps the old one
    and finds it ``closed``.

    :param settings: behaviour of this run.
    :param api_keys: one account each.
    :param folder: where files go.
    """

    def __init__(self, settings: Settings, api_keys: list[str], folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.closed = False
        self.signer = Signer(secrets.token_bytes(32))
        self.random = random.Random(settings.seed)
        self.accounts = {
            key: Account(f"auth0|sandbox{number}", settings.credits) for number, key in enumerate(api_keys, 1)
        }
        self.orders: dict[str, Order] = {}
        self.images: dict[str, Image] = {}
        self.exposures: dict[str, Exposure] = {}
        self.assets: dict[str, Asset] = {}
        self.asset_names: dict[str, str] = {}
        self.upload_keys: dict[str, tuple[str, str]] = {}
        #: The Content-Types that an upload may have.
        self.upload_types: dict[str, frozenset[str]] = {}
        #: Exposures that a merge under way has taken.
        self.claimed: set[str] = set()
        self.merges: Counter[str] = Counter()
        self.renders: dict[Any, asyncio.Future[Asset]] = {}
        self.uploads: list[dict[str, Any]] = []
        self.purchases: list[dict[str, Any]] = []
        self.deletions: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.deliveries: list[dict[str, Any]] = []
        self.requests: Counter[str] = Counter()
        self.responses: Counter[str] = Counter()
        self.api_key_hosts: Counter[str] = Counter()
        self._second: tuple[int, Counter[str]] = (0, Counter())
        self._sequence = 0
        for name in ("uploads", "masters", "renders"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def now(self) -> float:
        """Return the sandbox's time in seconds since the epoch."""
        return time.time() + self.settings.clock_offset_seconds

    def change(self, changes: dict[str, Any]) -> None:
        """Apply new settings. A new ``credits`` becomes every account's balance.

        :param changes: names of settings to new values.
        """
        self.settings = self.settings.changed(changes)
        if "credits" in changes:
            for account in self.accounts.values():
                account.credits = self.settings.credits
        if "seed" in changes:
            self.random.seed(self.settings.seed)

    # Orders

    def live_orders(self, user_id: str) -> Iterator[Order]:
        """Yield an account's orders that are not deleted, oldest first.

        :param user_id: the account.
        """
        return (order for order in self.orders.values() if order.user_id == user_id and not order.is_deleted)

    def order(self, order_id: str, user_id: str | None = None) -> Order:
        """Find a live order.

        :param order_id: its id.
        :param user_id: owner that it must have; None accepts any.
        :raises ApiError: 404.
        """
        order = self.orders.get(order_id)
        if order is None or order.is_deleted or user_id not in (None, order.user_id):
            raise not_found()
        return order

    def add_order(self, user_id: str, order_id: str | None = None, name: str | None = None) -> Order:
        """Make an order.

        :param user_id: its owner.
        :param order_id: None = a new one.
        :param name: as the caller gave it, if it did.
        :raises ApiError: 409 when the id is taken.
        """
        order_id = order_id or str(uuid.uuid4())
        taken = self.orders.get(order_id)
        if taken and not (taken.is_deleted and self.settings.reuse_deleted_ids):
            raise ApiError(409)
        self._sequence += 1
        now = self.now()
        order = Order(order_id, user_id, self._sequence, now, now, name)
        self.orders[order_id] = order
        return order

    def order_for_image(self, user_id: str, order_id: str | None) -> Order:
        """Find the order that a new image names, or make it, as the vendor does.

        :param user_id: the image's owner.
        :param order_id: as the image names it, if it does.
        :raises ApiError: 404 for an order of another account.
        """
        if order_id and order_id in self.orders and not self.orders[order_id].is_deleted:
            return self.order(order_id, user_id)
        return self.add_order(user_id, order_id)

    def order_images(self, order: Order) -> list[Image]:
        now = self.now()
        images = [self.images[image_id] for image_id in order.image_ids]
        for image in images:
            image.refresh(now)
        return [image for image in images if not image.deleted]

    def order_exposures(self, order: Order) -> list[Exposure]:
        exposures = (self.exposures[exposure_id] for exposure_id in order.exposure_ids)
        return [exposure for exposure in exposures if not exposure.deleted]

    def order_is_processing(self, order: Order) -> bool:
        return any(image.status == "processing" for image in self.order_images(order))

    # Images and exposures

    def image(self, image_id: str, user_id: str | None = None) -> Image:
        """Find a live image.

        :param image_id: its id.
        :param user_id: owner that it must have; None accepts any.
        :raises ApiError: 404.
        """
        image = self.images.get(image_id)
        if image is None or image.deleted or user_id not in (None, image.user_id):
            raise not_found()
        image.refresh(self.now())
        return image

    def exposure(self, exposure_id: str, user_id: str | None = None) -> Exposure:
        """Find a live exposure.

        :param exposure_id: its id.
        :param user_id: owner that it must have; None accepts any.
        :raises ApiError: 404.
        """
        exposure = self.exposures.get(exposure_id)
        if exposure is None or exposure.deleted or user_id not in (None, exposure.user_id):
            raise not_found()
        return exposure

    def write_metadata(self, made: Image | Exposure, words: dict[str, Any]) -> None:
        """Write into the metadata of an image or exposure, as Autoenhance does.

        :param made: the image or exposure.
        :param words: what is written.
        """
        kept = made.metadata if self.settings.metadata_written == "beside" else None
        if self.settings.metadata_written != "never":
            made.metadata = {**(kept or {}), **words}

    def register_upload(self, image: Image, upload: Upload) -> None:
        """List the upload of an image among its order's exposures, as Autoenhance does with every upload.

        :param image: the image.
        :param upload: its file.
        """
        exposure = self.exposures.get(image.exposure_id)
        if exposure is None:
            image.exposure_id = str(uuid.uuid4())
            exposure = Exposure(image.exposure_id, image.name, image.order_id, image.user_id, self.now())
            exposure.image_id, exposure.of_image = image.image_id, image.image_id
            self.exposures[exposure.exposure_id] = exposure
            self.orders[image.order_id].exposure_ids.append(exposure.exposure_id)
        exposure.upload, exposure.metadata = upload, image.metadata

    def is_uploaded(self, exposure: Exposure) -> bool:
        upload = exposure.upload
        return upload is not None and self.now() >= upload.at + self.settings.upload_flag_lag_seconds

    def delete(self, kind: str, identifier: str) -> None:
        self.deletions.append({"kind": kind, "id": identifier, "at": self.now()})

    # Limits

    def count_name(self, account: Account, name: str) -> None:
        """Count one use of a file name.

        :param account: who uses it.
        :param name: the file name.
        :raises ApiError: 429 when the very same name was used too often within the hour.
        """
        limit = self.settings.same_name_limit
        uses = account.name_uses.setdefault(name, deque())
        now = self.now()
        while uses and uses[0] <= now - HOUR:
            uses.popleft()
        if limit and len(uses) >= limit:
            raise self.too_many()
        uses.append(now)

    def count_request(self, client: str) -> None:
        """Count one API call of a client address.

        :param client: the address.
        :raises ApiError: 429 above the allowed calls per second.
        """
        second, counts = self._second
        now = int(self.now())
        if now != second:
            counts = Counter()
            self._second = (now, counts)
        counts[client] += 1
        if 0 < self.settings.requests_per_second < counts[client]:
            raise self.too_many()

    def too_many(self) -> ApiError:
        wait = self.settings.retry_after
        return ApiError(429, headers={} if wait is None else {"Retry-After": str(wait)})

    def may_enhance(self, user_id: str) -> bool:
        """Count one enhancement of today.

        :param user_id: whose image it is.
        :returns: False when the daily limit is used up.
        """
        account = next(account for account in self.accounts.values() if account.user_id == user_id)
        day = time.strftime("%Y-%m-%d", time.gmtime(self.now()))
        used = account.enhancements.get(day, 0)
        if 0 < self.settings.daily_limit <= used:
            return False
        account.enhancements[day] = used + 1
        return True

    def price(self, image: Image) -> int:
        """Return the credits that the first full-size download of an image costs."""
        return self.settings.child_credits if image.parent_id else 1

    def buy(self, account: Account, image: Image) -> None:
        """Charge for an image that is not paid for yet.

        :param account: who pays.
        :param image: what is paid for.
        :raises ApiError: 402 without credits.
        """
        if image.downloaded:
            return
        price = self.price(image)
        if account.credits < price:
            raise ApiError(402)
        account.credits -= price
        account.spent += price
        image.downloaded = True
        bought = {"image_id": image.image_id, "user_id": account.user_id, "credits": price, "at": self.now()}
        self.purchases.append(bought)


def page_token(sequence: int) -> str:
    """Return the opaque offset of a page.

    :param sequence: number of the order that the page starts behind.
    """
    return base64.urlsafe_b64encode(f"after:{sequence}".encode()).decode()


def page_start(token: str) -> int | None:
    """Read a page token.

    :param token: as :func:`page_token` made it.
    :returns: the sequence number to start behind; None = from the first.
    :raises ValueError: for a token that the sandbox did not make.
    """
    if token in ("", "0"):
        return None
    prefix, _, number = base64.urlsafe_b64decode(token.encode("ascii")).decode("ascii").partition(":")
    if prefix != "after" or not number.isdigit():
        raise ValueError(token)
    return int(number)
