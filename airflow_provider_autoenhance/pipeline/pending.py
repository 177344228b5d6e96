"""What of a batch is under way."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_autoenhance.pipeline.decide import Decision
from airflow_provider_autoenhance.pipeline.plan import GroupPlan


@dataclass
class Pending:
    """Photos that are under way, by fingerprint.

    :param decisions: those that are being enhanced, each with the decision that will land it and the seconds that its upload took.
    :param landing: those that are enhanced and have not landed yet.
    """

    decisions: dict[str, tuple[GroupPlan, Decision, float]] = field(default_factory=dict)
    landing: dict[str, tuple[GroupPlan, Decision, float]] = field(default_factory=dict)

    def orders(self) -> list[str]:
        """The orders that are waited for."""
        return list(dict.fromkeys(decision.order_id or "" for _, decision, _ in self.decisions.values()))

    def unpaid(self) -> list[str]:
        """Ids of images whose full size is not bought yet."""
        decisions = (decision for _, decision, _ in self.decisions.values())
        return sorted(each.image_id for each in decisions if each.image_id and not each.paid)

    def of(self, order_id: str) -> list[tuple[GroupPlan, Decision]]:
        """What waits for an order."""
        return [(group, each) for group, each, _ in self.decisions.values() if each.order_id == order_id]
