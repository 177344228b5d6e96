"""What a download of single images must not be written over: original photos, and what a batch has made of other photos."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping
from itertools import chain

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Bracket, Image, Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from airflow_provider_autoenhance.pipeline.records import records_in, to_line
from airflow_provider_autoenhance.pipeline.remote.identity import name_of, source_of
from airflow_provider_autoenhance.pipeline.remote.images import read_order
from airflow_provider_autoenhance.storage import open_destination
from airflow_provider_autoenhance.storage.location import locate

_NAMESPACE = uuid.UUID("8d7c3f0e-6b1f-5c52-9a53-4f0f7c0f6a21")


def check_overwriting(
    hook: AutoenhanceHook, files: Mapping[str, Image], conn_id: str | None, *, folder: str, order: Order | None = None
) -> None:
    """Refuse to write over an original, as the metadata of images says, or over what a batch has made of another photo, as its records say.

    :param files: URIs to be written, each with its image.
    :param conn_id: connection of their store.
    :param folder: the destination, or the folder of a file.
    :param order: that of the images, where all of them are downloaded.
    :raises SettingsError: naming the file.
    """
    originals = _Originals(hook)
    for each in order.images if order else files.values():
        originals.add(each)
    if order is None:
        originals.add_neighbours(files)
    for uri, image in files.items():
        if original := originals.at(uri):
            raise errors.SettingsError(
                f"{image.label} would be written over {_shown(uri)}, the original of {original!r}; photos are never written over. "
                "Choose another destination."
            )
    _check_records(originals, files, conn_id, folder)
    for uri, image in files.items():
        if originals.lie_beside(uri):
            _claim(uri, image, conn_id)


class _Originals:
    """Files that images were made from, by place."""

    def __init__(self, hook: AutoenhanceHook) -> None:
        self._hook = hook
        self._places: dict[str, Image | Bracket] = {}
        self._exposures: dict[str, tuple[Bracket, ...]] = {}

    def add(self, image: Image) -> None:
        """Add what an image was made from: its photo; or the exposures of its order, where its metadata names none."""
        for made in [image] if source_of(image) else self._exposures_of(image):
            if source := source_of(made):
                self._places[_place(source)] = made

    def add_neighbours(self, files: Mapping[str, Image]) -> None:
        """Where an image would be written beside its own original, add those of its order: its name may be another's."""
        folders = {place.rpartition("/")[0] for place in self._places}
        for uri, image in files.items():
            if image.order_id and _place(uri).rpartition("/")[0] in folders:
                order = read_order(self._hook, image.order_id, whole=False)
                for each in order.images if order else ():
                    self.add(each)
                return

    def lie_beside(self, uri: str) -> bool:
        """Whether originals lie in the folder of a file."""
        return _place(uri).rpartition("/")[0] in {place.rpartition("/")[0] for place in self._places}

    def at(self, uri: str) -> str | None:
        """Name whose original lies at a place."""
        made = self._places.get(_place(uri))
        return name_of(made) if made else None

    def is_of(self, source: str, image: Image) -> bool:
        """Whether a file is what an image was made from."""
        made = self._places.get(_place(source))
        return made is not None and made.image_id == image.image_id

    def _exposures_of(self, image: Image) -> tuple[Bracket, ...]:
        if image.order_id and image.order_id not in self._exposures:
            try:
                self._exposures[image.order_id] = self._hook.list_brackets(image.order_id)
            except errors.NotFoundError:
                self._exposures[image.order_id] = ()
        return self._exposures.get(image.order_id or "", ())


def _claim(uri: str, image: Image, conn_id: str | None) -> None:
    """Take a name among originals, which only some images of this folder may know: a file that no download has noted may be one of them."""
    folder, _, name = _shown(uri).rpartition("/")
    noted = open_destination(f"{folder}/{RECORDS_FOLDER}/{uuid.uuid5(_NAMESPACE, name)}.download", conn_id=conn_id)
    if noted.stat() is not None:
        return
    if open_destination(uri, conn_id=conn_id).stat() is not None:
        raise errors.SettingsError(
            f"{image.label} would be written over {_shown(uri)}, which lies among originals and may be one; photos are never written over. "
            "Choose another destination, or another name."
        )
    line = to_line({"name": name, "image_id": image.image_id})
    noted.write(io.BytesIO(line), size=len(line), content_type="application/json")


def _check_records(originals: _Originals, files: Mapping[str, Image], conn_id: str | None, folder: str) -> None:
    names = {uri.rpartition("/")[2] for uri in files}
    mine = {_place(uri): (uri, image) for uri, image in files.items()}
    for place in dict.fromkeys([folder, *(uri.rpartition("/")[0] + "/" for uri in files)]):
        for record in records_in(place, conn_id):
            for row in record.rows.values():
                to_come = row.targets if row.status == "pending" else []
                for target in chain(to_come, (output["uri"] for output in row.outputs)):
                    if target.rpartition("/")[2] not in names or _place(target) not in mine:
                        continue
                    uri, image = mine[_place(target)]
                    if row.image_id == image.image_id or originals.is_of(row.source, image):
                        continue
                    if target in to_come or open_destination(uri, conn_id=conn_id).stat() is not None:
                        raise errors.SettingsError(
                            f"{image.label} would be written over {target}, which {record.origin} makes from {row.source}. "
                            "Choose another destination, or another name."
                        )


def _place(uri: str) -> str:
    """What tells a file from all others of its store, however it is spelled; on a disk, links are followed."""
    return locate(uri, conn_id=None, error=errors.SettingsError).real_place


def _shown(uri: str) -> str:
    return locate(uri, conn_id=None, error=errors.SettingsError).uri
