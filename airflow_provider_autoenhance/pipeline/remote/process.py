"""Have an order's exposures merged and enhanced, once: the order is read before it is processed."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Bracket, Order
from airflow_provider_autoenhance.api.settings import WireSettings
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder, read_brackets
from airflow_provider_autoenhance.pipeline.remote.create import once

log = logging.getLogger(__name__)

#: Autoenhance merges no more exposures into one image.
MAX_BRACKETS_PER_IMAGE = 9

#: Seconds between looks for the mark that an exposure has arrived; it may lag the upload.
ARRIVAL_POLLS = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)


@dataclass(frozen=True)
class Grouping:
    """Which exposures make an image, by their ids: ``groups``, or a fixed number each, or (neither) as Autoenhance sees fit."""

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
                    f"{about}: group {number} has {len(group)} exposures; an image is made of 1 to {MAX_BRACKETS_PER_IMAGE}."
                )
            twice = seen.intersection(group) or {each for each in group if group.count(each) > 1}
            if twice:
                raise errors.SettingsError(f"{about}: exposure {min(twice)} is in more than one group.")
            seen.update(group)


def ensure_processed(hook: AutoenhanceHook, order_id: str, grouping: Grouping, settings: Mapping[str, Any]) -> Order:
    """Process an order, unless that was done.

    :param settings: for all its images, as the wire has them.
    :raises SettingsError: when the order has no exposures, or not the ones that ``grouping`` names; nothing was started.
    """
    read = read_brackets(hook, hook.get_order(order_id))
    wanted = {bracket_id for group in grouping.groups or () for bracket_id in group}
    if read.processed:
        _check_left_over(read, wanted)
        log.info("Order %s has been processed already (%s images); not again", order_id, len(read.order.images))
        return read.order
    if not read.brackets:
        raise errors.SettingsError(f"order {order_id} has no exposures; images need no processing of their order.")
    unknown = wanted.difference(exposure.bracket_id for exposure in read.brackets)
    if unknown:
        raise errors.SettingsError(f"order {order_id} has no exposure {', '.join(sorted(unknown)[:5])}.")
    _, missing = wait_for_arrival(hook, order_id, wanted)
    if missing:
        raise errors.SettingsError(
            f"order {order_id}: {_names(missing)} never got their bytes and would be left out. Upload them, or delete them."
        )
    answer = process_order(hook, order_id, grouping, settings)
    log.info("Processing order %s", order_id)
    return answer or hook.get_order(order_id)


def process_order(
    hook: AutoenhanceHook, order_id: str, grouping: Grouping, settings: Mapping[str, Any]
) -> Order | None:
    """Make the one call that merges. Where its answer got lost, the order shows whether it was carried out.

    :param settings: for all its images, as the wire has them.
    :returns: the order, where the API version answers it.
    """

    def find() -> Order | None:
        order = hook.get_order(order_id)
        return order if BracketOrder(order, ()).processed else None

    wire, size = WireSettings(settings), grouping.size
    process = partial(hook.process_order, order_id, groups=grouping.groups, brackets_per_image=size, settings=wire)
    return once(process, find, (errors.ServerError, errors.UnreachableError, errors.ConflictError))


def wait_for_arrival(
    hook: AutoenhanceHook, order_id: str, wanted: Collection[str] = ()
) -> tuple[tuple[Bracket, ...], Sequence[str]]:
    """Wait until Autoenhance marks the exposures as uploaded. The mark may lag, so 30 seconds are given.

    :param wanted: ids of the exposures; empty: all of the order.
    :returns: the order's exposures, as read last, and the names of those without the mark. A caller that has uploaded them itself goes on.
    """
    for pause in ARRIVAL_POLLS:
        time.sleep(pause)
        exposures = hook.list_brackets(order_id)
        missing = _missing(exposures, wanted)
        if not missing:
            break
    return exposures, missing


def _missing(exposures: Sequence[Bracket], wanted: Collection[str]) -> list[str]:
    """Names of exposures without the mark. One that was made again under its name is not missed, unless it is named by id."""
    there = {exposure.name for exposure in exposures if exposure.is_uploaded and not wanted}
    asked = (exposure for exposure in exposures if not wanted or exposure.bracket_id in wanted)
    return [exposure.name for exposure in asked if not exposure.is_uploaded and exposure.name not in there]


def _check_left_over(read: BracketOrder, wanted: Collection[str]) -> None:
    """Refuse exposures that came after the order was processed: they would never become an image, and nobody would notice.

    What explicit groups leave out is left out on purpose.
    """
    if read.order.is_merging or not read.merged:
        return  # Autoenhance is still grouping, or this API version does not say what became of an exposure
    loose = [
        exposure.name
        for exposure in read.brackets
        if exposure.is_uploaded and not exposure.image_id and (not wanted or exposure.bracket_id in wanted)
    ]
    if loose:
        raise errors.SettingsError(
            f"order {read.order.order_id} was processed before {_names(loose)} came; put later ones into an order of their own."
        )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ("exposures " if len(names) > 1 else "exposure ") + ", ".join(map(repr, names[:5])) + more
