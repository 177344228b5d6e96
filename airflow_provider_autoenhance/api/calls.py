"""Every endpoint of the contract as a :class:`Call`: what to send, and how to read the answer. No HTTP happens here.

One function per operation; both hooks send the same calls. Collection paths end in a slash and item paths do not, because the vendor's
server redirects or refuses the other spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import quote

from airflow_provider_autoenhance.api import versions
from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.fields import checked_id

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api import models

T = TypeVar("T")

Variant = Literal["enhanced", "original"]

#: The API refuses more orders a page.
MAX_ORDERS_PER_PAGE = 15

#: What statuses mean where a premium edit is asked for.
_PREMIUM_HINTS = {
    402: "No credit or plan is left for a premium edit; buy credits, and run again.",
    403: "Premium edits are enabled for an account on request: ask Autoenhance for it. Or the API key is wrong.",
    422: "A premium edit is made of an image that has finished processing: wait for that, and run again.",
}

#: Sequences in which orders can be listed; the minus means descending.
ORDER_SORTS = ("-date", "date", "name", "-name")

REPORT_CATEGORIES = (
    "AUTO_PRIVACY", "COLOUR", "CONTRAST", "DOWNLOAD", "DYNAMIC_RANGE", "EXPOSURE", "HDR", "IMAGE_QUALITY", "ITEM_REMOVAL",
    "LENS_CORRECTION", "NO_COMPLAINTS", "NOISE", "OTHER", "PERSPECTIVE_CORRECTION", "PRIVACY", "PROCESSING", "SHARPNESS",
    "SKY_REPLACEMENT", "WHITE_BALANCE", "WINDOW_PULL",
)  # fmt: skip


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and the reading of its answer.

    :param about: what it concerns, for messages: ``image 1234``.
    :param repeatable: whether sending it twice does no more than sending it once. Where it is false, an answer that got lost is
        never answered by sending again.
    :param missing_ok: a 404 is as good as success (deleting what is gone).
    :param hints: the way out of an error, by its status, where that of other calls does not fit.
    """

    method: str
    path: str
    about: str
    parse: Callable[[Any], T]
    query: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    repeatable: bool = True
    missing_ok: bool = False
    hints: Mapping[int, str] | None = None


def create_image(
    image_name: str,
    *,
    image_id: str | None = None,
    order_id: str | None = None,
    settings: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    content_type: str | None = None,
    version: str = versions.DEFAULT_VERSION,
) -> Call[models.CreatedImage]:
    """Register an image. ``content_type`` is sent only to the old versions that sign it into the upload URL, and where none is pinned.

    :param image_id: chosen by the caller; a taken one is a :class:`~airflow_provider_autoenhance.api.errors.ConflictError`. An API
        version that does not know it chooses another.

    :param settings: wire settings (:func:`~airflow_provider_autoenhance.api.settings.wire_settings`).
    """
    body: dict[str, Any] = {**(settings or {}), "image_name": image_name}
    body |= _given(image_id=_optional_id(image_id), order_id=_optional_id(order_id))
    body |= _given(metadata=dict(metadata) if metadata else None)
    if content_type and (not version or version < versions.BRACKETS):
        body["content_type"] = content_type
    return Call("POST", "/v3/images/", f"image {image_name!r}", _created_image, body=body, repeatable=False)


def retrieve_image(image_id: str) -> Call[models.Image]:
    """Read one image."""
    return Call("GET", _path("/v3/images/{}", image_id), f"image {image_id}", _image)


def delete_image(image_id: str) -> Call[None]:
    """Delete an image; one that is gone already counts as deleted."""
    path = _path("/v3/images/{}", image_id)
    return Call("DELETE", path, f"image {image_id}", _nothing, missing_ok=True)


def process_image(image_id: str, *, settings: Mapping[str, Any] | None = None) -> Call[models.Image]:
    """Enhance an image again. Preferences that are left out keep their value of the previous run."""
    path = _path("/v3/images/{}/process", image_id)
    return Call("POST", path, f"image {image_id}", _image, body=dict(settings or {}), repeatable=False)


