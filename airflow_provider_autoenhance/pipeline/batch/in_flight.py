"""What of a batch is in flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_autoenhance.pipeline.plan.decide import Decision
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan


@dataclass(frozen=True, slots=True)
class Awaited:
    """A photo whose image is being enhanced.

    :param decision: names the image, where it is known already, and its order.
    :param upload_seconds: what its upload took in this try.
    """

    folder: FolderPlan
    decision: Decision
    upload_seconds: float = 0.0

    @property
    def order_id(self) -> str:
        """The order that is read in order to see it."""
        return self.decision.order_id or ""


class InFlight:
    """Photos that are being enhanced, by order and fingerprint; beside them those that are being downloaded.

    Only what is being enhanced counts for ``len`` and iteration: it alone is waited for.
    """

    def __init__(self) -> None:
        self.downloads: dict[str, Awaited] = {}
        self._orders: dict[str, dict[str, Awaited]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._orders.values()))

    def __iter__(self) -> Iterator[Awaited]:
        for awaited in list(self._orders.values()):  # a killed task's other thread reads, too
            yield from list(awaited.values())

    def everything(self) -> list[Awaited]:
        """What is being enhanced or downloaded."""
        return [*self, *self.downloads.values()]

    def add(self, awaited: Awaited) -> None:
        """Wait for a photo; what was known of it before is replaced."""
        self._orders.setdefault(awaited.order_id, {})[awaited.decision.photo.fingerprint] = awaited

    def remove(self, awaited: Awaited) -> None:
        """Stop waiting for a photo."""
        order = self._orders[awaited.order_id]
        del order[awaited.decision.photo.fingerprint]
        if not order:
            del self._orders[awaited.order_id]

    def clear(self) -> None:
        """Stop waiting for anything."""
        self.downloads.clear()
        self._orders.clear()

    def orders(self) -> list[str]:
        """The orders that are waited for."""
        return list(self._orders)

    def of(self, order_id: str) -> list[Awaited]:
        """The photos that wait for an order."""
        return list(self._orders.get(order_id, {}).values())

    def image_ids(self, most: int) -> dict[str, list[str]]:
        """Ids of the images that are waited for, by order; without those that are still to be merged.

        :param most: of more images, none is named.
        """
        if len(self) > most:
            return {}
        return {
            order_id: [each.decision.image_id for each in awaited.values() if each.decision.image_id]
            for order_id, awaited in self._orders.items()
        }

    def unpaid(self) -> list[str]:
        """Ids of this run's own images whose full size is not bought yet. Another run may wait for what one of them has adopted from the
        other, and a premium edit may be a person's."""
        own = (
            each
            for each in self
            if each.order_id in each.folder.own.orders and not each.decision.paid and not each.decision.photo.original
        )
        ids = ((each.decision.image_id, each.folder.named_by_others) for each in own)
        return sorted(image_id for image_id, named in ids if image_id and image_id not in named)
