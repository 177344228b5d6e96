"""The gallery's routes. Each needs Airflow's login, and those of a DAG the permission for it; see :mod:`.access`.

All functions are plain ones, so that they run in threads: they wait for the database and for stores.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as HTTPError
from starlette.responses import HTMLResponse, JSONResponse, Response

from airflow_provider_autoenhance.api.errors import AutoenhanceError, SourceError
from airflow_provider_autoenhance.plugins.gallery import base_path, tasks
from airflow_provider_autoenhance.plugins.gallery.access import LOGGED_IN, READS_DAG, ReadableDags
from airflow_provider_autoenhance.plugins.gallery.listing import (
    DamagedListError,
    Listing,
    Listings,
    open_inside,
    read_inside,
    read_listing,
)
from airflow_provider_autoenhance.plugins.gallery.pictures import MAX_THUMBNAIL_BYTES, send_picture

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

#: What the server's own answers may do in a browser.
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; script-src 'self'; connect-src 'self'; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_SCRIPTS = ("gallery.js", "tab.js", "recent.js")
_ASK_AGAIN = {"Cache-Control": "private, no-cache"}

_router = APIRouter()
_listings = Listings()


def build_gallery() -> FastAPI:
    """Return the app that the plugin mounts."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, exception_handlers={HTTPError: _refuse})
    app.add_middleware(_Secured)
    app.include_router(_router)
    return app


