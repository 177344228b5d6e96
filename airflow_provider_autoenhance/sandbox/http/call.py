"""One request as handlers see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import Receive, Scope

from airflow_provider_autoenhance.sandbox.errors import ApiError, invalid, unauthorized
from airflow_provider_autoenhance.sandbox.http.routing import Route
from airflow_provider_autoenhance.sandbox.http.versions import Version
from airflow_provider_autoenhance.sandbox.state.models import Account

if TYPE_CHECKING:
    from airflow_provider_autoenhance.sandbox.api.schemas import Schema
    from airflow_provider_autoenhance.sandbox.state.service import Service
    from airflow_provider_autoenhance.sandbox.state.world import World


MOST_BODY_BYTES = 16 << 20


class Call:
    """
    :param service: the running sandbox.
    :param route: endpoint that was matched.
    :param params: path parameters.
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
        self.version = Version(self.world.settings.account_api_version)
        self.account: Account | None = None
        self._body: bytes | None = None

    @property
    def query(self) -> Mapping[str, str]:
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    @property
    def owner(self) -> Account:
        """Return the account of the key; handlers of keyed routes may rely on it."""
        if self.account is None:
            raise unauthorized()
        return self.account

    @property
    def body_was_read(self) -> bool:
        return self._body is not None

    @property
    def dev_mode(self) -> bool:
        return self.headers.get("x-dev-mode") == "true"

    def authorize(self) -> None:
        """
        Check key and version headers.

        :raises ApiError: 401, 404 (not in this version) or 422.
        """
        self.account = self.world.accounts.get(self.headers.get("x-api-key", ""))
        if self.route.keyed and self.account is None:
            raise unauthorized()
        date = self.headers.get("x-api-version")
        if date is not None:
            if not Version.is_valid(date):
                raise invalid("headers", {"x-api-version": ["Not a valid date."]})
            self.version = Version(date)
        if self.headers.get("x-dev-mode") not in (None, "true", "false"):
            raise invalid("headers", {"x-dev-mode": ["Must be one of: true, false."]})
        if self.route.until and self.version.date >= self.route.until:
            raise ApiError(404)

    async def body(self) -> bytes:
        """
        Read the whole body; for small JSON only.

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
        """
        Read and check a JSON object.

        A body that is not declared as JSON is ignored, as Flask does: missing fields then end in 422.

        :raises ApiError: 400 when it doesn't parse, 422 when it doesn't fit.
        """
        body = await self.raw_json()
        problems = schema.problems(body, strict=self.world.settings.strict)
        if problems:
            raise invalid("json", problems)
        return dict(body)

    async def raw_json(self) -> Any:
        """
        Read JSON without checking it.

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
        """Return the name by which the client reached us, to be used in the URLs it gets."""
        host = self.headers.get("host", "")
        return (host.rsplit(":", 1)[0] if not host.endswith("]") else host).lower()
