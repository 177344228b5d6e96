"""Premium edits, such as Day to Dusk: each made once of an image, whoever asks for it, and however often.

An edit is an image of its own, which names its parent. Its metadata is its parent's, and a second request makes a second one. So it is
known by its parent and by what was done, never by a mark of ours: whatever a person has had made in the web app is that edit, too.

A request takes no key of the caller's. But an order does: making an order of a chosen id succeeds once. So who is about to ask for an
edit first makes an order whose id is derived from image and edit, the **claim**. Who finds it there waits for the edit to appear. It
goes away with the edit's appearance in the parent's order. Where the edit stands elsewhere, the claim stays, and names it.

- Before anything is asked for, the parent's order is read; with the claim in hand, once more.
- A claim of the same task is a dead try's: that is taken over at once. Another one's is taken over by making the next claim, after longer
  than any request can take. Who holds a claim for long makes the next one itself before it asks: if that exists, somebody has gone on.
- After a lost answer, and where a dead one may have asked, the edit is looked for in the parent's order, then in all orders since.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from itertools import count, takewhile

from airflow_provider_autoenhance.api import errors, versions
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.remote.create import once
from airflow_provider_autoenhance.pipeline.remote.identity import edit_claim_id
from airflow_provider_autoenhance.pipeline.remote.images import rank, read_order

log = logging.getLogger(__name__)

#: So long after its claim, and no longer, a task may ask for the edit.
HOLD_SECONDS = 30.0
#: Seconds between looks for an edit that was asked for; its order may lag.
APPEARANCE_POLLS = (0.0, 1.0, 2.0, 4.0)
#: Seconds between looks for an edit that another task is about to ask for.
WATCH_SECONDS = 5.0

#: The other party's clock may be set back a little between two answers.
_SLACK_SECONDS = 60.0

#: Errors after which certainly nothing was made.
_REFUSED = (
    errors.AuthenticationError, errors.ConflictError, errors.InvalidRequestError, errors.NoCreditsError, errors.NotFoundError,
    errors.RateLimitError, errors.SettingsError,
)  # fmt: skip


def ensure_edit(
    hook: AutoenhanceHook,
    parent: Image,
    edit: str,
    *,
    owner: str,
    check: Callable[[], None] = lambda: None,
    order: Order | None = None,
) -> Image:
    """Return the premium edit of an image: the one that is there, or a new one. One that has failed is enhanced again, which is free.

    :param parent: an image that has finished processing.
    :param edit: as ``restage.environment`` spells it.
    :param owner: names the task, the same at each try, and another one for each task.
    :param check: called before the edit is asked for; raises to refuse.
    :param order: the parent's order, where it has just been read, whole.
    :raises FolderBusyError: another task has gone on with it in this one's place.
    :raises SettingsError: the API version does not say which images are edits, so nobody could find what is there.
    """
    if versions.older(hook.config.extra.api_version, versions.WINDOW_PULL_TYPE) or "parent_image_id" not in parent.raw:
        raise errors.SettingsError(
            f"{parent.label}: premium edits are known since API version {versions.WINDOW_PULL_TYPE}; pin that or a newer one as "
            "api_version in the connection's extra."
        )
    found = _best(order, parent, edit) or find_edit(hook, parent, edit)
    claim = _Claim(hook, parent, edit, owner)
    if found is None:
        return claim.make(check)
    if found.order_id == parent.order_id:
        claim.release()  # of a try that died when it had what it wanted
    if found.status is ImageStatus.ERROR:
        log.warning("%s failed (%s); it is enhanced again, which is free", found.label, found.status_reason)
        return hook.process_image(found.image_id)
    return found


def find_edit(hook: AutoenhanceHook, parent: Image, edit: str) -> Image | None:
    """Return the edit of an image that is there, ``None`` where there is none. Of several, the paid one, then the one furthest along.

    :raises AutoenhanceError: when that cannot be seen: "unknown" is not "absent".
    """
    order = read_order(hook, parent.order_id) if parent.order_id else None
    if (found := _best(order, parent, edit)) is not None:
        return found
    claim = read_order(hook, edit_claim_id(parent.image_id, edit, 0), whole=False)
    return _named_by(hook, claim, parent, edit)


def is_edit(image: Image, parent: Image, edit: str) -> bool:
    """Whether an image is this edit of another one, and can be had. Where the answer does not say which edit it is, it counts as this."""
    same = image.parent_image_id == parent.image_id and image.premium_edit in (None, edit)
    return same and image.status is not ImageStatus.EXPIRED


def _best(order: Order | None, parent: Image, edit: str) -> Image | None:
    images = order.images if order else ()
    return min((image for image in images if is_edit(image, parent, edit)), key=rank, default=None)


def _named_by(hook: AutoenhanceHook, claim: Order | None, parent: Image, edit: str) -> Image | None:
    """The edit that a claim names, because it stands in another order than its parent."""
    named = _image_named(claim)
    try:
        found = hook.get_image(named) if named else None
    except errors.NotFoundError:
        return None
    return found if found and is_edit(found, parent, edit) else None


def _image_named(claim: Order | None) -> str | None:
    named = re.search(r" is image ([^\s/?#]+)$", (claim.name if claim else None) or "")
    return named[1] if named else None


def patience_of(hook: AutoenhanceHook) -> float:
    """Seconds after which a claim is a dead task's: longer than it may be held, and any request may take."""
    patience = hook.config.patience
    return HOLD_SECONDS + 60.0 * (patience.max_attempts - 1) + 4.0 * patience.timeout_seconds


