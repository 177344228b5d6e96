"""What became of a night: the summaries of many batches as a table and a few numbers."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.api.shown import counted, shown
from airflow_provider_autoenhance.dag_helpers.listings import group_name
from airflow_provider_autoenhance.storage.naming import public_uri

_COUNTS = ("photos", "landed", "skipped", "failed", "postponed", "held", "credits")
_PLANNED = ("photos", "skipped", "held", "credits", "full_size_credits")

#: Names in the returned report; the log has them all.
_MOST_NAMES = 50

#: What ``xcom_pull`` gives for a mapped task: nothing where none pushed, and not a list where only one did.
Pulled = Iterable[Mapping[str, Any]] | Mapping[str, Any] | None


@dataclass(frozen=True)
class ListingReport:
    """One listing: a mapped task, or one of several that share a task.

    :param succeeded: it did; photos may have failed within what ``max_failures`` allows.
    :param summary: what the task left of it; empty where that ended before there was a result.
    """

    name: str
    succeeded: bool
    summary: Mapping[str, Any]

    @property
    def status(self) -> str:
        """``ok``, ``failed``, or ``failed early``: without a summary."""
        return "ok" if self.succeeded else "failed" if self.summary else "failed early"

    def problems(self) -> Iterator[str]:
        """Yield a line for each failed photo, as far as the summary names them, or for the task."""
        return map(clean_text, self._problems())

    def _problems(self) -> Iterator[str]:
        named = self.summary.get("failures", ())
        for failure in named:
            yield f"{self.name}/{failure['photo']}: {failure['reason']}"
        if "error" in self.summary:
            yield f"{self.name}: {self.summary['error']}"
        more = self.summary.get("failed", 0) - len(named)
        if more > 0:
            yield f"{self.name}: {more} more, in {self.summary.get('manifest')}"
        if not self.succeeded and not self.summary:
            yield f"{self.name}: the task ended before it had a result; its log says why. Clear it, and it goes on from there."


class NightReport:
    """All listings of a run, however many share a mapped task.

    ::

        @task(trigger_rule="all_done")
        def report(ti):
            summaries, results = ti.xcom_pull(task_ids="enhance", key="summary"), ti.xcom_pull(task_ids="enhance")
            night = NightReport(ti.xcom_pull(task_ids="list_listings"), summaries, results)
            for line in night.lines():
                log.info("%s", line)
            return night.result()

    :param groups: what the tasks were mapped over, as :func:`~airflow_provider_autoenhance.dag_helpers.listings.list_groups` returns it.
    :param summaries: what the tasks left as XCom ``summary``, failed ones too; in any order.
    :param results: what the successful ones returned.
    """

    def __init__(
        self,
        groups: Sequence[Mapping[str, Any]],
        summaries: Pulled,
        results: Pulled,
    ) -> None:
        left = {_key(each): each for each in _each(summaries)}
        done = {_key(each) for each in _each(results)}
        self.listings = [each for group in groups for each in _reports(group, left.get(_key(group), {}), done)]

    @property
    def columns(self) -> tuple[str, ...]:
        """Counts that the table shows: what a run with ``plan_only`` cannot know is left out."""
        planned = any("full_size_credits" in each.summary for each in self.listings)
        return _PLANNED if planned else _COUNTS

    @property
    def currency(self) -> str | None:
        """What the tasks count money in; ``None`` where they do not, or not in the same."""
        found = {each.summary["currency"] for each in self.listings if "currency" in each.summary}
        return str(found.pop()) if len(found) == 1 else None

    def totals(self) -> dict[str, int]:
        """Add the counts up."""
        return {name: sum(each.summary.get(name, 0) for each in self.listings) for name in self.columns}

    def cost(self) -> dict[str, Any]:
        """Add up what it costs in money; nothing where the connection knows no price of a credit."""
        if self.currency is None:
            return {}
        return {"cost": round(sum(each.summary.get("cost", 0) for each in self.listings), 2), "currency": self.currency}

    def lines(self) -> Iterator[str]:
        """Yield the table, then the problems."""
        totals, cost = self.totals(), self.cost()
        rows = [
            ("listing", "status", *self.columns, *([self.currency] if self.currency else [])),
            *(
                (
                    each.name,
                    each.status,
                    *(str(each.summary.get(name, "-")) for name in self.columns),
                    *_money(cost, each.summary),
                )
                for each in self.listings
            ),
            (
                counted(len(self.listings), "listing"),
                "",
                *(str(totals[name]) for name in self.columns),
                *_money(cost, cost),
            ),
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            words, numbers = zip(row[:2], widths[:2], strict=True), zip(row[2:], widths[2:], strict=True)
            yield "  ".join([*(cell.ljust(to) for cell, to in words), *(cell.rjust(to) for cell, to in numbers)])
        problems = [line for each in self.listings for line in each.problems()]
        if problems:
            yield "What failed, and why:"
            yield from problems
        if sheets := self.contact_sheets():
            yield "Before and after:"
            yield from map(clean_text, sheets)

    def contact_sheets(self) -> list[str]:
        """URIs of the pages that show the photos before and after, one for each listing."""
        return list(filter(None, (each.summary.get("contact_sheet") for each in self.listings)))

    def result(self) -> dict[str, Any]:
        """A small summary of the summaries, for XCom."""
        failed = [each.name for each in self.listings if not each.succeeded]
        problems = [line for each in self.listings for line in each.problems()]
        return {
            "listings": len(self.listings),
            **self.totals(),
            **self.cost(),
            "failed_listings": len(failed),
            "failed_listing_names": failed[:_MOST_NAMES],
            "problems": problems[:_MOST_NAMES],
            "contact_sheets": self.contact_sheets()[:_MOST_NAMES],
        }


def _reports(group: Mapping[str, Any], summary: Mapping[str, Any], done: Container[str]) -> Iterator[ListingReport]:
    """Yield the listings of a task, each with what the task left of it."""
    if not group.get("listings"):
        yield ListingReport(group_name(group["source"]), _key(group) in done, summary)
        return
    left = {each["source"].rstrip("/"): each for each in summary.get("listings", ())}
    for source in group["source"]:
        found = left.get(public_uri(source).rstrip("/"), {})
        # A task that went wrong as a whole after its summary has said so in each listing that was not done by then.
        yield ListingReport(group_name(source), found.get("status") == "ok", found)


def _money(cost: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """The cell of a row, where there is such a column."""
    return [f"{summary['cost']:.2f}" if "cost" in summary else "-"] if cost else []


def _each(pulled: Pulled) -> Iterable[Mapping[str, Any]]:
    return [pulled] if isinstance(pulled, Mapping) else pulled or ()


def _key(group: Mapping[str, Any]) -> str:
    """Several groups may share a destination, none a source."""
    source = shown(group["source"])  # as a summary keeps it
    return f"{source}" if isinstance(source, str) else "\0".join(source)
