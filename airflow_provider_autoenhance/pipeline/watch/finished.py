"""Which orders have finished since the last look, so that each finish is reported once. Pure: it has neither I/O nor a clock.

A reported order is remembered for a day after its creation. An older order counts as reported, unless a look saw it unfinished. So the
memory stays small however many orders an account has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_autoenhance.api.models import ImageStatus, Order
from airflow_provider_autoenhance.api.redact import redact_text
from airflow_provider_autoenhance.api.typed import number

#: How long after its creation an order is looked at in every poll, and remembered by its id.
WATCHED_SECONDS = 24 * 60 * 60.0

#: The memory moves on in steps, so that it is not written at every look.
_STEP_SECONDS = 60 * 60.0

#: Autoenhance keeps images for 45 days as its plans say; what is still unfinished after that never finishes.
FORGOTTEN_SECONDS = 60 * 24 * 60 * 60.0

_MAX_NAMES = 20


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """An order as one look showed it, without its images.

    :param newest: when its newest image was made, milliseconds since the epoch; ``0`` where unknown.
    :param failed_images: names and reasons, the first ones.
    """

    order_id: str
    name: str | None
    created_at: float | None
    finished: bool
    images: int
    processed: int
    newest: int
    failed_images: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, order: Order) -> OrderSeen:
        """Take what matters of an order."""
        processed = sum(image.status is ImageStatus.PROCESSED for image in order.images)
        failed = [each for each in order.images if each.status in (ImageStatus.ERROR, ImageStatus.EXPIRED)]
        return cls(
            order_id=order.order_id,
            name=order.name,
            created_at=order.created_at,
            finished=order.finished,
            images=len(order.images),
            processed=processed,
            newest=max((image.date_added for image in order.images), default=0),
            failed_images=tuple(
                (each.image_name, redact_text(each.status_reason or str(each.status))) for each in failed[:_MAX_NAMES]
            ),
        )

    def payload(self) -> dict[str, Any]:
        """What an event holds of it: plain values, nothing secret."""
        created = None if self.created_at is None else datetime.fromtimestamp(self.created_at, UTC).isoformat()
        return {
            "order_id": self.order_id,
            "name": self.name,
            "created_at": created,
            "images": self.images,
            "processed": self.processed,
            "failed": self.images - self.processed,
            "failures": [{"photo": name, "reason": reason} for name, reason in self.failed_images],
        }


class OrderWatch:
    """What is known of the orders that one watcher looks at.

    :param memory: what :meth:`to_memory` gave, ``None`` at the very first look. With a damaged one, what is finished already counts as
        reported, whatever ``from_now_on`` says: to fire for all of it again would be worse than to leave a few out.
    :param from_now_on: at the very first look, what is finished already counts as reported.
    :ivar damaged: whether the memory was damaged; the caller logs it.
    """

    def __init__(self, memory: object, *, from_now_on: bool) -> None:
        kept = _remembered(memory)
        self.damaged = kept is None and memory is not None
        self._from_now_on = from_now_on or self.damaged
        self._before: float | None = None if kept is None else float(kept["before"])
        self._reported: dict[str, list[int]] = {} if kept is None else dict(kept["told"])
        self._open: dict[str, int] = {} if kept is None else dict(kept["open"])

    def finished(self, orders: Sequence[OrderSeen], now: float) -> list[OrderSeen]:
        """Return the orders whose finish has not been reported: new ones, and ones with photos that they did not have before.

        :param orders: all that match, or at least those of the last :data:`WATCHED_SECONDS`.
        :param now: seconds since the epoch.
        """
        before = self._before
        if before is None:
            before = self._before = now - WATCHED_SECONDS
            for order in orders:
                if not (order.finished and self._from_now_on):
                    self._open[order.order_id] = int(order.created_at or now)
                elif _since(order, before):
                    self._reported[order.order_id] = _mark(order)
        # A moment to come, in an edited memory, would end the watch until then.
        before = self._before = min(before, now)
        due = []
        for order in orders:
            if not (order.order_id in self._open or _since(order, before)):
                continue
            if not order.finished:
                self._open[order.order_id] = int(order.created_at or now)
            elif self._is_news(order):
                due.append(order)
            else:
                self._open.pop(order.order_id, None)
        return due

    def remember(self, reported: Sequence[OrderSeen], now: float) -> None:
        """Remember what was reported, and forget what is old."""
        for order in reported:
            self._reported[order.order_id] = _mark(order)
            self._open.pop(order.order_id, None)
        if self._before is None or now - WATCHED_SECONDS - self._before < _STEP_SECONDS:
            return
        self._before = now - WATCHED_SECONDS
        self._open = {key: created for key, created in self._open.items() if created > now - FORGOTTEN_SECONDS}
        self._reported = {
            key: mark
            for key, mark in self._reported.items()
            if key in self._open or not mark[0] or mark[0] >= int(self._before)
        }

    def to_memory(self) -> dict[str, Any]:
        """What the next watcher needs in order to go on from here; plain values."""
        return {"before": self._before or 0.0, "open": dict(self._open), "told": dict(self._reported)}

    def _is_news(self, order: OrderSeen) -> bool:
        """Whether a photo came, or one that had failed is enhanced. A photo that was deleted or has expired is not news."""
        _, newest, processed = self._reported.get(order.order_id, (0, -1, -1))
        return order.newest > newest or order.processed > processed


def _remembered(memory: Any) -> Mapping[str, Any] | None:
    """Return a memory whose every value has its type, else ``None``: nobody could foresee which orders a part of it would report twice."""
    if not isinstance(memory, Mapping) or not number(memory.get("before")):
        return None
    reported, opened = memory.get("told"), memory.get("open")
    if not isinstance(reported, Mapping) or not isinstance(opened, Mapping) or not all(map(number, opened.values())):
        return None
    marks = all(isinstance(mark, list) and len(mark) == 3 and all(map(number, mark)) for mark in reported.values())
    return memory if marks else None


def _since(order: OrderSeen, moment: float) -> bool:
    return order.created_at is None or order.created_at >= moment


def _mark(order: OrderSeen) -> list[int]:
    return [int(order.created_at or 0), order.newest, order.processed]
