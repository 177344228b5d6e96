"""Error answers: the API's JSON, its gateway's HTML, and S3's XML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

from starlette.responses import Response

_XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_S3_CODES = {
    401: "AccessDenied",
    402: "AccessDenied",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    409: "OperationAborted",
    413: "EntityTooLarge",
    421: "InvalidRequest",
    422: "InvalidRequest",
    429: "SlowDown",
    500: "InternalError",
    503: "SlowDown",
}


class SandboxError(Exception):
    """An answer other than success. Handlers raise it, the listener sends it."""

    def response(self) -> Response:
        raise NotImplementedError


class ApiError(SandboxError):
    """An HTTPError or ValidationError of the contract.

    :param status: HTTP status.
    :param message: replaces the standard phrase.
    :param detail: the ``detail`` object.
    :param headers: further headers.
    :param code: a word for programs, beside the message.
    """

    def __init__(
        self,
        status: int,
        message: str | None = None,
        detail: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message or phrase(status)
        self.detail = detail or {}
        self.headers = dict(headers or {})
        super().__init__(f"{status} {self.message}")

    def response(self) -> Response:
        body: dict[str, Any] = {"detail": self.detail, "message": self.message}
        if self.code:
            body["code"] = self.code
        return Response(json.dumps(body), self.status, self.headers, "application/json")

    def storage_response(self) -> Response:
        """Build the answer that S3 gives instead."""
        answer = StorageError(self.status, _S3_CODES.get(self.status, "InternalError"), self.message).response()
        answer.headers.update(self.headers)
        return answer


def unauthorized() -> ApiError:
    """Build the 401 answer."""
    return ApiError(401, headers={"WWW-Authenticate": 'ApiKey realm="Authentication Required"'})


def not_found() -> ApiError:
    """Build the 404 answer."""
    return ApiError(404)


def invalid(location: str, problems: Mapping[str, Any]) -> ApiError:
    """Build the 422 answer.

    :param location: ``json``, ``query`` or ``headers``.
    :param problems: field name to its messages.
    """
    return ApiError(422, "Validation error", {location: dict(problems)})


class StorageError(SandboxError):
    """An error as S3 sends it.

    :param status: HTTP status.
    :param code: S3's name for it.
    :param message: S3's sentence.
    :param fields: further elements of the XML.
    """

    def __init__(self, status: int, code: str, message: str, **fields: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields
        super().__init__(f"{status} {code}: {message}")

    def response(self) -> Response:
        fields = {"Code": self.code, "Message": self.message, **self.fields, "RequestId": "SANDBOX000000000"}
        inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
        headers = {"x-amz-request-id": "SANDBOX000000000"}
        return Response(f"{_XML_HEAD}<Error>{inner}</Error>", self.status, headers, "application/xml")


def phrase(status: int) -> str:
    """Return what an error body says of a status.

    :param status: HTTP status.
    """
    return "Validation error" if status == 422 else HTTPStatus(status).phrase


def html_response(status: int, text: str = "") -> Response:
    """Build the page that a gateway or Flask itself sends instead of JSON.

    :param status: HTTP status.
    :param text: the page's sentence; the status where it is empty.
    """
    title = f"{status} {phrase(status)}"
    body = (
        f"<!doctype html>\n<html lang=en>\n<title>{title}</title>\n<h1>{phrase(status)}</h1>\n<p>{text or title}</p>\n"
    )
    return Response(body, status, media_type="text/html")


def redirect_response(status: int, location: str) -> Response:
    """Build a redirect as Flask does, with a small page that names the address.

    :param status: HTTP status.
    :param location: absolute address.
    """
    shown = escape(location, {'"': "&quot;"})
    body = (
        "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n"
        f'<p>You should be redirected automatically to the target URL: <a href="{shown}">{shown}</a>. If not, click the link.\n'
    )
    return Response(body, status, {"Location": location}, "text/html")


def fault_response(status: int, *, storage: bool, html: bool, message: str | None = None) -> Response:
    """Build an injected error in the style of its host.

    :param status: HTTP status.
    :param storage: whether S3 answers.
    :param html: whether a gateway answers.
    :param message: replaces the standard phrase.
    """
    if html:
        return html_response(status, "The server is temporarily unable to service your request.")
    if storage:
        return StorageError(status, _S3_CODES.get(status, "InternalError"), message or phrase(status)).response()
    if status == 401:
        return unauthorized().response()
    if status == 422 and message is None:
        return invalid("json", {"_schema": ["Injected by a sandbox fault."]}).response()
    return ApiError(status, message).response()
