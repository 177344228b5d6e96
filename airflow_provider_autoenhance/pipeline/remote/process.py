"""Have an order's brackets grouped and enhanced, once: the order is read before it is processed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Bracket, Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook

log = logging.getLogger(__name__)

#: Autoenhance merges no more exposures into one image.
MAX_BRACKETS_PER_IMAGE = 9

#: Pauses between looks at a bracket whose upload Autoenhance has not noted yet.
_UPLOAD_PAUSES = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Grouping:
    """Which brackets make an image: ``groups``, or a fixed number each, or (neither) as Autoenhance sees fit."""

    groups: Sequence[Sequence[str]] | None = None
    size: int | None = None

    def check(self, about: str) -> None:
        """Refuse what the API would refuse, or misread.

        :raises SettingsError: naming the group.
        """
        if self.groups is not None and self.size is not None:
            raise errors.SettingsError(f"{about}: give groups or number_of_brackets_per_image, not both.")
        if self.size is not None and not 2 <= self.size <= MAX_BRACKETS_PER_IMAGE:
            raise errors.SettingsError(
                f"{about}: number_of_brackets_per_image takes 2 to {MAX_BRACKETS_PER_IMAGE}, not {self.size}."
            )
        if self.groups is not None and not self.groups:
            raise errors.SettingsError(f"{about}: groups is empty; check the task that hands it over.")
        seen: set[str] = set()
        for number, group in enumerate(self.groups or (), 1):
            if not 1 <= len(group) <= MAX_BRACKETS_PER_IMAGE:
                raise errors.SettingsError(
                    f"{about}: group {number} has {len(group)} brackets; an image is made of 1 to {MAX_BRACKETS_PER_IMAGE}."
                )
            twice = seen.intersection(group) or {each for each in group if group.count(each) > 1}
            if twice:
                raise errors.SettingsError(f"{about}: bracket {min(twice)} is in more than one group.")
            seen.update(group)


def ensure_processed(
    hook: AutoenhanceHook, order_id: str, grouping: Grouping, settings: Mapping[str, Any] | str | None
) -> Order:
    """Process an order, unless that was done: it is merging, or has images.

    A process call whose answer got lost is judged by the order itself, never sent again blindly.

    :param settings: for all its images.
    :raises SettingsError: no brackets, unknown or never uploaded ones; nothing was started.
    """
    order = hook.get_order(order_id)
    if _begun(order):
        _check_left_over(order, hook.list_brackets(order_id), grouping)
        log.info("Order %s has been processed already (%s images); not again", order_id, len(order.images))
        return order
    _check_uploaded(hook, order_id, grouping)
    try:
        answer = hook.process_order(
            order_id, groups=grouping.groups, brackets_per_image=grouping.size, settings=settings
        )
    except (errors.UnreachableError, errors.ServerError) as error:
        order = hook.get_order(order_id)
        if not _begun(order):
            raise
        log.warning("%s But the order is under way.", error)
        return order
    log.info("Processing order %s", order_id)
    return answer or hook.get_order(order_id)


def _begun(order: Order) -> bool:
    return order.is_merging or order.is_processing or bool(order.images)


def _check_left_over(order: Order, brackets: Sequence[Bracket], grouping: Grouping) -> None:
    """Brackets that came after the order was processed would never become an image, and nobody would notice.

    What explicit groups leave out is left out on purpose.
    """
    if order.is_merging or not any(bracket.image_id for bracket in brackets):
        return  # grouping goes on, or this API version does not tell what became of a bracket
    wanted = {bracket_id for group in grouping.groups or () for bracket_id in group}
    loose = [
        bracket.name
        for bracket in brackets
        if bracket.is_uploaded and not bracket.image_id and (not wanted or bracket.bracket_id in wanted)
    ]
    if loose:
        raise errors.SettingsError(
            f"order {order.order_id} was processed before {_names(loose)} came; put brackets that come later into an order of their own."
        )


def _check_uploaded(hook: AutoenhanceHook, order_id: str, grouping: Grouping) -> None:
    """Autoenhance skips brackets without bytes without a word, so they are looked for first."""
    wanted = [bracket_id for group in grouping.groups or () for bracket_id in group]
    for pause in (*_UPLOAD_PAUSES, None):
        brackets = {bracket.bracket_id: bracket for bracket in hook.list_brackets(order_id)}
        if not brackets:
            raise errors.SettingsError(f"order {order_id} has no brackets; images need no processing of their order.")
        unknown = [bracket_id for bracket_id in wanted if bracket_id not in brackets]
        if unknown:
            raise errors.SettingsError(f"order {order_id} has no bracket {', '.join(unknown[:5])}.")
        missing = _missing(
            [brackets[bracket_id] for bracket_id in wanted] if wanted else list(brackets.values()), wanted
        )
        if not missing:
            return
        if pause is not None:  # the note of an upload can lag behind it
            time.sleep(pause)
    raise errors.SettingsError(
        f"order {order_id}: {_names(missing)} never got their bytes and would be left out of their images. Upload them, or delete them."
    )


def _missing(brackets: Sequence[Bracket], wanted: Sequence[str]) -> list[str]:
    """Names of brackets without bytes. One that was made again under its name is not missed, unless it was named by id."""
    there = set() if wanted else {bracket.name for bracket in brackets if bracket.is_uploaded}
    return [bracket.name for bracket in brackets if not bracket.is_uploaded and bracket.name not in there]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ("brackets " if len(names) > 1 else "bracket ") + ", ".join(map(repr, names[:5])) + more
