"""The worker's client, on ``requests``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_autoenhance.api import calls, coerce, errors
from airflow_provider_autoenhance.api.shown import quoted
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID
from airflow_provider_autoenhance.hooks.config import read_connection
from airflow_provider_autoenhance.hooks.download import Download
from airflow_provider_autoenhance.hooks.rate import TokenBucket
from airflow_provider_autoenhance.hooks.stop import Stop

if TYPE_CHECKING:
    import requests

    from airflow_provider_autoenhance.api import models
    from airflow_provider_autoenhance.api.answers import Answer
    from airflow_provider_autoenhance.api.config import ApiConfig
    from airflow_provider_autoenhance.api.exchange import NoAnswer, Send, Steps
    from airflow_provider_autoenhance.api.settings import WireSettings
    from airflow_provider_autoenhance.hooks.photo import Photo
    from airflow_provider_autoenhance.storage import SourceAccess
    from airflow_provider_autoenhance.transport.requests_session import Sessions, SizedReader

T = TypeVar("T")

Settings = Mapping[str, Any] | str | None


class AutoenhanceHook(BaseHook):
    """Client of the Autoenhance.ai API: one method per endpoint, typed in and out. Safe to share between threads.

    Passing faults are retried here, with backoff, jitter and respect for ``Retry-After``; a creation whose answer got lost is never
    sent again blindly. See :class:`~airflow_provider_autoenhance.api.config.Extra` for the connection's extra fields.

    ::

        hook = AutoenhanceHook()
        created = hook.create_image("elm/kitchen.jpg", settings={"enhance_type": "warm"})
        with open("kitchen.jpg", "rb") as photo:
            hook.upload_photo(created.upload_url, photo)

    :param autoenhance_conn_id: Airflow connection of type ``autoenhance``.
    """

    conn_name_attr = "autoenhance_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "autoenhance"
    hook_name = "Autoenhance"

    def __init__(self, autoenhance_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autoenhance_conn_id = autoenhance_conn_id
        self._stop = Stop()

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Say how Airflow before 3.2 shows the connection form."""
        from airflow_provider_autoenhance.get_provider_info import ui_field_behaviour

        return {name.replace("-", "_"): value for name, value in ui_field_behaviour().items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Build the form fields for Airflow before 3.2."""
        from airflow_provider_autoenhance.hooks.legacy_form import connection_form_widgets

        return connection_form_widgets()

    @cached_property
    def config(self) -> ApiConfig:
        """The checked connection, read once.

        :raises ConnectionConfigError: when it cannot be used.
        """
        return read_connection(self.get_connection(self.autoenhance_conn_id))

    @property
    def source_access(self) -> SourceAccess:
        """What the connection allows of source photos."""
        from airflow_provider_autoenhance.storage import SourceAccess

        extra = self.config.extra
        return SourceAccess(private_hosts=extra.allow_private_sources, local_folders=extra.local_folders)

    def temporary_folder(self) -> str | None:
        """Return the URI of the connection's folder for files that live for a day, once a rule of its bucket deletes them; or ``None``.

        :raises DestinationError: the bucket has no such rule, and does not let this connection make one.
        """
        folder = self.config.extra.temporary_folder
        if folder is not None:
            from airflow_provider_autoenhance.storage.expiry import ensure_expiring
            from airflow_provider_autoenhance.storage.location import locate_folder

            ensure_expiring(locate_folder(folder))
        return folder

    def temporary_url(self, uri: coerce.Place, *, seconds: coerce.Duration = 24 * 60 * 60) -> str:
        """Return a presigned address of a file in the connection's ``temporary_folder``, made now. Who has it may read the file: do not
        log it, and hand it over in no XCom.

        ::

            AutoenhanceHook().temporary_url(landed["uri"], seconds=3600)

        :param uri: of the file, as the task that wrote it returns it.
        :param seconds: how long the address is valid, as a number or a ``timedelta``, up to a day; with passing credentials, not longer
            than these.
        :raises SettingsError: the file lies elsewhere, or the time is out of range.
        """
        from airflow_provider_autoenhance.storage import path_in_store
        from airflow_provider_autoenhance.storage.expiry import DAY, presigned_address
        from airflow_provider_autoenhance.storage.location import locate, locate_folder

        owner, folder = "temporary_url", self.config.extra.temporary_folder
        root = locate_folder(folder) if folder else None
        given = coerce.required(owner, "uri", uri)
        file = locate(given, conn_id=root.conn_id if root else None, error=errors.SettingsError)
        if root is None or not path_in_store(file, root):
            raise errors.SettingsError(f"{file.uri} does not lie in the connection's extra 'temporary_folder'.")
        valid = int(coerce.seconds(owner, "seconds", seconds))
        if not 1 <= valid <= DAY:
            raise errors.SettingsError(f"{owner}: seconds takes 1 to {DAY}, not {quoted(seconds)}.")
        return presigned_address(file, valid)

    @cached_property
    def _bucket(self) -> TokenBucket:
        return TokenBucket(self.config.extra.max_requests_per_second)

    def get_conn(self) -> requests.Session:
        """Return this thread's session. It carries no key by itself: each request adds what its host may see."""
        return self._sessions.mine()

    @cached_property
    def _sessions(self) -> Sessions:
        from airflow_provider_autoenhance.transport.requests_session import Sessions

        return Sessions(self.config)

    def test_connection(self) -> tuple[bool, str]:
        """Try the key with one harmless call; tells a wrong key from a host that cannot be reached. Bounded by one attempt."""
        from airflow_provider_autoenhance.api.answers import Answer
        from airflow_provider_autoenhance.api.exchange import Send, exchange

        try:
            send = next(exchange(calls.list_orders(per_page=1), self.config.base_url, self.config.patience))
            answer = self._send(send) if isinstance(send, Send) else None
        except errors.AutoenhanceError as error:
            return False, str(error)
        if not isinstance(answer, Answer):
            return False, f"{self.config.base_url} cannot be reached: {answer.reason if answer else 'no answer'}."
        if answer.status in (401, 403):
            return False, f"{self.config.base_url} is there but refuses the API key ({answer.status})."
        if answer.status != 200:
            return (
                False,
                f"{self.config.base_url} answered {answer.status}, not what Autoenhance would; check the host.",
            )
        version = f"API version {self._version}" if self._version else "the account's own API version"
        return True, f"Connected to {self.config.base_url} with {version}."

    # Images

    def create_image(
        self,
        image_name: str,
        *,
        image_id: str | None = None,
        order_id: str | None = None,
        settings: Settings = None,
        metadata: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> models.CreatedImage:
        """Register an image and get its upload URL.

        :param image_name: up to 30 images an hour may share one exact name; make it unique.
        :param image_id: an id of your own choice; Autoenhance makes one when left out. A version that does not know it chooses another,
            so go on with the id of the answer.
        :param order_id: existing or new order; Autoenhance makes one when left out.
        :param settings: checked against the pinned API version before anything is sent.
        :param metadata: any JSON object, returned as stored.
        :param content_type: MIME type of the upload; API versions from 2025-05-05 on are not sent it.
        :raises SettingsError: on a bad setting.
        :raises ConflictError: when ``image_id`` is taken.
        :raises UnreachableError: when the answer got lost; read the order before creating again.
        """
        wire = self._wire(settings)
        return self.run(
            calls.create_image(
                image_name,
                image_id=image_id,
                order_id=order_id,
                settings=wire,
                metadata=metadata,
                content_type=content_type,
                version=self._version,
            )
        )

    def get_image(self, image_id: str) -> models.Image:
        """Read an image."""
        return self.run(calls.retrieve_image(image_id))

    def delete_image(self, image_id: str) -> None:
        """Delete an image; gone already is fine."""
        self.run(calls.delete_image(image_id))

    def process_image(self, image_id: str, *, settings: Settings = None) -> models.Image:
        """Enhance an image again; settings left out keep their value. Costs nothing."""
        return self.run(calls.process_image(image_id, settings=self._wire(settings)))

    def update_image(
        self,
        image_id: str,
        *,
        settings: Settings = None,
        image_name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> models.Image:
        """Change an image without enhancing it again, or have a premium edit made of it; what is left out keeps its value.

        ::

            hook.update_image(image_id, image_name="elm/kitchen.jpg")
            dusk = hook.update_image(image_id, settings={"restage": {"environment": "DUSK"}})

        The second call makes another image, whose ``parent_image_id`` is this one's id. Called again, it may make a third, so look for
        the first: :class:`~airflow_provider_autoenhance.operators.premium.AutoenhancePremiumEditOperator` does.

        :param settings: checked against the pinned API version before anything is sent.
        :param metadata: takes the place of the metadata that the image has.
        :returns: the image as it is now; of a premium edit the new image, or the parent where Autoenhance answers that.
        :raises AuthenticationError: premium edits are not enabled for the account.
        :raises InvalidRequestError: a premium edit of an image that has not finished processing.
        :raises UnreachableError: when the answer got lost; look for the edit before asking for it again.
        """
        wire = self._wire(settings, premium=True)
        return self.run(calls.update_image(image_id, settings=wire, image_name=image_name, metadata=metadata))

    def report_image(
        self, image_id: str, *, categories: Sequence[str], comment: str | None = None, score: int | None = None
    ) -> None:
        """Send feedback on an image's quality."""
        self.run(calls.report_image(image_id, categories=categories, comment=comment, score=score))

    def upload(
        self,
        upload_url: str,
        open_body: Callable[[], AbstractContextManager[SizedReader]],
        *,
        about: str,
        sent_at_creation: str | None = None,
    ) -> None:
        """PUT bytes to a presigned URL, streaming, without the API key.

        :param open_body: opens the bytes from their start; called again for each try.
        :param about: which image it is, for messages.
        :param sent_at_creation: MIME type sent when the image was created, if one was.
        :raises UploadUrlExpiredError: when the URL is too old.
        """
        from airflow_provider_autoenhance.api.exchange import arrived
        from airflow_provider_autoenhance.api.uploads import check_upload, check_upload_url, upload_content_type

        check_upload_url(upload_url, self.config.base_url, about, self.config.api_key)
        content_type = upload_content_type(upload_url, sent_at_creation)

        def attempt() -> None:
            self._stop.check(about)
            with open_body() as body:
                answer = arrived(self._put(upload_url, body, content_type), f"{about}: upload failed")
            check_upload(answer, about, content_type)

        self._repeat(attempt)

    def upload_photo(
        self, upload_url: str, photo: Photo, *, name: str = "the photo", sent_at_creation: str | None = None
    ) -> None:
        """PUT a photo that is at hand: bytes, or a file opened for reading bytes. Its content decides its type.

        :param upload_url: of the image's creation.
        :param photo: read from where it stands, and again for each try; not closed.
        :param name: what errors call it.
        :param sent_at_creation: MIME type sent when the image was created, if one was.
        :raises SourceError: empty, cut short, or not a type that Autoenhance takes; it never arrives whole then.
        :raises UploadUrlExpiredError: when the URL is too old.
        """
        from airflow_provider_autoenhance.hooks.photo import held_photo

        with held_photo(photo, name) as open_body:
            self.upload(upload_url, open_body, about=name, sent_at_creation=sent_at_creation)

    def download_image(
        self,
        image_id: str,
        receive: Callable[[Download], T],
        *,
        variant: calls.Variant = "enhanced",
        preview: bool = True,
        rendering: Mapping[str, str] | None = None,
    ) -> T:
        """Stream an image's bytes into ``receive``.

        ``receive`` is called again, with a fresh stream, when the bytes stop short: reading and writing are retried together, because a
        stream cannot be rewound. What is paid for is not paid for again.

        :param variant: ``enhanced`` or ``original``.
        :param preview: a small free rendering; ``False`` spends one credit the first time (enhanced only).
        :param rendering: further query parameters: ``format``, ``quality``, ``max_width``, ``scale``, ``dpi``, ...
        :raises NoCreditsError: when no credit is left.
        """
        call = calls.download_image(
            image_id, variant=variant, preview=preview, rendering=rendering, version=self._version
        )

        def attempt() -> T:
            with self._open(call) as download:
                return receive(download)

        return self._repeat(attempt)

    # Orders and exposures

    def create_order(self, *, order_id: str | None = None, name: str | None = None) -> models.Order:
        """Create an order.

        :raises ConflictError: when the id is taken.
        """
        return self.run(calls.create_order(order_id=order_id, name=name))

    def get_order(self, order_id: str) -> models.Order:
        """Read an order with its images."""
        return self.run(calls.retrieve_order(order_id))

    def list_orders(
        self, *, per_page: int = calls.MAX_ORDERS_PER_PAGE, q: str | None = None, sort: str | None = None
    ) -> Iterator[models.Order]:
        """Read the account's orders with their images, a page at a time; leave off where you have seen enough.

        ::

            for order in hook.list_orders(q="Elm Street", sort="-date"):
                ...

        :param per_page: 1 to 15.
        :param q: text that their names hold; API versions before 2026-11-09 may ignore it.
        :param sort: ``-date`` (newest first), ``date``, ``name`` or ``-name``. Before 2026-11-09 no version promises a sequence.
        """
        pages = calls.OrderPages()
        while not pages.ended:
            page = self.list_orders_page(offset=pages.offset, per_page=per_page, q=q, sort=sort)
            pages.turn(page)
            yield from page.orders

    def list_orders_page(
        self,
        *,
        offset: str | None = None,
        per_page: int = calls.MAX_ORDERS_PER_PAGE,
        q: str | None = None,
        sort: str | None = None,
    ) -> models.OrderPage:
        """Read one page of the account's orders.

        :param offset: ``next_offset`` of the page before; opaque.
        :param per_page: 1 to 15; a page may be shorter.
        :param q: as for :meth:`list_orders`.
        :param sort: as for :meth:`list_orders`.
        """
        return self.run(calls.list_orders(offset=offset, per_page=per_page, q=q, sort=sort))

    def update_order(self, order_id: str, *, name: str) -> models.Order:
        """Rename an order."""
        return self.run(calls.update_order(order_id, name=name))

    def delete_order(self, order_id: str) -> None:
        """Delete an order; gone already is fine."""
        self.run(calls.delete_order(order_id))

    def process_order(
        self,
        order_id: str,
        *,
        groups: Sequence[Sequence[str]] | None = None,
        brackets_per_image: int | None = None,
        settings: Settings = None,
    ) -> models.Order | None:
        """Group an order's exposures and start enhancing.

        :param groups: exposures' ids, one sequence per image; or give ``brackets_per_image``; or neither, and Autoenhance groups.
        """
        wire = self._wire(settings, order=True)
        return self.run(
            calls.process_order(
                order_id,
                groups=groups,
                brackets_per_image=brackets_per_image,
                settings=wire,
                version=self._version,
            )
        )

    def list_brackets(self, order_id: str) -> tuple[models.Bracket, ...]:
        """Read an order's exposures."""
        return self.run(calls.list_brackets(order_id))

    def create_bracket(
        self, name: str, *, order_id: str, metadata: Mapping[str, Any] | None = None
    ) -> models.CreatedBracket:
        """Register one exposure and get its upload URL."""
        return self.run(calls.create_bracket(name, order_id=order_id, metadata=metadata))

    def get_bracket(self, bracket_id: str) -> models.Bracket:
        """Read one exposure (known from one integration only)."""
        return self.run(calls.retrieve_bracket(bracket_id))

    def delete_bracket(self, bracket_id: str) -> None:
        """Delete one exposure (known from one integration only)."""
        self.run(calls.delete_bracket(bracket_id))

    # Stopping

    def stop(self) -> None:
        """Begin nothing more: what is under way goes on, and reading and deleting are still allowed. For ``on_kill``.

        Calls that would make, change, upload or download anything raise a
        :class:`~airflow_provider_autoenhance.api.errors.StoppedError` from now on.
        """
        self._stop.is_set = True

    def wait_until_made(self, seconds: float) -> None:
        """Wait for the answers of calls that make or change something, and were under way when :meth:`stop` was called.

        :param seconds: the longest wait.
        """
        self._stop.wait_until_made(seconds)

    # Carrying out

    @property
    def _version(self) -> str:
        return self.config.extra.api_version

    def _wire(self, settings: Settings, *, order: bool = False, premium: bool = False) -> WireSettings:
        from airflow_provider_autoenhance.api.settings import for_version, wire_settings

        wire = wire_settings(settings, version=self._version, order=order, premium=premium)
        return for_version(wire, self._version)

    def run(self, call: calls.Call[T]) -> T:
        """Carry out a call."""
        from airflow_provider_autoenhance.api.exchange import exchange

        return self._drive(exchange(call, self.config.base_url, self.config.patience), self._send)

    @contextmanager
    def _open(self, call: calls.Call[None]) -> Iterator[Download]:
        """Open the bytes that a download leads to; the response of each step is closed when the next one is sent."""
        from airflow_provider_autoenhance.api.exchange import open_download
        from airflow_provider_autoenhance.transport.requests_session import Streamed

        streamed = Streamed(self._sessions, self.config)

        def send(step: Send) -> Answer | NoAnswer:
            self._keep_pace(step)
            if step.to_api:  # the answer leads to the bytes, and is what costs a credit
                self._stop.check(step.about)
            return streamed.send(step)

        try:
            head = self._drive(open_download(call, self.config.base_url, self.config.patience), send)
            yield Download(call.about, head, streamed.read)
        finally:
            streamed.close()

    def _drive(self, steps: Steps[T], send: Callable[[Send], Answer | NoAnswer]) -> T:
        from airflow_provider_autoenhance.api.exchange import Pause

        answer: Answer | NoAnswer | None = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Pause):
                    self.log.warning("%s", step.reason)
                    self._stop.sleep(step.seconds)
                    answer = None
                else:
                    answer = send(step)
        except StopIteration as finished:
            result: T = finished.value
            return result

    def _send(self, send: Send) -> Answer | NoAnswer:
        from airflow_provider_autoenhance.transport.requests_session import send_once

        self._keep_pace(send)
        with nullcontext() if send.method in ("GET", "DELETE") else self._stop.making(send.about):
            return send_once(self._sessions, self.config, send)

    def _keep_pace(self, step: Send) -> None:
        if step.to_api and (pause := self._bucket.reserve()):
            time.sleep(pause)

    def _put(self, url: str, body: SizedReader, content_type: str) -> Answer | NoAnswer:
        from airflow_provider_autoenhance.transport.requests_session import put_once

        return put_once(self._sessions, self.config, url, body, content_type)

    def _repeat(self, attempt: Callable[[], T]) -> T:
        """Try a transfer again after a passing fault, from its start."""
        from airflow_provider_autoenhance.api.exchange import Tries

        tries = Tries(self.config.patience)
        while True:
            try:
                return attempt()
            except errors.StoppedError:
                raise
            except errors.AutoenhanceError as error:
                waited = error.waited if isinstance(error, errors.UnreachableError) else 0.0
                pause = tries.pause_after(error, waited) if error.retryable else None
                if pause is None:
                    raise
                self.log.warning("%s", tries.announce(error, pause))
            self._stop.sleep(pause)