class _Secured:
    """Puts the security headers on each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY)
            await send(message)

        await self._app(scope, receive, secured)


@_router.get("/{script}.js", dependencies=LOGGED_IN)
def script(script: str) -> Response:
    """A module of the page."""
    if f"{script}.js" not in _SCRIPTS:
        raise HTTPException(404)
    text = (files(__package__) / "static" / f"{script}.js").read_text(encoding="utf-8")
    return Response(text, media_type="text/javascript", headers=_ASK_AGAIN)


@_router.get("/", dependencies=LOGGED_IN)
def recent_page() -> Response:
    """The page over recent runs."""
    return _page("Photos of recent runs", "recent")


@_router.get("/recent")
def recent(readable: ReadableDags) -> Response:
    """Recent runs of DAGs that the user may read."""
    return JSONResponse({"runs": tasks.recent_runs(readable)}, headers=_ASK_AGAIN)


@_router.get("/run/{dag_id}/{run_id:path}", dependencies=READS_DAG)
def run_page(dag_id: str, run_id: str) -> Response:
    """The page of a run."""
    return _page(f"Photos of {dag_id}, {run_id}", "gallery", dag_id=dag_id, run_id=run_id)


@_router.get("/task/{dag_id}/{task_id}/{map_index}/{run_id:path}", dependencies=READS_DAG)
def task_page(dag_id: str, task_id: str, map_index: int, run_id: str) -> Response:
    """The page of a task."""
    about = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": str(map_index)}
    return _page(f"Photos of {dag_id}, {task_id}, {run_id}", "gallery", **about)


@_router.get("/tasks/{dag_id}/{run_id:path}", dependencies=READS_DAG)
def tasks_of_run(dag_id: str, run_id: str) -> Response:
    """The tasks of a run that have photos."""
    return JSONResponse({"tasks": tasks.tasks_of(dag_id, run_id)}, headers=_ASK_AGAIN)


@_router.get("/photos/{dag_id}/{task_id}/{map_index}/{run_id:path}", dependencies=READS_DAG)
def photos(request: Request, dag_id: str, task_id: str, map_index: int, run_id: str) -> Response:
    """The photos of a task, or in one word why there are none."""
    key = tasks.Key(dag_id, run_id, task_id, map_index)
    with _explained(key):
        task = tasks.find_task(key)
        about: dict[str, Any] = {"task_state": task.state, "label": task.label, "ended": task.ended, "photos": []}
        if task.folder is None and task.begun:
            return _rows(request, about | {"state": "forgotten"})
        if not task.lists:
            return _rows(request, about | {"state": "unlisted" if task.ended else "running"})
        try:
            listing = _listings.keep(key, read_listing(task))
        except DamagedListError:
            return _rows(request, about | {"state": "damaged"})
        except SourceError as error:
            log.info("The list of %s cannot be read: %s", key, error)
            return _rows(request, about | {"state": "gone"})
        found = {
            "state": "ready",
            "photos": listing.photos,
            "damaged": listing.damaged,
            "written_at": listing.written_at,
        }
        later = listing.run_id if listing.run_id != run_id else None
        return _rows(request, about | found | {"later_run": later}, etag=listing.etag(f"{about} {later}"))


@_router.get("/thumbnail/{dag_id}/{task_id}/{map_index}/{name}/{run_id:path}", dependencies=READS_DAG)
def thumbnail(request: Request, dag_id: str, task_id: str, map_index: int, name: str, run_id: str) -> Response:
    """A small picture that the task has made, before or after."""
    key = tasks.Key(dag_id, run_id, task_id, map_index)
    with _explained(key):
        listing = _listings.of(key)
        if name not in listing.thumbnails:
            raise tasks.UnknownTaskError
        return _picture(request, listing, listing.thumbnails[name], seconds=300, most=MAX_THUMBNAIL_BYTES)


@_router.get("/output/{dag_id}/{task_id}/{map_index}/{run_id:path}", dependencies=READS_DAG)
def output(request: Request, dag_id: str, task_id: str, map_index: int, run_id: str, name: str) -> Response:
    """A photo as it was published, at full size."""
    key = tasks.Key(dag_id, run_id, task_id, map_index)
    with _explained(key):
        listing = _listings.of(key)
        if name not in listing.outputs:
            raise tasks.UnknownTaskError
        return _picture(request, listing, name, seconds=60)


def _picture(request: Request, listing: Listing, path: str, *, seconds: int, most: int | None = None) -> Response:
    source = open_inside(listing.folder, path)
    if most is not None and source.size > most:
        source.close()
        raise tasks.UnknownTaskError

    def read(offset: int, length: int) -> bytes:
        return read_inside(listing.folder, path, offset, length)

    return send_picture(request, source, read, name=path, seconds=seconds)


@contextmanager
def _explained(key: tasks.Key) -> Iterator[None]:
    """Answer errors: what there is not, and what a store does not give for the moment. Neither says more."""
    try:
        yield
    except (tasks.UnknownTaskError, DamagedListError) as error:
        log.debug("Refused for %s: %s", key, error)
        raise HTTPException(404) from None
    except SourceError as error:
        log.info("Not given for %s: %s", key, error)
        raise HTTPException(404) from None
    except AutoenhanceError as error:
        log.warning("The store failed for %s: %s", key, error)
        raise HTTPException(503, headers={"Retry-After": "5"}) from None


def _rows(request: Request, content: dict[str, Any], *, etag: str | None = None) -> Response:
    headers = _ASK_AGAIN | ({"ETag": f'"{etag}"'} if etag else {})
    if etag and f'"{etag}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(json.dumps(content), media_type="application/json", headers=headers)


def _page(title: str, module: str, **about: str) -> Response:
    data = "".join(f' data-{name.replace("_", "-")}="{escape(value)}"' for name, value in about.items())
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>html{{color-scheme:light dark}}body{{margin:0}}</style></head>"
        f'<body><main id="autoenhance-photos"{data}></main>'
        f'<script type="module" src="{escape(base_path())}/gallery/{module}.js"></script></body></html>',
        headers=_ASK_AGAIN,
    )


async def _refuse(request: Request, error: Any) -> Response:
    """Answer an error: to a program as FastAPI does, to a person as a page."""
    if error.status_code in (401, 403, 404) and "text/html" in request.headers.get("accept", ""):
        return _refusal(request, error.status_code)
    return await http_exception_handler(request, error)


def _refusal(request: Request, status: int) -> Response:
    """What a person sees who is not logged in, or may not read the DAG."""
    base = base_path().removesuffix("autoenhance")
    again = quote(request.url.path, safe="/") if status == 401 else ""
    words, way = (
        (
            "Log in to Airflow to see these photos.",
            f'<a href="{escape(base)}api/v2/auth/login?next={escape(again)}">Log in</a>',
        )
        if status == 401
        else ("You may not read this DAG in Airflow. Ask whoever gives permissions there.", "")
        if status == 403
        else ("There are no such photos.", "")
    )
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Photos</title>'
        "<style>html{color-scheme:light dark;font:16px system-ui}body{margin:3rem auto;max-width:30rem;padding:0 1rem}</style></head>"
        f"<body><main><h1>Photos</h1><p>{words}</p><p>{way}</p></main></body></html>",
        status_code=status,
        headers=_ASK_AGAIN,
    )
