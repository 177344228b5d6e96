"""One photo from where it lies to Autoenhance, checked on the way."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.coerce import is_local_folder
from airflow_provider_autoenhance.api.models import ImageStatus
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.photo import upload_body
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
from airflow_provider_autoenhance.pipeline.job import Job, fingerprint_of
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.remote.create import Made, discard, ensure
from airflow_provider_autoenhance.pipeline.remote.identity import FINGERPRINT_KEY
from airflow_provider_autoenhance.pipeline.remote.images import find_image
from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket
from airflow_provider_autoenhance.pipeline.sources import refuse_pattern
from airflow_provider_autoenhance.storage import DEFAULT_ACCESS, Source, SourceAccess, StoredFile, is_file, open_source
from airflow_provider_autoenhance.storage.location import Location, locate
from airflow_provider_autoenhance.storage.streams import CheckedReader

if TYPE_CHECKING:
    from airflow_provider_autoenhance.imaging.thumbnail import Copy

log = logging.getLogger(__name__)

#: Errors that every other photo of a batch would meet too. No exception that is not this provider's own is among them: what nobody
#: foresaw may be about one photo alone, and where it is not, the photos fail by name one by one, and what they have bought stays bought.
FATAL = (errors.AuthenticationError, errors.ConnectionConfigError, errors.DestinationError, errors.StoppedError)


@dataclass(frozen=True)
class PhotoSource:
    """A photo to be uploaded.

    :param uri: where it is opened; may be a presigned address, which is never shown.
    :param access: what the connection allows of sources.
    :param etag: what it must still be, where that is known from a listing.
    :param converted: outputs that will be encoded here; a photo too long for one is not sent.
    :param copy: gets the bytes as they pass.
    """

    uri: str = field(repr=False)
    conn_id: str | None = None
    access: SourceAccess = DEFAULT_ACCESS
    etag: str | None = None
    converted: Sequence[OutputSpec] = ()
    copy: Copy | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """Its URI without connection and credentials, the same however it is spelled; on a disk, links are followed."""
        return locate(self.uri, conn_id=None, error=errors.SourceError).real_place

    def check_one_file(self) -> None:
        """Refuse a folder and a pattern. A file that cannot be read from here may be there all the same.

        :raises SourceError: it is a folder.
        :raises SettingsError: it is a pattern, and nothing of that name is there.
        """
        location = locate(self.uri, conn_id=self.conn_id, error=errors.SourceError)
        named = location.name.lower().endswith(PHOTO_EXTENSIONS) and not re.search(r"[*?\[]", location.key)
        if location.is_web or (named and not is_local_folder(location.uri)):
            return
        if location.uri.endswith("/") or self._is_folder(location):
            raise errors.SourceError(
                f"{location.uri} is a folder, and this task takes one file. Give it the file, or the folder to AutoenhanceEnhanceOperator."
            )

    def _is_folder(self, location: Location) -> bool:
        try:
            with self._source():  # in a bucket, a file may be called as a folder is
                return False
        except Exception as error:  # noqa: BLE001 - whatever it is, the upload meets it too
            problem = errors.unexpected(error, "the source")
        try:
            found = is_file(location, self.access)
            if found is None:
                refuse_pattern(location, self.access)
        except errors.SettingsError:
            raise
        except Exception:  # noqa: BLE001 - as above
            log.debug("Whether the source is a file cannot be seen from here: %s", problem)
            return False
        return found is False

    @contextmanager
    def open(self) -> Iterator[tuple[StoredFile, CheckedReader]]:
        """Open it, check its type, and stream it so that a file that is cut short is never sent whole.

        :raises SourceError: missing, empty, or not a type that Autoenhance takes.
        :raises ConversionError: too long for an output.
        """
        with self._source() as source:
            if self.etag is not None and source.etag != self.etag:
                raise errors.IntegrityError(f"{source.uri} has changed since it was listed; try again.")
            if self.converted:
                from airflow_provider_autoenhance.imaging.convert import check_source

                check_source(source.peek(), self.converted, about=source.uri)
            with upload_body(source, *([self.copy.begun(source.size)] if self.copy else [])) as body:
                yield source.file, body

    @contextmanager
    def looked_at(self) -> Iterator[tuple[StoredFile, Callable[[], AbstractContextManager[CheckedReader]]]]:
        """Open it at once, and say what it is and how it is opened for each try; the first try gets what was opened."""
        with ExitStack() as stack:
            file, body = stack.enter_context(self.open())
            first = [body]

            @contextmanager
            def opened() -> Iterator[CheckedReader]:
                if first:
                    yield first.pop()
                else:
                    with replace(self, etag=file.etag).open() as (_, again):
                        yield again

            yield file, opened

    def fingerprint(self, settings: Mapping[str, Any]) -> str | None:
        """Look at it, and return the fingerprint that a batch gives it; ``None`` where it is on the web, or cannot be read from here.

        A web address may hold for one look only, and differs from others by a query that no fingerprint knows.

        :param settings: as the wire has them.
        :raises AutoenhanceError: it is a folder or a pattern.
        """
        if self.uri.lower().startswith(("http://", "https://")):
            return None
        try:
            with self._source() as source:
                return self.fingerprint_of(source.file, settings)
        except Exception as error:  # noqa: BLE001 - whatever it is, the upload meets it too
            self.check_one_file()
            found = errors.unexpected(error, "the source")
            log.info("A batch cannot find this image by its photo, because the create task cannot read that: %s", found)
            return None

    def fingerprint_of(self, file: StoredFile, settings: Mapping[str, Any]) -> str:
        """Return the fingerprint of what was found."""
        uri = self.place if file.uri.startswith("/") else file.uri
        return fingerprint_of(uri, file.etag, file.size, settings)

    def _source(self) -> Source:
        return open_source(self.uri, conn_id=self.conn_id, access=self.access)


def upload_photo(
    hook: AutoenhanceHook, photo: PhotoSource, *, image_id: str, token: str, content_type: str | None = None
) -> str:
    """Upload, unless the image has its bytes. The image is made again where its upload URL has expired, or the photo has changed.

    :param token: sealed upload ticket of the creation, empty when the image was adopted.
    :returns: the id of the image that has the bytes.
    """
    photo.check_one_file()
    ticket = UploadTicket.open(token, hook.config.api_key, about=f"image {image_id}") if token else None
    try:
        image = hook.get_image(image_id)
    except errors.NotFoundError:
        if ticket is None:
            raise
        image = None
    if image is not None and image.status not in (ImageStatus.WAITING, ImageStatus.EXPIRED):
        log.info("%s has its bytes already (%s)", image.label, image.status)
        return image.image_id
    if ticket is None:
        raise errors.ImageExpiredError(f"image {image_id} has no bytes and no upload ticket. Clear its create task.")
    waiting = image is not None and image.status is ImageStatus.WAITING
    return _upload(hook, photo, ticket, Made(image_id, ticket) if waiting else None, content_type=content_type).id


def upload_exposure(hook: AutoenhanceHook, photo: PhotoSource, *, bracket_id: str, order_id: str, token: str) -> str:
    """Upload, unless the exposure has its bytes; make it again where its upload URL has expired.

    :param token: sealed upload ticket of the creation, empty when the exposure was adopted.
    :returns: the id of the exposure that has the bytes.
    """
    photo.check_one_file()
    about = f"exposure {bracket_id}"
    ticket = UploadTicket.open(token, hook.config.api_key, about=about, kind="bracket") if token else None
    current = next((each for each in hook.list_brackets(order_id) if each.bracket_id == bracket_id), None)
    if current is not None and current.is_uploaded:
        log.info("Exposure %r (%s) has its bytes already", current.name, bracket_id)
        return bracket_id
    if ticket is None:
        raise errors.NotFoundError(
            f"{about} of order {order_id} has no bytes and no upload ticket. Clear its create task."
        )
    return _upload(hook, photo, ticket, Made(bracket_id, ticket) if current else None).id


def upload_new(hook: AutoenhanceHook, job: Job, photo: Photo, wanted: UploadTicket, copy: Copy | None = None) -> Made:
    """Make a place for a file of a batch, and upload it there. The file is opened and looked at before anything is created.

    :param wanted: the image or exposure; nothing like it is there.
    :param copy: gets the bytes as they pass.
    :returns: what has the bytes.
    :raises SourceError: the file is bad, or its name is not text: Autoenhance would be asked to keep it, and might not give it back.
    """
    try:
        photo.source.encode()
    except UnicodeEncodeError:
        raise errors.SourceError(f"{photo.path!r}: the file's name is not text in UTF-8. Rename it.") from None
    origin = photo.origin
    source = PhotoSource(
        origin.given, origin.conn_id, job.sources.access, etag=photo.etag, converted=job.converted, copy=copy
    )
    return _upload(hook, source, wanted, about=f"photo {photo.path!r}")


def _upload(
    hook: AutoenhanceHook,
    photo: PhotoSource,
    wanted: UploadTicket,
    made: Made | None = None,
    *,
    about: str = "",
    content_type: str | None = None,
) -> Made:
    """Put the bytes where they belong. Where the upload URL has expired, the image or exposure is made again, once.

    :param made: what waits for the bytes, where a task has made it.
    :param about: what errors call a file of a batch. What the batch makes for a bad one is taken back.
    :param content_type: MIME type, where none was sent at the creation.
    """
    of_batch = bool(about)
    with photo.looked_at() as (file, opened):
        if not of_batch and FINGERPRINT_KEY in wanted.metadata:
            now = photo.fingerprint_of(file, wanted.settings)
            if wanted.metadata[FINGERPRINT_KEY] != now:  # the photo has changed since
                wanted, made = replace(wanted, metadata={**wanted.metadata, FINGERPRINT_KEY: now}), None

        def put(made: Made) -> Made:
            if made.adopted:
                return made
            name = about or made.label
            sent = wanted.content_type or content_type
            try:
                hook.upload(made.ticket.upload_url, opened, about=name, sent_at_creation=sent)
            except errors.SourceError:
                if of_batch:
                    discard(hook, wanted.kind, made.id)
                raise
            if not of_batch:
                if wanted.kind == "image" and find_image(hook, made.id) is None:
                    raise errors.FolderBusyError(
                        f"{name} was deleted during the upload; another task may be at work on the same photo. "
                        "The next try sees what that has done."
                    )
                log.info("Uploaded %s to %s", redact_url(photo.uri), name)
            return made

        try:
            return put(made or ensure(hook, wanted, fresh=of_batch))
        except errors.UploadUrlExpiredError as error:
            log.info("%s It is made again.", error)
            return put(ensure(hook, wanted))
