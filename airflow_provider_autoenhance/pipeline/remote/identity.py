"""Who is who at Autoenhance: what an image or exposure remembers in its ``metadata``, and how it is known again.

- ``airflow_identity`` says which creation it is: DAG, run, task, name, source, settings, metadata. Single-image operators write it. It
  never holds ``try_number``, or a retry would find nothing; nor ``map_index``, or a re-expanded list would inherit another item's work
  (apache/airflow#72725).
- ``fingerprint`` says which bytes (URI, etag, size) in which settings. A batch writes it; so does the create operator, if it is given a
  ``source`` in a store that it can look at. The upload makes the image again if the file has changed since, so the fingerprint stays true.
- ``airflow_source`` is the URI of the photo, as a single-image operator was given it; a batch calls it ``source``. No download is written
  over that file.
- An exposure of a batch holds its own fingerprint as ``exposure``; its ``fingerprint`` is that of the photo which it becomes a part of.

An image of the same identity or fingerprint is gone on with, unless both fingerprints are known and differ. So within one order, a batch
goes on with what single-image tasks have made, and a single-image task with what a batch has made, unless it asks for metadata that the
image lacks. Beyond its own orders a batch takes nothing: its records name these before anything is made, and no others. A single-image
task never goes on with another one's image, which that may enhance again or delete.

Autoenhance writes into ``metadata``, and may empty or replace it. What a batch finds without our marks, images and exposures, counts by
its name, which holds a piece of the fingerprint. What a single-image task finds does so in its run's own order; in an order that the DAG
names, only if its metadata is empty or holds what Autoenhance alone has written. An image whose id was chosen for another one does not:
the id is a mark that no version and nobody takes away. Nothing is deleted by its name alone.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.models import Bracket, Image
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.pipeline.photo import Photo

#: Ids of our choice that are tried for one image: those of deleted ones are taken.
MOST_IDS = 8

_NAMESPACE = uuid.UUID("f2a4c1c8-6a57-5b0e-9b0a-3d1f0f6f8f11")

#: Keys of ``metadata``; the module says what each holds. ``airflow_origin`` names the task, for people and for :func:`origin_check`.
IDENTITY_KEY = "airflow_identity"
ORIGIN_KEY = "airflow_origin"
FINGERPRINT_KEY = "fingerprint"
EXPOSURE_KEY = "exposure"
SOURCE_KEY = "airflow_source"

#: Keys that Autoenhance writes, perhaps in the place of all others: when an order is processed, and at an upload.
GROUPED_KEY = "Manually Grouped"
_WRITTEN_BY_API = {GROUPED_KEY, "MIMEType"}

_MARKS = (IDENTITY_KEY, FINGERPRINT_KEY, EXPOSURE_KEY)
_RESERVED = (IDENTITY_KEY, FINGERPRINT_KEY, ORIGIN_KEY, SOURCE_KEY)


def run_order_id(dag_id: str, run_id: str, number: int = 0) -> str:
    """Order that all images created one by one in a DAG run share.

    :param number: how many orders of the run were deleted; their ids cannot be taken again.
    """
    return str(uuid.uuid5(_NAMESPACE, "\0".join(["order", dag_id, run_id, *([str(number)] if number else [])])))


def order_id_of(dag_id: str, run_id: str, task_id: str, name: str) -> str:
    """Order of one name that a task makes in a DAG run."""
    return str(uuid.uuid5(_NAMESPACE, f"named order\0{dag_id}\0{run_id}\0{task_id}\0{name}"))


def chosen_image_id(order_id: str | None, metadata: Mapping[str, Any], number: int) -> str | None:
    """Id of the image that is made in an order with these marks: the same at each try. ``None`` where there is not a mark.

    :param metadata: what it is created with.
    :param number: how many images of this one were deleted.
    """
    marks = [str(metadata[key]) for key in (IDENTITY_KEY, FINGERPRINT_KEY) if key in metadata]
    return str(uuid.uuid5(_NAMESPACE, "\0".join(["image", order_id or "", *marks, str(number)]))) if marks else None


def is_chosen_for(made: Image | Bracket, order_id: str | None, metadata: Mapping[str, Any]) -> bool:
    """Whether an image has an id that was chosen for just this.

    :param order_id: the order that holds it.
    :param metadata: what it would be created with now.
    """
    chosen = (chosen_image_id(order_id, metadata, number) for number in range(MOST_IDS))
    return isinstance(made, Image) and made.image_id in chosen


def is_chosen_for_another(made: Image | Bracket, order_id: str | None, metadata: Mapping[str, Any]) -> bool:
    """Whether an image has an id that was chosen for another one than this. Those that Autoenhance chooses are random.

    :param order_id: the order that holds it.
    :param metadata: what this one would be created with, by whoever makes it.
    """
    if not isinstance(made, Image) or not _is_derived(made.image_id):
        return False
    marks = {key: metadata[key] for key in (IDENTITY_KEY, FINGERPRINT_KEY) if key in metadata}
    # A batch knows no identity, and a task that could not look at the photo no fingerprint.
    known = (marks, *({key: marks[key]} for key in marks))
    return not any(is_chosen_for(made, order_id, each) for each in known)


def _is_derived(image_id: str) -> bool:
    try:
        return uuid.UUID(image_id).version == 5
    except ValueError:
        return False


def edit_claim_id(image_id: str, edit: str, number: int) -> str:
    """Order that stands for the making of a premium edit of an image; see :mod:`.edits`.

    :param number: of the claim: a later one takes over from the one before.
    """
    return str(uuid.uuid5(_NAMESPACE, "\0".join(["premium edit", image_id, edit, *([str(number)] if number else [])])))


# What is written


def task_metadata(
    ti: Any,
    name: str,
    *,
    source: str | None,
    user: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    fingerprint: str | None = None,
) -> dict[str, Any]:
    """Return what a single-image task creates an image or exposure with.

    :param ti: the task instance.
    :param source: URI without credentials, the same for each spelling.
    :param user: the metadata that the DAG asks for.
    :param fingerprint: of the source in these settings, where it is known.
    :raises SettingsError: when the DAG asks for a key that is ours.
    """
    if taken := [key for key in _RESERVED if key in user]:
        raise SettingsError(f"{name!r}: the metadata key {taken[0]!r} is this provider's own; choose another.")
    inputs = [ti.dag_id, ti.run_id, ti.task_id, name, source, settings or {}, user]
    identity = hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()
    marks = {IDENTITY_KEY: identity, ORIGIN_KEY: f"{ti.dag_id}/{ti.run_id}/{ti.task_id}[{ti.map_index}]"}
    known = {SOURCE_KEY: source, FINGERPRINT_KEY: fingerprint}
    return {**user, **marks, **{key: value for key, value in known.items() if value}}


def image_metadata(photo: Photo) -> dict[str, Any]:
    """Return what a batch creates an image with."""
    return {"source": photo.source, "etag": photo.etag, "size": photo.size, FINGERPRINT_KEY: photo.fingerprint}


def exposure_metadata(photo: Photo, exposure: Photo) -> dict[str, Any]:
    """Return what a batch creates an exposure with. Where Autoenhance groups, its photo is not known yet."""
    made = image_metadata(exposure) | {EXPOSURE_KEY: exposure.fingerprint, FINGERPRINT_KEY: photo.fingerprint}
    if photo.ungrouped:
        del made[FINGERPRINT_KEY]
    return made


# What is read back


def mark(made: Image | Bracket, key: str) -> str | None:
    """Read one of our marks in the metadata of an image or exposure; somebody else's may hold anything under the same key."""
    value = made.metadata.get(key)
    return value if isinstance(value, str) else None


