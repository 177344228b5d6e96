"""An endpoint, and one request to it as its handler sees it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from marshmallow import Schema, ValidationError, fields
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from airflow_provider_autoenhance.sandbox.errors import ApiError, invalid, unauthorized
from airflow_provider_autoenhance.sandbox.http.versions import Version
from airflow_provider_autoenhance.sandbox.state.models import Account
from airflow_provider_autoenhance.sandbox.state.service import Service
from airflow_provider_autoenhance.sandbox.state.settings import Settings
from airflow_provider_autoenhance.sandbox.state.world import World

MOST_BODY_BYTES = 16 << 20
Unknown = Literal["exclude", "include", "raise"]


class _Headers(Schema):
    """The headers that choose how the API answers."""

    version = fields.Date(data_key="x-api-version")
    dev_mode = fields.Boolean(data_key="x-dev-mode")


_HEADERS = _Headers()
Handler = Callable[["Call"], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """One endpoint.

    :param method: HTTP method.
    :param template: path, with its parameters in braces.
    :param name: operation id in the contract.
    :param handler: answers its requests.
    :param keyed: whether it asks for an API key; a date is the first API version that does.
    :param until: first API version that no longer has it.
    :param control: whether it steers the sandbox itself: no key, no faults, not counted.
    """

    method: str
    template: str
    name: str
    handler: Handler
    keyed: bool | str = True
    until: str | Callable[[Settings], str] | None = None
    control: bool = False

    def is_keyed(self, version: Version) -> bool:
        return version.date >= self.keyed if isinstance(self.keyed, str) else self.keyed

    @property
    def label(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def names(self) -> tuple[str, str]:
        """The names that a fault rule may use for it."""
        return self.name, self.label


class Call:
    """One request to one endpoint.

    :param service: the running sandbox.
    :param route: endpoint that was matched.
    :param params: path parameters.
    :param scope: the request, as ASGI describes it.
    :param receive: yields its body.
    """

    def __init__(self, service: Service, route: Route, params: dict[str, str], scope: Scope, receive: Receive) -> None:
        self.service = service
        self.world: World = service.world
        self.route = route
        self.params = params
        self.scope = scope
        self.receive = receive
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        settings = self.world.settings
        self.version = self._version(settings.account_api_version, settings.account_shape)
        self.dev_mode = False
        self.account: Account | None = None
        self._body: bytes | None = None

    @property
    def query(self) -> Mapping[str, str]:
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    def checked_query(self, schema: Schema) -> dict[str, Any]:
        """Read and check the query string. Parameters that the schema does not name are left out.

        :param schema: its parameters.
        :raises ApiError: 422 when it doesn't fit.
        """
        return _checked(schema, self.query, "query", unknown="exclude")

    @property
    def owner(self) -> Account:
        """The account of the key. On keyed routes there always is one.

        :raises ApiError: 401.
        """
        if self.account is None:
            raise unauthorized()
        return self.account

    @property
    def body_was_read(self) -> bool:
        return self._body is not None

    def _version(self, date: str, account_shape: str | None) -> Version:
        settings = self.world.settings
        return Version(date, account_shape, settings.flags_beside_status, settings.window_pull_type_from)

    def authorize(self) -> None:
        """Check key and version headers.

        :raises ApiError: 401, 404 (not in this version) or 422.
        """
        self.account = self.world.accounts.get(self.headers.get("x-api-key", ""))
        given = _checked(_HEADERS, self.headers, "headers", unknown="exclude")
        if "version" in given:
            self.version = self._version(given["version"].isoformat(), None)
        self.dev_mode = given.get("dev_mode", False)
        if self.account is None and self.route.is_keyed(self.version):
            raise unauthorized()
        until = self.route.until(self.world.settings) if callable(self.route.until) else self.route.until
        if until and self.version.date >= until:
            raise ApiError(404)

    async def body(self) -> bytes:
        """Read the whole body. Only for small ones, such as JSON.

        :raises ApiError: 413 when it is too big.
        """
        if self._body is None:
            body = bytearray()
            async for part in Request(self.scope, self.receive).stream():
                body += part
                if len(body) > MOST_BODY_BYTES:
                    raise ApiError(413, headers={"Connection": "close"})
            self._body = bytes(body)
        return self._body

    async def json(self, schema: Schema) -> dict[str, Any]:
        """Read and check a JSON object.

        A body that is not declared as JSON is ignored, as Flask does: missing fields then end in 422.

        :param schema: its fields.
        :raises ApiError: 400 when it doesn't parse, 422 when it doesn't fit.
        """
        return _checked(
            schema, await self.raw_json(), "json", unknown="raise" if self.world.settings.strict else "include"
        )

    async def raw_json(self) -> Any:
        """Read JSON without checking it.

        :raises ApiError: 400 when it doesn't parse.
        """
        body = await self.body()
        declared = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not body or not (declared == "application/json" or declared.endswith("+json")):
            return {}
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise ApiError(400) from None

    def host_name(self) -> str:
        """Return the name by which the client reached us. The URLs that it is given use it."""
        host = self.headers.get("host", "")
        return (host.rsplit(":", 1)[0] if not host.endswith("]") else host).lower()


def _checked(schema: Schema, data: Any, location: str, *, unknown: Unknown) -> dict[str, Any]:
    try:
        return dict(schema.load(data, unknown=unknown))
    except ValidationError as error:
        raise invalid(location, dict(error.messages_dict)) from None
