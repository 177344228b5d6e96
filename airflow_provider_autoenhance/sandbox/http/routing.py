"""Routing: werkzeug finds the endpoint of a request, as in Flask: 308 on a missing slash, 404 on one too many, 405."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from starlette.responses import Response
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, RequestRedirect, Rule

from airflow_provider_autoenhance.sandbox.errors import ApiError, not_found, redirect_response
from airflow_provider_autoenhance.sandbox.http.call import Route


class Redirect(Exception):  # noqa: N818 - an answer, not an error
    """A path lacks its final slash.

    :param location: the path with the slash, and the query.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        super().__init__(location)

    def response(self, origin: str) -> Response:
        """Build the answer.

        :param origin: scheme and host by which the client came.
        """
        return redirect_response(308, origin + self.location)


class Router:
    """Finds endpoints.

    :param routes: all endpoints of one listener.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        rules = [Rule(_rule(route.template), endpoint=route, methods=[route.method]) for route in routes]
        self._paths = Map(rules, merge_slashes=False).bind("sandbox")

    def match(self, method: str, raw_path: str, query: str = "") -> tuple[Route, dict[str, str]]:
        """Find the route of a request.

        :param method: HTTP method.
        :param raw_path: path as sent; matched before it is decoded, so that an encoded slash stays part of a name.
        :param query: query string, which a redirect keeps.
        :returns: the route and its path parameters, decoded.
        :raises Redirect: when only the final slash is missing.
        :raises ApiError: 404 or 405.
        """
        if raw_path != f"/{raw_path.lstrip('/')}":
            raise not_found()  # werkzeug reads //sandbox/ as /sandbox/, which the gate would have refused
        try:
            route, params = self._paths.match(raw_path, method, query_args=query)
        except RequestRedirect as redirect:
            raise Redirect(urlsplit(redirect.new_url)._replace(scheme="", netloc="").geturl()) from None
        except MethodNotAllowed as error:
            allowed = {*(error.valid_methods or ()), "OPTIONS"}
            raise ApiError(405, headers={"Allow": ", ".join(sorted(allowed))}) from None
        except NotFound:
            raise not_found() from None
        return route, {name: unquote(value) for name, value in params.items()}


def _rule(template: str) -> str:
    return template.replace("{", "<").replace("}", ">")
