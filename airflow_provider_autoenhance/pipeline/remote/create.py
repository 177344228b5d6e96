"""Make an image or an exposure, unless it is there already. What a lost answer left behind is found before anything is made again.

An exposure is one file of a bracketed shot. The API calls it a bracket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Bracket, Image, ImageStatus, Order
from airflow_provider_autoenhance.api.settings import WireSettings
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.remote.identity import is_own, name_of, same_as
from airflow_provider_autoenhance.pipeline.remote.images import WITH_BYTES, check_whole, ensure_order, rank, read_order
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

    :param wanted: what to create; its ``metadata`` holds the marks.
    :param order_name: name of the order, where images have none yet and it is to be made. ``None``: leave that to Autoenhance.
    :param check: called with the label and metadata of what is about to be adopted or deleted; raises to refuse.
    :param fresh: the caller has looked, and the order does not exist.
    :raises ConflictError: the order was deleted, and its id cannot be taken again.
    :raises AutoenhanceError: when the order cannot be read whole, because "unknown" is not "absent".
    """

    def find() -> Made | None:
        order, there = _listed(hook, wanted, order_name)
        ready = [each for each in there if _has_bytes(each)]
        same = next(iter(same_as(ready, wanted.image_name, wanted.metadata, only_ours=bool(order_name))), None)
        if same is not None:
            check(f"{wanted.noun} {name_of(same)!r}", same.metadata)
        elif order is not None:
            check_whole(order)
        for useless in (each for each in there if each not in ready and is_own(each, wanted.metadata)):
            check(f"{wanted.noun} {name_of(useless)!r}", useless.metadata)
            discard(hook, wanted.kind, _made(useless, wanted).id)
        return None if same is None else _made(_as_asked(hook, same, wanted), wanted)

    return (None if fresh else find()) or once(partial(_create, hook, wanted), find)


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


def _create(hook: AutoenhanceHook, wanted: UploadTicket) -> Made:
    name, order_id, metadata = wanted.image_name, wanted.order_id, wanted.metadata
    if wanted.kind == "bracket":
        created = hook.create_bracket(name, order_id=str(order_id), metadata=metadata)
        return _made(created.bracket, wanted, created.upload_url)
    settings, content_type = WireSettings(wanted.settings), wanted.content_type
    image = hook.create_image(name, order_id=order_id, settings=settings, metadata=metadata, content_type=content_type)
    return _made(image.image, wanted, image.upload_url)


def _made(thing: Image | Bracket, wanted: UploadTicket, upload_url: str = "") -> Made:
    ticket = replace(wanted, order_id=thing.order_id or wanted.order_id, upload_url=upload_url)
    if isinstance(thing, Image):
        return Made(thing.image_id, ticket, thing.status, seen_settings(thing), thing.details)
    return Made(thing.bracket_id, ticket)