def update_image(
    image_id: str,
    *,
    settings: Mapping[str, Any] | None = None,
    image_name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Call[models.Image]:
    """Change an image, which enhances nothing; or have a premium edit made of it, which is another image.

    What is left out keeps its value.

    :param settings: wire settings. ``{"restage": {"environment": "DUSK"}}`` asks for a premium edit; sent twice, it may make two.
    :raises SettingsError: when there is nothing to change.
    """
    from airflow_provider_autoenhance.api.settings import premium_edit

    path, about = _path("/v3/images/{}", image_id), f"image {image_id}"
    body = {**(settings or {}), **_given(image_name=image_name, metadata=None if metadata is None else dict(metadata))}
    if not body:
        raise SettingsError(f"{about}: nothing to change; give settings, image_name or metadata.")
    if not premium_edit(body):
        return Call("PUT", path, about, _image, body=body)
    return Call("PUT", path, about, _image, body=body, repeatable=False, hints=_PREMIUM_HINTS)


def report_image(
    image_id: str, *, categories: Sequence[str], comment: str | None = None, score: int | None = None
) -> Call[None]:
    """Send feedback on an image's quality.

    :param categories: from :data:`REPORT_CATEGORIES`.
    :param score: 0 (worst) to 5.
    :raises SettingsError: on an unknown category or a score out of range.
    """
    unknown = [each for each in categories if each.upper() not in REPORT_CATEGORIES]
    if unknown or not categories:
        named = f"unknown categories {unknown}" if unknown else "no category"
        raise SettingsError(f"Report on image {image_id}: {named}; use any of {', '.join(REPORT_CATEGORIES)}.")
    if score is not None and not 0 <= score <= 5:
        raise SettingsError(f"Report on image {image_id}: score takes a whole number from 0 to 5, not {score!r}.")
    body = {
        "categories": [each.upper() for each in categories],
        "source": "API",
        **_given(comment=comment, score=score),
    }
    path = _path("/v3/images/{}/report", image_id)
    return Call("POST", path, f"image {image_id}", _nothing, body=body, repeatable=False)


def download_image(
    image_id: str,
    *,
    variant: Variant = "enhanced",
    preview: bool = True,
    rendering: Mapping[str, str] | None = None,
    version: str = versions.DEFAULT_VERSION,
) -> Call[None]:
    """Download an image's bytes, by way of one or more redirects.

    ``preview`` is always sent, because its default differs between API versions and ``preview=false`` on an enhanced image spends a
    credit the first time. Versions before 2024-11-01 do not know the flag and would charge, so they get the ``/preview`` path.

    :param rendering: further query parameters (``format``, ``quality``, ``max_width``, ...).
    """
    about = f"image {image_id}"
    if variant == "enhanced" and preview and versions.older(version, versions.QUERY_RENDERING):
        return Call("GET", _path("/v3/images/{}/preview", image_id), about, _nothing)
    query = {**(rendering or {}), "preview": str(preview).lower()}
    path = _path("/v3/images/{}/" + variant, image_id)
    return Call("GET", path, about, _nothing, query=query)


def create_order(*, order_id: str | None = None, name: str | None = None) -> Call[models.Order]:
    """Create an order; a taken ``order_id`` is a :class:`~airflow_provider_autoenhance.api.errors.ConflictError`.

    With an id of the caller's it may be sent again, because the second time changes nothing.
    """
    return Call(
        "POST",
        "/v3/orders/",
        f"order {order_id or name or ''}",
        _order,
        body=_given(order_id=_optional_id(order_id), name=name),
        repeatable=order_id is not None,
    )


def list_orders(
    *,
    offset: str | None = None,
    per_page: int = MAX_ORDERS_PER_PAGE,
    q: str | None = None,
    sort: str | None = None,
) -> Call[models.OrderPage]:
    """Read one page of the account's orders.

    :param offset: ``next_offset`` of the page before.
    :param per_page: 1 to 15.
    :param q: text that their names hold. API versions before 2026-11-09 may ignore it, and ``sort``.
    :param sort: any of :data:`ORDER_SORTS`; newest first when left out.
    """
    if sort is not None and sort not in ORDER_SORTS:
        raise SettingsError(f"sort takes one of {', '.join(ORDER_SORTS)}, not {sort!r:.80}.")
    if not 1 <= per_page <= MAX_ORDERS_PER_PAGE:
        raise SettingsError(f"per_page takes a whole number from 1 to {MAX_ORDERS_PER_PAGE}, not {per_page!r}.")
    query = _given(offset=offset, per_page=str(per_page), q=q or None, sort=sort)
    return Call("GET", "/v3/orders/", "the list of orders", _order_page, query=query)


class OrderPages:
    """The way through all pages of the account's orders. It ends, even where ``next_offset`` goes round in circles."""

    #: Pages in a row that bring no order that was not seen before. One can come where orders are added while they are read.
    _IDLE_PAGES = 10

    def __init__(self) -> None:
        self.offset: str | None = None
        self.ended = False
        self._seen: set[str] = set()
        self._idle = 0

    def turn(self, page: models.OrderPage) -> None:
        """Note a page. :attr:`offset` and :attr:`ended` then say what comes next."""
        known = len(self._seen)
        self._seen.update(order.order_id for order in page.orders)
        self._idle = 0 if len(self._seen) > known else self._idle + 1
        self.ended = page.next_offset in (None, self.offset) or self._idle > self._IDLE_PAGES
        self.offset = page.next_offset


def retrieve_order(order_id: str) -> Call[models.Order]:
    """Read an order with its images."""
    return Call("GET", _path("/v3/orders/{}", order_id), f"order {order_id}", _order)


def update_order(order_id: str, *, name: str) -> Call[models.Order]:
    """Rename an order; nothing else about it can be changed."""
    path = _path("/v3/orders/{}", order_id)
    return Call("PATCH", path, f"order {order_id}", _order, body={"name": name})


def delete_order(order_id: str) -> Call[None]:
    """Delete an order; one that is gone already counts as deleted."""
    path = _path("/v3/orders/{}", order_id)
    return Call("DELETE", path, f"order {order_id}", _nothing, missing_ok=True)


def process_order(
    order_id: str,
    *,
    groups: Sequence[Sequence[str]] | None = None,
    brackets_per_image: int | None = None,
    settings: Mapping[str, Any] | None = None,
    version: str = versions.DEFAULT_VERSION,
) -> Call[models.Order | None]:
    """Group an order's exposures and start enhancing. Give ``groups``, or ``brackets_per_image``, or neither (grouped by Autoenhance).

    :param groups: exposures' ids, one sequence per image.
    """
    if groups is not None and brackets_per_image:
        raise SettingsError(f"Order {order_id}: give groups or brackets_per_image, not both.")
    body = dict(settings or {})
    if groups is not None:
        body["images"] = [{"bracket_ids": list(group)} for group in groups]
    if brackets_per_image:
        body["number_of_brackets_per_image"] = brackets_per_image
    verb = "merge" if versions.older(version, versions.BRACKETS) else "process"
    path = _path("/v3/orders/{}/" + verb, order_id)
    return Call("POST", path, f"order {order_id}", _order_if_any, body=body, repeatable=False)


def list_brackets(order_id: str) -> Call[tuple[models.Bracket, ...]]:
    """Read the exposures of an order."""
    return Call("GET", _path("/v3/orders/{}/brackets", order_id), f"order {order_id}", _brackets)


def create_bracket(
    name: str, *, order_id: str, metadata: Mapping[str, Any] | None = None
) -> Call[models.CreatedBracket]:
    """Register one exposure in an existing order."""
    body = {"name": name, "order_id": checked_id(order_id), **_given(metadata=dict(metadata) if metadata else None)}
    return Call("POST", "/v3/brackets/", f"exposure {name!r}", _created_bracket, body=body, repeatable=False)


def retrieve_bracket(bracket_id: str) -> Call[models.Bracket]:
    """Read one exposure. Known from one integration only; prefer :func:`list_brackets`."""
    return Call("GET", _path("/v3/brackets/{}", bracket_id), f"exposure {bracket_id}", _bracket)


def delete_bracket(bracket_id: str) -> Call[None]:
    """Delete one exposure. Known from one integration only."""
    path = _path("/v3/brackets/{}", bracket_id)
    return Call("DELETE", path, f"exposure {bracket_id}", _nothing, missing_ok=True)


def _order_if_any(body: Any) -> models.Order | None:
    """The old merge call answers with something untyped."""
    return _order(body) if isinstance(body, Mapping) and body.get("order_id") else None


def _path(template: str, identifier: str) -> str:
    """Put an id into a path. An empty one would turn an item's path into the collection's.

    :raises SettingsError: when there is not an id, or one that would lead to another path.
    """
    text = str(identifier if identifier is not None else "").strip()
    if text in ("", "None"):
        raise SettingsError(f"No id given for {template.format('<id>')}; check the task that hands it over.")
    return template.format(quote(checked_id(text), safe=""))


def _optional_id(identifier: str | None) -> str | None:
    """What could not be read back by its path is not created either."""
    return checked_id(identifier) if identifier else identifier


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


# Readers that load the models with the first answer, not with every DAG file that imports a hook.


def _bracket(body: Any) -> models.Bracket:
    from airflow_provider_autoenhance.api.models import parse_bracket

    return parse_bracket(body)


def _brackets(body: Any) -> tuple[models.Bracket, ...]:
    from airflow_provider_autoenhance.api.models import parse_brackets

    return parse_brackets(body)


def _created_bracket(body: Any) -> models.CreatedBracket:
    from airflow_provider_autoenhance.api.models import parse_created_bracket

    return parse_created_bracket(body)


def _created_image(body: Any) -> models.CreatedImage:
    from airflow_provider_autoenhance.api.models import parse_created_image

    return parse_created_image(body)


def _image(body: Any) -> models.Image:
    from airflow_provider_autoenhance.api.models import parse_image

    return parse_image(body)


def _nothing(body: Any) -> None:
    """Accept any answer to a call that has nothing to say."""


def _order(body: Any) -> models.Order:
    from airflow_provider_autoenhance.api.models import parse_order

    return parse_order(body)


def _order_page(body: Any) -> models.OrderPage:
    from airflow_provider_autoenhance.api.models import parse_order_page

    return parse_order_page(body)