class _Claim:
    """The right to ask for an edit, which one task has at a time."""

    def __init__(self, hook: AutoenhanceHook, parent: Image, edit: str, owner: str) -> None:
        self._hook, self._parent, self._edit = hook, parent, edit
        self._mark = f"[{hashlib.sha256(owner.encode()).hexdigest()[:12]}]"
        self._number = 0
        self._since = 0.0
        #: When the first claim that was met was made, by Autoenhance's clock; so long ago the edit may have been asked for.
        self._first: float | None = None
        #: Whether somebody may have asked for the edit before this task.
        self._inherited = False

    def make(self, check: Callable[[], None]) -> Image:
        """Have the edit made, unless it is there by now."""
        found = self._take()
        if found is not None:
            return found
        try:
            child = self._look(everywhere=self._inherited) or once(partial(self._ask, check), self._look_again)
        except _REFUSED:
            self.release()
            raise
        self._settle(child)
        return child

    def _take(self) -> Image | None:
        """Claim.

        :returns: the edit, where another task has made it meanwhile.
        """
        watched = time.monotonic()
        while not self._create():
            held = read_order(self._hook, self._id(), whole=False)
            if held is not None:
                self._remember(held)
                if self._mark in (held.name or "") and not self._exists(self._number + 1):
                    log.info(
                        "Going on with %s of %s, which an earlier try of this task has begun",
                        self._edit,
                        self._parent.label,
                    )
                    self._since = time.monotonic()
                    return None
                if found := self._made_by(held):
                    return found
            done = held is None or _image_named(held) is not None
            if done or time.monotonic() - watched > patience_of(self._hook) or self._exists(self._number + 1):
                self._number += 1
                watched = time.monotonic()
            else:
                log.info("Waiting: another task is about to have %s made of %s", self._edit, self._parent.label)
                time.sleep(WATCH_SECONDS)
        return None

    def _ask(self, check: Callable[[], None]) -> Image:
        if time.monotonic() - self._since > HOLD_SECONDS:
            self._number += 1
            if not self._create():
                raise errors.FolderBusyError(
                    f"{self._parent.label}: another task has gone on with {self._edit} in this one's place. The next try sees what that "
                    "has done."
                )
        check()
        answer = self._hook.update_image(self._parent.image_id, settings={"restage": {"environment": self._edit}})
        if is_edit(answer, self._parent, self._edit):
            return answer
        found = self._look_again()
        if found is None:
            raise errors.AutoenhanceError(
                f"{self._parent.label}: Autoenhance took the request for {self._edit}, and shows no image of it. Look at the image in its "
                "web app, then clear the task; it looks again before it asks again."
            )
        return found

    def _look(self, *, everywhere: bool) -> Image | None:
        return self._look_again() if everywhere else find_edit(self._hook, self._parent, self._edit)

    def _look_again(self) -> Image | None:
        """Look for what may have been asked for: in the parent's order, which may lag, then in all orders since the first claim."""
        for pause in APPEARANCE_POLLS:
            time.sleep(pause)
            if found := find_edit(self._hook, self._parent, self._edit):
                return found
        newest_first = self._hook.config.extra.api_version >= versions.SORTED_ORDERS
        orders = self._hook.list_orders(sort="-date" if newest_first else None)
        since = takewhile(self._may_be_later, orders) if newest_first else orders
        edits = [image for order in since for image in order.images if is_edit(image, self._parent, self._edit)]
        return min(edits, key=rank, default=None)

    def _may_be_later(self, order: Order) -> bool:
        made = order.created_at
        return made is None or self._first is None or made > self._first - _SLACK_SECONDS

    def _settle(self, child: Image) -> None:
        """Give the claim up as soon as everybody can find the edit without it; else let it name the edit."""
        together = bool(self._parent.order_id) and child.order_id in (None, self._parent.order_id)
        for pause in APPEARANCE_POLLS if together else ():
            time.sleep(pause)
            if _best(read_order(self._hook, str(self._parent.order_id)), self._parent, self._edit) is not None:
                self.release()
                return
        kept = edit_claim_id(self._parent.image_id, self._edit, 0) if self._exists(0) else self._id()
        self._hook.update_order(kept, name=f"{self._edit} of {self._parent.image_name} is image {child.image_id}")

    def release(self) -> None:
        """Remove the claims, of which no order holds anything. One that stays is harmless: the edit is found before it counts."""
        try:
            for number in count():
                order_id = edit_claim_id(self._parent.image_id, self._edit, number)
                claim = read_order(self._hook, order_id, whole=False)
                if claim is None and number >= self._number:
                    break
                if claim is not None and not claim.images and not claim.total_images:
                    self._hook.delete_order(order_id)
        except errors.AutoenhanceError as error:
            log.warning("The empty order of a claim stays at Autoenhance: %s", error)

    def _create(self) -> bool:
        name = f"{self._edit} of {self._parent.image_name}, about to be made {self._mark}"
        began = time.monotonic()
        try:
            self._remember(self._hook.create_order(order_id=self._id(), name=name))
        except errors.ConflictError:
            self._inherited = True
            return False
        self._since = began
        return True

    def _remember(self, claim: Order) -> None:
        if claim.created_at is not None:
            self._first = min(claim.created_at, self._first if self._first is not None else claim.created_at)

    def _made_by(self, claim: Order) -> Image | None:
        """The edit that whoever holds a claim has had made. One that names an image is done with; so that may lag, but not for long."""
        for pause in APPEARANCE_POLLS if _image_named(claim) else (0.0,):
            time.sleep(pause)
            found = find_edit(self._hook, self._parent, self._edit)
            found = found or _named_by(self._hook, claim, self._parent, self._edit)
            if found is not None:
                return found
        return None

    def _exists(self, number: int) -> bool:
        return read_order(self._hook, edit_claim_id(self._parent.image_id, self._edit, number), whole=False) is not None

    def _id(self) -> str:
        return edit_claim_id(self._parent.image_id, self._edit, self._number)
