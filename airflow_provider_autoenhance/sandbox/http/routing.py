"""Finds the endpoint of a request the way Flask does: 308 on a missing slash, 404 on a superfluous one, 405."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.responses import Response

from airflow_provider_autoenhance.sandbox.errors import ApiError, html_response, not_found

if TYPE_CHECKING:
    from airflow_provider_autoenhance.sandbox.http.call import Call

Handler = Callable[["Call"], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """
    One endpoint.

    :param name: operation id in the contract.
    :param keyed: whether it asks for an API key.
    :param until: first API version that no longer has it.
    :param control: whether it steers the sandbox itself: no key, no faults, not counted.
    """

    method: str
    template: str
    name: str
    handler: Handler
    keyed: bool = True
    until: str | None = None
    control: bool = False

    @property
    def label(self) -> str:
        return f"{self.method} {self.template}"


class Redirect(Exception):  # noqa: N818 - an answer, not an error
    """A path that lacks its final slash."""

    def __init__(self, location: str) -> None:
        self.location = location
        super().__init__(location)

    def response(self) -> Response:
        answer = html_response(308, f"You should be redirected automatically to {self.location}.")
        answer.headers["Location"] = self.location
        return answer


class Router:
    """
    :param routes: all endpoints of one listener.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = list(routes)
        self._by_length: dict[int, list[tuple[list[str], Route]]] = {}
        for route in self.routes:
            segments = route.template.split("/")
            self._by_length.setdefault(len(segments), []).append((segments, route))

    def match(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """
        Find the route of a request.

        :param raw_path: path as sent, still percent-encoded.
        :returns: the route and its path parameters, decoded.
        :raises Redirect: when only the final slash is missing.
        :raises ApiError: 404 or 405.
        """
        found = self._candidates(raw_path)
        if not found:
            if not raw_path.endswith("/") and self._candidates(f"{raw_path}/"):
                raise Redirect(f"{raw_path}/")
            raise not_found()
        wanted = "GET" if method == "HEAD" else method
        for route, params in found:
            if route.method == wanted:
                return route, params
        allowed = {route.method for route, _ in found} | {"OPTIONS"}
        if "GET" in allowed:
            allowed.add("HEAD")
        raise ApiError(405, headers={"Allow": ", ".join(sorted(allowed))})

    def _candidates(self, raw_path: str) -> list[tuple[Route, dict[str, str]]]:
        segments = raw_path.split("/")
        found = []
        for pattern, route in self._by_length.get(len(segments), ()):
            params: dict[str, str] = {}
            for expected, actual in zip(pattern, segments, strict=True):
                if expected.startswith("{") and actual:
                    params[expected[1:-1]] = unquote(actual)
                elif expected != actual:
                    break
            else:
                found.append((route, params))
        return found
