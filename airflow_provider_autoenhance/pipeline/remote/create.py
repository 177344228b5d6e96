"""Make an image or an exposure, unless it is there already. What a lost answer left behind is found before anything is made again.

An exposure is one file of a bracketed shot. The API calls it a bracket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Bracket, Image, ImageStatus, Order
from airflow_provider_autoenhance.api.settings import WireSettings
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.remote.identity import (
    MOST_IDS,
    chosen_image_id,
    is_chosen_for,
    is_own,
    name_of,
    same_as,
)
from airflow_provider_autoenhance.pipeline.remote.images import (
    WITH_BYTES,
    check_whole,
    ensure_order,
    find_image,
    rank,
    read_order,
)
from airflow_provider_autoenhance.pipeline.remote.style import Style, seen_settings
from airflow_provider_autoenhance.pipeline.remote.ticket import Kind, UploadTicket

T = TypeVar("T")

log = logging.getLogger(__name__)

#: How often an act whose answer got lost is tried.
_TRIES = 3


@dataclass(frozen=True)
class Made:
    """What exists at Autoenhance.

    :param ticket: says where its bytes go; without ``upload_url`` they are there already.
    :param status: of an image.
    :param seen: an image's settings, as answered.
    :param details: all that the API answered of an image.
    """

    id: str
    ticket: UploadTicket
    status: ImageStatus = ImageStatus.WAITING
    seen: Mapping[str, Any] = field(default_factory=dict, compare=False)
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def adopted(self) -> bool:
        """Whether it has its bytes, from an earlier try or another task."""
        return not self.ticket.upload_url

    @property
    def label(self) -> str:
        """Name and id, for messages."""
        return f"{self.ticket.noun} {self.ticket.image_name!r} ({self.id})"


def ensure(
    hook: AutoenhanceHook,
    wanted: UploadTicket,
    *,
    order_name: str | None = None,
    check: Callable[[str, Mapping[str, Any]], None] = lambda label, metadata: None,
    fresh: bool = False,
) -> Made:
    """Adopt what an earlier try or another task made, or make it.

    What is adopted: the same image or exposure (see :mod:`.identity`) with its bytes; an image that has other settings by now, or that was
    bought and has failed since, is enhanced again. An earlier one that still waits for its bytes (its upload URL cannot be read again),
    failed or expired is deleted and made again.

    An image gets an id of our choice, the same at each try: so it is not made twice, and what a lost answer left is read by its id. One
    that was a deleted image's is followed by the next. Where Autoenhance chooses another, or refuses ours, the order is searched.

    :param wanted: what to create; its ``metadata`` holds the marks.
    :param order_name: name of the order, where images have none yet and it is to be made. ``None``: leave that to Autoenhance.
    :param check: called with the label and metadata of what is about to be adopted or deleted; raises to refuse.
    :param fresh: the caller has looked, and the order does not exist.
    :raises ConflictError: the order was deleted, and its id cannot be taken again.
    :raises AutoenhanceError: when the order cannot be read whole, because "unknown" is not "absent".
    """

    making = _Making(hook, wanted, order_name, check)
    return (None if fresh else making.search()) or once(making.create, making.find)


class _Making:
    """The making of one image or exposure: see :func:`ensure`."""

    def __init__(
        self,
        hook: AutoenhanceHook,
        wanted: UploadTicket,
        order_name: str | None,
        check: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self._hook, self._wanted, self._order_name, self._check = hook, wanted, order_name, check
        self._ids_left = MOST_IDS if wanted.kind == "image" else 0

    @property
    def _chosen(self) -> str | None:
        """The id to be taken; ``None`` where Autoenhance is to choose it."""
        if not self._ids_left:
            return None
        return chosen_image_id(self._wanted.order_id, self._wanted.metadata, MOST_IDS - self._ids_left)

    def create(self) -> Made:
        while (chosen := self._chosen) is not None:
            try:
                return _create(self._hook, self._wanted, chosen)
            except errors.ConflictError:
                if found := self.find():
                    return found
                if self._wanted.order_id and read_order(self._hook, self._wanted.order_id, whole=False) is None:
                    raise  # it is the order's id that cannot be taken
                if self._chosen == chosen:
                    self._ids_left -= 1
            except errors.InvalidRequestError:
                self._ids_left = 0  # an API that chooses ids itself may refuse ours; anything else it refuses once more
        return _create(self._hook, self._wanted)

    def find(self) -> Made | None:
        """What a lost answer left: by its id, which an API that chooses ids itself does not know; else by a search."""
        image = find_image(self._hook, self._chosen) if self._chosen else None
        if image is None:
            return self.search()
        self._allow(image)
        if _has_bytes(image):
            return self._adopt(image)
        self._drop(image)
        return None

    def search(self) -> Made | None:
        wanted = self._wanted
        order, there = _listed(self._hook, wanted, self._order_name)
        ready = [each for each in there if _has_bytes(each)]
        found = same_as(
            ready, wanted.image_name, wanted.metadata, order_id=wanted.order_id, only_ours=bool(self._order_name)
        )
        same = next(iter(found), None)
        if same is not None:
            self._allow(same)
        elif order is not None:
            check_whole(order)
        for each in there:
            own = is_own(each, wanted.metadata) or is_chosen_for(each, wanted.order_id, wanted.metadata)
            if own and each not in ready:
                self._allow(each)
                self._drop(each)
        return None if same is None else self._adopt(same)

    def _allow(self, each: Image | Bracket) -> None:
        self._check(f"{self._wanted.noun} {name_of(each)!r}", each.metadata)

    def _adopt(self, same: Image | Bracket) -> Made:
        return _made(_as_asked(self._hook, same, self._wanted), self._wanted)

    def _drop(self, useless: Image | Bracket) -> None:
        made_id = _made(useless, self._wanted).id
        discard(self._hook, self._wanted.kind, made_id)
        if made_id == self._chosen:
            self._ids_left -= 1  # nobody knows whether it may be taken again


def discard(hook: AutoenhanceHook, kind: Kind, made_id: str) -> None:
    """Delete what will get no bytes. Only one integration shows the call for exposures; one that stays is harmless."""
    if kind == "image":
        hook.delete_image(made_id)
        return
    try:
        hook.delete_bracket(made_id)
    except Exception as error:  # noqa: BLE001 - it is not needed for anything
        found = errors.unexpected(error, f"exposure {made_id}")
        log.warning("Exposure %s stays in its order, unused: %s", made_id, found)


def once(
    act: Callable[[], T],
    find: Callable[[], T | None],
    lost: tuple[type[errors.AutoenhanceError], ...] = (errors.ServerError, errors.UnreachableError),
) -> T:
    """Do something whose answer may get lost. It is done again only after a look whether it was done.

    :param find: returns what a lost answer left, ``None`` where it left nothing.
    :param lost: errors after which it may have been done.
    :raises AutoenhanceError: it did not reach the server, or its answer got lost three times.
    """
    for left in reversed(range(_TRIES)):
        try:
            return act()
        except lost as error:
            if isinstance(error, errors.UnreachableError) and not error.maybe_received:
                raise
            found = find()
            if found is not None:
                log.warning("%s But it was done.", error)
                return found
            if not left:
                raise
    raise AssertionError("unreachable")


def _listed(
    hook: AutoenhanceHook, wanted: UploadTicket, order_name: str | None
) -> tuple[Order | None, Sequence[Image | Bracket]]:
    """The order of an image, and what it holds, the best first."""
    if wanted.kind == "bracket":
        return None, sorted(hook.list_brackets(str(wanted.order_id)), key=lambda exposure: exposure.bracket_id)
    order = read_order(hook, wanted.order_id, whole=False) if wanted.order_id else None
    if order is None and wanted.order_id and order_name:
        order = ensure_order(hook, wanted.order_id, order_name)
    return order, [*sorted(order.originals, key=rank)] if order else []


def _as_asked(hook: AutoenhanceHook, same: Image | Bracket, wanted: UploadTicket) -> Image | Bracket:
    """Have an image enhanced again, for nothing, that somebody had enhanced with other settings than are wanted."""
    if not isinstance(same, Image):
        return same
    lacking = Style(wanted.settings).lacks(seen_settings(same))
    if same.status is ImageStatus.ERROR:
        log.warning("%s was bought, and has failed since; it is enhanced again, which is free", same.label)
        return hook.process_image(same.image_id, settings=lacking or WireSettings(wanted.settings))
    if not lacking:
        return same
    log.warning(
        "%s has been enhanced with other settings since; it is enhanced again as asked, which is free", same.label
    )
    return hook.process_image(same.image_id, settings=lacking)


def _has_bytes(made: Image | Bracket) -> bool:
    if not isinstance(made, Image):
        return made.is_uploaded
    return made.status in WITH_BYTES or (made.status is ImageStatus.ERROR and made.downloaded)


def _create(hook: AutoenhanceHook, wanted: UploadTicket, image_id: str | None = None) -> Made:
    name, order_id, metadata = wanted.image_name, wanted.order_id, wanted.metadata
    if wanted.kind == "bracket":
        created = hook.create_bracket(name, order_id=str(order_id), metadata=metadata)
        return _made(created.bracket, wanted, created.upload_url)
    image = hook.create_image(
        name,
        image_id=image_id,
        order_id=order_id,
        settings=WireSettings(wanted.settings),
        metadata=metadata,
        content_type=wanted.content_type,
    )
    return _made(image.image, wanted, image.upload_url)


def _made(thing: Image | Bracket, wanted: UploadTicket, upload_url: str = "") -> Made:
    ticket = replace(wanted, order_id=thing.order_id or wanted.order_id, upload_url=upload_url)
    if isinstance(thing, Image):
        return Made(thing.image_id, ticket, thing.status, seen_settings(thing), thing.details)
    return Made(thing.bracket_id, ticket)
