"""One photo from where it lies to Autoenhance, checked on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.photo import uploadable
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.remote.create import ensure_image
from airflow_provider_autoenhance.pipeline.remote.exposure import ensure_bracket
from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket
from airflow_provider_autoenhance.storage import DEFAULT_ACCESS, SourceAccess, open_source
from airflow_provider_autoenhance.storage.streams import CheckedReader

log = logging.getLogger(__name__)

#: Errors that every other photo of a batch would meet too. No exception that is not this provider's own is among them: what nobody
#: foresaw may be about one photo alone, and where it is not, the photos fail by name one by one, and what they have bought stays bought.
FATAL = (errors.AuthenticationError, errors.ConnectionConfigError, errors.DestinationError)


@dataclass(frozen=True)
class PhotoSource:
    """A photo to be uploaded.

    :param uri: where it is opened; may be a presigned address, which is never shown.
    :param access: what the connection allows of sources.
    :param etag: what it must still be, where that is known from a listing.
    :param converted: outputs that will be encoded here; a photo too long for one is not sent.
    """

    uri: str = field(repr=False)
    conn_id: str | None = None
    access: SourceAccess = DEFAULT_ACCESS
    etag: str | None = None
    converted: Sequence[OutputSpec] = ()

    @contextmanager
    def open(self) -> Iterator[CheckedReader]:
        """Open it, check its type, and stream it so that a file that is cut short is never sent whole.

        :raises SourceError: missing, empty, or not a type that Autoenhance takes.
        :raises ConversionError: too long for an output.
        """
        with open_source(self.uri, conn_id=self.conn_id, access=self.access) as source:
            if self.etag is not None and source.etag != self.etag:
                raise errors.IntegrityError(f"{source.uri} has changed since it was listed; try again.")
            if self.converted:
                from airflow_provider_autoenhance.imaging.convert import check_source

                check_source(source.peek(), self.converted, about=source.uri)
            with uploadable(source) as body:
                yield body


def upload_photo(
    hook: AutoenhanceHook, photo: PhotoSource, *, image_id: str, token: str, content_type: str | None = None
) -> str:
    """Upload, unless the image has its bytes; make the image again where its upload URL has expired.

    :param token: sealed upload ticket of the creation, empty when the image was adopted.
    :returns: the id of the image that has the bytes.
    """
    ticket = UploadTicket.open(token, hook.config.api_key, about=f"image {image_id}") if token else None
    image = _current(hook, image_id, ticket)
    if image is not None and image.status not in (ImageStatus.WAITING, ImageStatus.EXPIRED):
        log.info("%s has its bytes already (%s)", image.label, image.status)
        return image.image_id
    if ticket is None:
        raise errors.ImageExpiredError(f"image {image_id} has no bytes and no upload ticket. Clear its create task.")
    if image is not None and image.status is ImageStatus.WAITING:
        try:
            return _put(hook, photo, replace(ticket, content_type=ticket.content_type or content_type), image.image_id)
        except errors.UploadUrlExpiredError as error:
            log.info("%s", error)
    made = ensure_image(hook, ticket)
    log.info("Made %s again", made.image.label)
    return made.image.image_id if made.adopted else _put(hook, photo, made.ticket, made.image.image_id)


def _current(hook: AutoenhanceHook, image_id: str, ticket: UploadTicket | None) -> Image | None:
    try:
        return hook.get_image(image_id)
    except errors.NotFoundError:
        if ticket is None:
            raise
        return None


def upload_exposure(hook: AutoenhanceHook, photo: PhotoSource, *, bracket_id: str, order_id: str, token: str) -> str:
    """Upload, unless the bracket has its bytes; make the bracket again where its upload URL has expired.

    :param token: sealed upload ticket of the creation, empty when the bracket was adopted.
    :returns: the id of the bracket that has the bytes.
    """
    about = f"bracket {bracket_id}"
    ticket = UploadTicket.open(token, hook.config.api_key, about=about, kind="bracket") if token else None
    current = next((each for each in hook.list_brackets(order_id) if each.bracket_id == bracket_id), None)
    if current is not None and current.is_uploaded:
        log.info("Bracket %r (%s) has its bytes already", current.name, bracket_id)
        return bracket_id
    if ticket is None:
        raise errors.NotFoundError(
            f"{about} of order {order_id} has no bytes and no upload ticket. Clear its create task."
        )
    if current is not None:
        try:
            return _put(hook, photo, ticket, bracket_id)
        except errors.UploadUrlExpiredError as error:
            log.info("%s", error)
    made = ensure_bracket(hook, ticket)
    log.info("Made bracket %r again (%s)", made.bracket.name, made.bracket.bracket_id)
    return made.bracket.bracket_id if made.adopted else _put(hook, photo, made.ticket, made.bracket.bracket_id)


def _put(hook: AutoenhanceHook, photo: PhotoSource, ticket: UploadTicket, remote_id: str) -> str:
    about = f"{ticket.kind} {ticket.image_name!r} ({remote_id})"
    hook.upload(ticket.upload_url, photo.open, about=about, sent_at_creation=ticket.content_type)
    log.info("Uploaded %s to %s", redact_url(photo.uri), about)
    return remote_id


def upload_new(
    hook: AutoenhanceHook,
    job: Job,
    photo: Photo,
    create: Callable[[], tuple[str, str]],
    discard: Callable[[str], None],
) -> str:
    """Create a place for a photo of a batch, and upload it there. The photo is opened and looked at before anything is created.

    :param create: gives an id and its upload URL.
    :param discard: takes back an id when its photo turns out to be bad.
    :returns: the id.
    :raises SourceError: the photo is bad, or its name is not text: Autoenhance would be asked to keep it, and might not give it back.
    """
    try:
        photo.source.encode()
    except UnicodeEncodeError:
        raise errors.SourceError(f"{photo.path!r}: the file's name is not text in UTF-8. Rename it.") from None
    origin = photo.origin
    source = PhotoSource(origin.given, origin.conn_id, job.sources.access, etag=photo.etag, converted=job.converted)
    with ExitStack() as stack:
        first = [stack.enter_context(source.open())]  # what was looked at is the first try's body
        created_id, upload_url = create()

        @contextmanager
        def body() -> Iterator[CheckedReader]:
            if first:
                yield first.pop()
            else:
                with source.open() as again:
                    yield again

        try:
            hook.upload(upload_url, body, about=f"photo {photo.path!r}")
        except errors.SourceError:
            discard(created_id)
            raise
    return created_id