def source_of(made: Image | Bracket) -> str | None:
    """Return the URI of the photo that an image or exposure was made from, where its metadata says so."""
    return mark(made, SOURCE_KEY) or mark(made, "source")


def exposures_by_mark(exposures: Iterable[Photo]) -> dict[str, str]:
    """Return the fingerprints of exposures by what they are known by at Autoenhance: see :func:`exposure_mark`."""
    known = {clean_text(exposure.image_name): exposure.fingerprint for exposure in exposures}
    return known | {fingerprint: fingerprint for fingerprint in known.values()}


def exposure_mark(made: Bracket) -> str | None:
    """What an exposure of a batch is known by: its mark; where its metadata has none of our keys, its name."""
    return mark(made, EXPOSURE_KEY) if made.metadata.keys() & set(_MARKS) else made.name


def is_own(made: Image | Bracket, metadata: Mapping[str, Any]) -> bool:
    """Whether something was created for just this. If it never got its bytes, it may be deleted.

    :param metadata: what it would be created with now.
    """
    keys = (IDENTITY_KEY,) if IDENTITY_KEY in metadata else (FINGERPRINT_KEY, EXPOSURE_KEY)
    return all(mark(made, key) == metadata.get(key) for key in keys)


def is_marked(made: Image | Bracket) -> bool:
    """Whether the metadata is as this provider wrote it."""
    return any(mark(made, key) for key in _MARKS)


