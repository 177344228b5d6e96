"""The thumbnails beside a manifest: small WEBP files in ``.autoenhance/thumbnails/``, made as photos pass.

They are for people alone. Whatever goes wrong with one is said once in the log, and fails neither a photo nor a task.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING

from airflow_provider_autoenhance.api.errors import NotFoundError, SourceError, StoppedError
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from airflow_provider_autoenhance.storage import EVERYWHERE, list_files, open_destination, open_source
from airflow_provider_autoenhance.storage.base import BLOCK

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api.calls import Variant
    from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
    from airflow_provider_autoenhance.hooks.download import Download
    from airflow_provider_autoenhance.imaging.thumbnail import Copy, Thumbnail
    from airflow_provider_autoenhance.storage import Source, SourceAccess

    #: Lets a file pass by a copy, from its start.
    Feed = Callable[[Copy], None]

log = logging.getLogger(__name__)

#: Below the folder of the manifest.
THUMBNAILS_FOLDER = f"{RECORDS_FOLDER}/thumbnails/"

#: Bytes. Of a bigger photo Autoenhance makes a small one, for a call: to decode it here takes many times the processor time of that.
MOST_DECODED = 2 << 20
#: What is asked for of an upload, or of an image that is bought: small, free, and kept as it comes.
_SMALL = {"format": "webp", "quality": "70", "max_width": "640"}
#: A bigger file is not a thumbnail of ours.
_MOST_BYTES = 1 << 20
#: Bytes of fresh thumbnails that are kept for the contact sheet, which need not read them again then.
_MOST_KEPT = 4 << 20


def before_name(source: str, etag: str | None, size: int) -> str:
    """Name the thumbnail of a source file. Other settings leave it as it is: it shows what was there before."""
    digest = hashlib.sha256(json.dumps([source, etag, size]).encode()).hexdigest()
    return f"{digest[:32]}-before.webp"


def after_name(fingerprint: str) -> str:
    """Name the thumbnail of what a photo has become."""
    return f"{fingerprint[:32]}-after.webp"


class Thumbnails:
    """The thumbnails of one manifest. Safe to use from many threads; raises nothing.

    ::

        thumbnails = Thumbnails("s3://enhanced/elm/", "aws_default")
        with Copy() as copy:
            ...  # it looks on while the photo passes
            thumbnails.keep(name, copy, about="kitchen.jpg")

    :param folder: URI of the manifest's folder.
    :param conn_id: Airflow connection of it.
    :param few: it is about an image or so: each is asked for by itself, and the folder, which may hold thousands, is not listed.
    """

    def __init__(self, folder: str, conn_id: str | None, *, few: bool = False) -> None:
        self._folder = folder + THUMBNAILS_FOLDER
        self._conn_id = conn_id
        self._lock = threading.Lock()
        self._few = few
        self._known: set[str] | None = set() if few else None
        self._fresh: dict[str, bytes] = {}
        self._room = _MOST_KEPT
        self._failed = 0
        #: Whether Autoenhance has rendered small what it was asked for so far.
        self.renders = True

    def has(self, name: str) -> bool:
        """Whether there is such a thumbnail; by a listing call before the first answer, or a look at each."""
        with self._lock:
            if self._known is None:
                self._known = self._listed()
            if self._few and name not in self._known and self._is_there(name):
                self._known.add(name)
            return name in self._known

    def copy(self, *, whole: bool = False) -> Copy | None:
        """Return what copies a photo as it passes; ``None`` where thumbnails cannot be made here.

        :param whole: of a big one too, since Autoenhance cannot render it.
        """
        if not can_be_made():
            return None
        from airflow_provider_autoenhance.imaging.thumbnail import MOST_COPIED, Copy

        return Copy(MOST_COPIED if whole or not self.renders else MOST_DECODED)

    def keep(self, name: str, copy: Copy, *, about: str) -> bool:
        """Make a thumbnail of what has passed, and write it.

        :returns: whether it could be made of that.
        """
        made = copy.thumbnail(about)
        if made is not None:
            self._write(name, made, about)
        return made is not None

    def make(self, name: str, *ways: Feed, about: str) -> None:
        """Make a thumbnail of what is not at hand, and write it.

        :param ways: tried in turn.
        """
        problem: str | None = None
        for feed in ways:
            try:
                made, problem = self._fed(feed, about)
            except StoppedError:  # the task ends
                return
            if made is not None:
                self._write(name, made, about)
                return
        if problem:
            self._say(about, problem)

    def rendered(self, hook: AutoenhanceHook, image_id: str, *, variant: Variant, preview: bool = True) -> Feed:
        """Have Autoenhance render an image small. If that fails, or it comes back big, the others are decoded here from then on.

        :param preview: ``False`` only of what is bought.
        """

        def receive(copy: Copy, download: Download) -> None:
            copy.begun()
            _pass(download, copy)
            self.renders &= copy.length <= MOST_DECODED

        def feed(copy: Copy) -> None:
            try:
                take = partial(receive, copy)
                hook.download_image(image_id, take, variant=variant, preview=preview, rendering=_SMALL)
            except (NotFoundError, StoppedError):  # of this image alone, or of a task that ends
                raise
            except Exception:
                self.renders = False
                raise

        return feed

    def _fed(self, feed: Feed, about: str) -> tuple[Thumbnail | None, str | None]:
        copy = self.copy(whole=True)
        if copy is None:
            return None, None
        with copy:
            try:
                feed(copy)
                copy.finish()
            except StoppedError:
                raise
            except Exception as error:  # noqa: BLE001 - never the photo's problem
                return None, str(error)
            return copy.thumbnail(about), copy.problem

    def read(self, name: str) -> bytes | None:
        """Read a thumbnail; ``None`` where that cannot be."""
        with self._lock:
            if name in self._fresh:
                return self._fresh[name]
        try:
            with open_source(self._folder + name, conn_id=self._conn_id, access=EVERYWHERE) as source:
                return source.read() if source.size <= _MOST_BYTES else None
        except Exception as error:  # noqa: BLE001 - the sheet names the photo without it
            log.debug("A thumbnail cannot be read: %s", error)
            return None

    def sum_up(self) -> None:
        """Say how many thumbnails there could not be beside the first, which was said at once."""
        if self._failed > 1:
            log.info("Without a thumbnail: %s photos in all", self._failed)

    def _write(self, name: str, made: Thumbnail, about: str) -> None:
        try:
            destination = open_destination(self._folder + name, conn_id=self._conn_id)
            destination.write(BytesIO(made.data), size=len(made.data), content_type="image/webp")
        except Exception as error:  # noqa: BLE001 - never the photo's problem
            self._say(about, str(error))
            return
        with self._lock:
            if self._known is None:
                self._known = self._listed()
            self._known.add(name)
            if len(made.data) <= self._room:
                self._room -= len(made.data)
                self._fresh[name] = made.data

    def _is_there(self, name: str) -> bool:
        try:
            return open_destination(self._folder + name, conn_id=self._conn_id).stat() is not None
        except Exception as error:  # noqa: BLE001 - it is made again
            log.debug("Whether there is a thumbnail cannot be seen: %s", error)
            return False

    def _listed(self) -> set[str]:
        try:
            return {file.name for file in list_files(self._folder, conn_id=self._conn_id, access=EVERYWHERE)}
        except SourceError:  # there is not any yet
            return set()
        except Exception as error:  # noqa: BLE001 - those that are needed are made again
            self._failed += 1
            log.warning("Which thumbnails there are cannot be seen: %s", clean_text(str(error)))
            return set()

    def _say(self, about: str, problem: str) -> None:
        with self._lock:
            self._failed += 1
            first = self._failed == 1
        if first:
            log.info("Without a thumbnail: %s: %s", about, clean_text(problem))


def stored(uri: str, *, conn_id: str | None, access: SourceAccess = EVERYWHERE) -> Feed:
    """Read a file for its thumbnail."""

    def feed(copy: Copy) -> None:
        with open_source(uri, conn_id=conn_id, access=access) as source:
            _pass(source, copy)

    return feed


def _pass(source: Download | Source, copy: Copy) -> None:
    while (block := source.read(BLOCK)) and not copy.problem:
        copy.feed(block)


def can_be_made() -> bool:
    """Whether the library for it is installed."""
    return find_spec("PIL") is not None
