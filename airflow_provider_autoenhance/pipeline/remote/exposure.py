"""One exposure of an HDR bracket: made unless it is there already, and uploaded unless it has its bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Bracket
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.remote.identity import IDENTITY_KEY
from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exposure:
    """A bracket that exists. ``ticket`` says where its bytes go; without ``upload_url`` they are there already."""

    bracket: Bracket
    ticket: UploadTicket
    adopted: bool


def ensure_bracket(
    hook: AutoenhanceHook, wanted: UploadTicket, *, check: Callable[[Bracket], None] = lambda bracket: None
) -> Exposure:
    """Adopt the uploaded bracket that an earlier try made, or make it.

    An earlier one that still waits for its bytes is given up, because its upload URL cannot be read again.

    :param wanted: what to create; its ``metadata`` holds the identity.
    :param check: called with a bracket before it is adopted or given up; raises to refuse.
    :raises AutoenhanceError: when the order's brackets cannot be read, because "unknown" is not "absent".
    """
    order_id = str(wanted.order_id)
    for bracket in _earlier(hook.list_brackets(order_id), wanted):
        check(bracket)
        if bracket.is_uploaded:
            return Exposure(bracket, replace(wanted, upload_url=""), adopted=True)
        give_up(hook, bracket.bracket_id)
    created = hook.create_bracket(wanted.image_name, order_id=order_id, metadata=wanted.metadata)
    return Exposure(created.bracket, replace(wanted, upload_url=created.upload_url), adopted=False)


def give_up(hook: AutoenhanceHook, bracket_id: str) -> None:
    """Delete a bracket that no image is to be made of. One integration alone knows the call; left there, it is no part of any group."""
    try:
        hook.delete_bracket(bracket_id)
    except Exception as error:  # noqa: BLE001 - it is not needed for anything
        told = errors.unexpected(error, f"bracket {bracket_id}")
        log.warning("Bracket %s stays in its order, unused: %s", bracket_id, told)


def _earlier(brackets: tuple[Bracket, ...], wanted: UploadTicket) -> list[Bracket]:
    """Brackets of the same identity, uploaded ones first."""
    mine = [each for each in brackets if each.metadata.get(IDENTITY_KEY) == wanted.metadata.get(IDENTITY_KEY)]
    return sorted(mine, key=lambda bracket: (not bracket.is_uploaded, bracket.bracket_id))