def same_as(
    made: Iterable[Image | Bracket],
    name: str,
    metadata: Mapping[str, Any],
    *,
    order_id: str | None,
    only_ours: bool = False,
) -> list[Image | Bracket]:
    """Return what may be gone on with instead of creating: by its marks; where nothing has the right ones, by its name.

    :param metadata: what would be created with.
    :param order_id: the order that holds what was made.
    :param only_ours: they come from the order of a DAG run, in which nobody else puts anything.
    """
    made, name = list(made), clean_text(name)  # names come back cleaned, as all text of an answer does
    same = [each for each in made if _is_same(each, name, metadata)]
    if same:
        return same
    named = (each for each in made if name_of(each) == name and _counts_by_name(each, metadata, only_ours))
    return [each for each in named if not is_chosen_for_another(each, order_id, metadata)]


def name_of(made: Image | Bracket) -> str:
    """Return its name, as the API answers it."""
    return made.image_name if isinstance(made, Image) else made.name


def _is_same(made: Image | Bracket, name: str, metadata: Mapping[str, Any]) -> bool:
    fingerprints = {mark(made, FINGERPRINT_KEY), metadata.get(FINGERPRINT_KEY)}
    if len(fingerprints - {None}) == 2:
        return False  # the file has changed
    if is_own(made, metadata):
        return True
    if IDENTITY_KEY in metadata and mark(made, IDENTITY_KEY):
        # An identity of an older version tells spellings of one source apart.
        own = (
            mark(made, ORIGIN_KEY) == metadata.get(ORIGIN_KEY) and not mark(made, SOURCE_KEY) and name_of(made) == name
        )
        if not own:
            return False  # another task's, which may enhance it again or delete it
    asked = {key: value for key, value in metadata.items() if key not in _RESERVED}
    by_bytes = isinstance(made, Image) and None not in fingerprints  # an exposure's fingerprint is its photo's
    return by_bytes and all(made.metadata.get(key) == value for key, value in asked.items())


def _counts_by_name(made: Image | Bracket, metadata: Mapping[str, Any], only_ours: bool) -> bool:
    if IDENTITY_KEY in metadata and not only_ours and not _is_nobodys(made.metadata):
        return False  # users choose such names, here and in the web app
    return not is_marked(made)


def _is_nobodys(metadata: Mapping[str, Any]) -> bool:
    """Whether metadata is empty, or of Autoenhance's making: it writes the tags of a file, which begin with a capital."""
    return not metadata or (bool(_WRITTEN_BY_API & metadata.keys()) and all(key[:1].isupper() for key in metadata))


def origin_check(ti: Any, source: str | None) -> Callable[[str, Mapping[str, Any]], None]:
    """Return a check that refuses what another mapped task of the same inputs has made: they would share it, and one photo get lost.

    :param ti: the task instance.
    :param source: of its photo. Where there is one, it keeps the tasks apart.
    """

    def check(label: str, metadata: Mapping[str, Any]) -> None:
        made_by = str(metadata.get(ORIGIN_KEY, ""))
        if made_by and not source and not made_by.endswith(f"[{ti.map_index}]"):
            reason = f"was already made by another mapped task ({made_by}); pass 'source', or give each photo a name of its own."
            raise SettingsError(f"{label} of this run {reason}")

    return check
