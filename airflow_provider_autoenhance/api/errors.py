"""What can go wrong, and whether trying again can help.

Every error says what happened, to which image, and what to do. ``retryable`` carries the retry meaning: operators fail a task at
once (no Airflow retry) where it is false. All classes survive pickling, because Airflow sends exceptions between processes.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any, ClassVar

from airflow_provider_autoenhance.api.redact import clean_text, one_line

log = logging.getLogger(__name__)

#: Characters of a foreign text that are looked at, and that are shown.
_READ, _SHOWN = 4000, 300


class AutoenhanceError(Exception):
    """Base of everything that this provider raises on purpose.

    Every subclass is caught in the same way::

        try:
            AutoenhanceHook().get_image(image_id)
        except NotFoundError:
            log.info("Somebody has deleted it")
        except AutoenhanceError as error:
            log.info("%s, retry: %s, after %s s", error, error.retryable, error.retry_after)

    :param message: what happened, to which image, and what to do. Never contains a key or a presigned URL. Becomes one line.
    :param status_code: HTTP status of the answer, where there was one.
    :param retry_after: seconds until another try makes sense, where that is known: mostly because the server said so.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, status_code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(one_line(message))
        self.status_code = status_code
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, self.__dict__


class ConnectionConfigError(AutoenhanceError):
    """The Airflow connection cannot be used: no key, bad host, unknown or malformed extra."""


class SettingsError(AutoenhanceError, ValueError):
    """A setting's name or value is wrong, or the pinned API version does not know it. Raised before anything is sent."""


class AuthenticationError(AutoenhanceError):
    """401 or 403 from the API: the key is missing, wrong or not allowed."""


class NoCreditsError(AutoenhanceError):
    """402: a full-size download needs a credit or a plan."""


class NotFoundError(AutoenhanceError):
    """404: unknown, foreign or deleted id."""


class ConflictError(AutoenhanceError):
    """409: the chosen id is taken."""


class InvalidRequestError(AutoenhanceError):
    """400, 405, 413, 422 and their like: the API refuses the request as it stands."""


class RateLimitError(AutoenhanceError):
    """429: too many requests, or the same file name 30 times within an hour."""

    retryable = True


class ServerError(AutoenhanceError):
    """5xx or an answer that is not the contract's."""

    retryable = True


class ForbiddenAddressError(ServerError):
    """An answer leads to an address that may not be asked: not a plain web address, from https to http, or not on the internet.

    Nothing was sent there. A retry would be led there again.
    """

    retryable = False


class UnreachableError(AutoenhanceError):
    """No answer: refused, reset, timed out.

    :param maybe_received: the request may have reached the server, so repeating it blindly could act twice.
    :param waited: seconds that were spent waiting for bytes that did not come.
    """

    retryable = True

    def __init__(self, message: str, *, maybe_received: bool = True, waited: float = 0.0) -> None:
        super().__init__(message)
        self.maybe_received = maybe_received
        self.waited = waited


class UploadError(AutoenhanceError):
    """The upload host refused the bytes for a reason that repeating will not change."""


class UploadUrlExpiredError(UploadError):
    """The presigned upload URL is too old. The image has to be made again; nothing was spent."""


class ImageFailedError(AutoenhanceError):
    """Autoenhance could not process the image; the message carries its ``status_reason``."""


class ImageExpiredError(AutoenhanceError):
    """The image was never uploaded in time, or Autoenhance no longer keeps it."""


class DeadlineError(AutoenhanceError):
    """The wait went past its deadline while the image was still under way."""


class SourceError(AutoenhanceError):
    """A source photo is missing, unreadable, or not something that Autoenhance takes."""


class DestinationError(AutoenhanceError):
    """The destination cannot be written. Checked before a credit is spent."""


class DestinationFullError(DestinationError):
    """The destination has no room left. Every other photo would meet that too."""


class ConversionError(AutoenhanceError):
    """A picture cannot be converted: damaged, too large, or beyond what the output's format can hold."""


class FolderBusyError(AutoenhanceError):
    """Another run works on the same folder. The next try sees what that has done."""

    retryable = True


class StoppedError(AutoenhanceError):
    """Airflow has told the task to stop, so what was not under way is not begun. The next try goes on from there."""

    retryable = True


class IntegrityError(AutoenhanceError):
    """Bytes arrived cut short or altered. Nothing was published."""

    retryable = True


class UnexpectedError(AutoenhanceError):
    """Something that this provider did not foresee: a library's fault, or its own. Another try shows whether it passes."""

    retryable = True


def unexpected(error: Exception, about: str) -> AutoenhanceError:
    """Return any exception as this provider's own: as it is where it is one, else its class and text without credentials.

    A library's text may hold the address that it was given, and that may be presigned. So it is cleaned, and of the traceback only the
    lines of code are logged.

    :param about: what was done, and with which photo.
    """
    if isinstance(error, AutoenhanceError):
        return error
    described = f"{type(error).__name__}: {clean_text(str(error)[:_READ])[:_SHOWN]}".rstrip(": ")
    lines = "".join(traceback.format_tb(error.__traceback__))
    log.warning("%s met an unexpected %s, at:\n%s", one_line(about), type(error).__name__, lines)
    return UnexpectedError(
        f"{about} met an unexpected {described}. Try again; if it comes again, leave the photo out, and report this line to the provider."
    )
