"""A plan's photos looked over before the first upload: what looks wrong is named, and held back where that is asked for.

Where that is asked for, first kilobytes are read of photos that are made, once each: rows remember what they showed. Nothing is read of
what is on the web, where an address may hold for one look alone.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

from airflow_provider_autoenhance.imaging.head import Head
from airflow_provider_autoenhance.imaging.ranges import FIRST_READ
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.plan.decide import Step
from airflow_provider_autoenhance.pipeline.plan.heads import ranges_of, read_heads
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, Plan
from airflow_provider_autoenhance.pipeline.preflight import (
    BRACKET,
    Doubt,
    SeenFile,
    SeenPhoto,
    content_of,
    find_doubts,
    lines_of,
)

#: Photos whose originals are held back are so, too.
_ORIGINAL_HELD = "its original is held back"


def look_over(plan: Plan) -> None:
    """Name what looks wrong about photos that are made, and hold it back where the job asks for that."""
    for folder in plan.folders:
        if not folder.readonly:
            _look_over(folder)


def _look_over(folder: FolderPlan) -> None:
    if not _shows_anything(folder):
        return
    looked_at = dict(_looked_at(folder))
    if not any(look.mine for look in looked_at.values()):
        return
    job = folder.job
    heads = _heads(folder, looked_at)
    photos = [decision.photo for decision in folder.decisions if decision.photo.fingerprint in looked_at]
    # What this run holds for a limit, or fails for its name, is not there yet: its copy may come first.
    idle = {each.photo.fingerprint for each in folder.decisions if each.step in (Step.KEEP, Step.HOLD)}
    there = [photo for photo in photos if looked_at[photo.fingerprint].mine or photo.fingerprint not in idle]
    contents = _contents(job, there, heads)
    beside: dict[str, list[SeenPhoto]] = defaultdict(list)  # group_by="all" puts many folders into one
    for photo in photos:
        for key, files in _parts(photo):
            seen = [
                SeenFile(each.path, each.size, each.etag, heads.get(each.source), contents.get(each.source))
                for each in files
            ]
            doubt, mine = folder.doubts.get(files[0].source), looked_at[photo.fingerprint].mine
            beside[files[0].source.rpartition("/")[0]].append(SeenPhoto(key, seen, doubted=mine, bracket=doubt))
    found = {key: all_ for seen in beside.values() for key, all_ in find_doubts(seen, width=_width(job)).items()}
    told = {key: [each for each in all_ if not _is_told(folder, each)] for key, all_ in found.items()}
    names = {key: files[0].path for photo in photos for key, files in _parts(photo)}
    folder.warnings += [f"{folder.folder.name}: {line}" for line in lines_of(told, names)]
    _apply(folder, found, heads)


def _parts(photo: Photo) -> Iterator[tuple[str, Sequence[Photo]]]:
    """Yield what is looked at as one photo, with its key: each exposure by itself where Autoenhance has yet to group them."""
    if photo.ungrouped:
        yield from ((file.fingerprint, (file,)) for file in photo.files)
    else:
        yield photo.fingerprint, photo.files


def _reads(job: Job) -> bool:
    return job.preflight in ("read", "hold")


def _shows_anything(folder: FolderPlan) -> bool:
    """Whether a folder has more to show than a listing without twins and empty files, which most have to show."""
    if _reads(folder.job) or folder.job.brackets == "exif" or folder.doubts:
        return True
    files = [file for decision in folder.decisions if not decision.photo.original for file in decision.photo.files]
    return len({(file.size, file.etag) for file in files}) < len(files) or any(not file.size for file in files)


class _Look(NamedTuple):
    """What is known of a photo. Of its row it keeps no more, for there may be thousands.

    :param mine: it is this run's; the others stand beside it.
    :param new: it is made, or was by a try that died before it wrote that down.
    :param heads: what its row remembers.
    """

    mine: bool
    new: bool
    heads: Sequence[Mapping[str, Any]]


def _looked_at(folder: FolderPlan) -> Iterator[tuple[str, _Look]]:
    """Yield the photos with what is known of each."""
    if not folder.own.rows and not any(decision.works for decision in folder.decisions):
        return
    rows = folder.rows()
    # What Autoenhance has grouped and cannot enhance has failed before there was a photo to write of.
    begun = {Step.WAIT, Step.DOWNLOAD, *([Step.KEEP] if folder.job.brackets == "auto" else [])}
    for decision in folder.decisions:
        if decision.step is not Step.OMIT and not decision.photo.original:
            row = rows.get(decision.photo.fingerprint)
            new = decision.creates or (row is None and decision.step in begun)
            mine = new or (row is not None and row.run == folder.own.run)
            yield decision.photo.fingerprint, _Look(mine, new, row.heads if row is not None else ())


def _heads(folder: FolderPlan, looked_at: Mapping[str, _Look]) -> dict[str, Head]:
    """The heads of a folder's files, by source: remembered, read for their exposures, or read now."""
    heads = dict(folder.heads)
    unread: list[Photo] = []
    for decision in folder.decisions:
        photo, look = decision.photo, looked_at.get(decision.photo.fingerprint)
        if look is None:
            continue
        if len(look.heads) == len(photo.files):
            found = zip(photo.files, map(Head.from_json, look.heads), strict=True)
            heads.update((file.source, head) for file, head in found if head is not None)
        elif _reads(folder.job) and look.new and not photo.gone:
            unread += [file for file in photo.files if file.source not in heads and not _is_on_web(file)]
    unread = _unremembered(folder, unread, heads)
    read = read_heads(folder.job, unread, unread="is not looked over before it is sent")
    return heads | {source: head for source, (head, _) in read.items()}


def _unremembered(folder: FolderPlan, files: list[Photo], heads: dict[str, Head]) -> list[Photo]:
    """Take heads of files from the rows of other photos that were made of them: in other settings, or with other exposures.

    :param heads: gets what is found.
    :returns: the files of which nothing is.
    """
    wanted = {(file.source, file.etag, file.size) for file in files}
    for row in folder.rows().values() if files else ():
        made = row.exposures or [{"source": row.source, "etag": row.etag, "size": row.size}]
        for each, kept in zip(made, row.heads, strict=True) if len(made) == len(row.heads) else ():
            head = Head.from_json(kept) if (each["source"], each.get("etag"), each["size"]) in wanted else None
            if head is not None:
                heads[each["source"]] = head
    return [file for file in files if file.source not in heads]


def _is_on_web(file: Photo) -> bool:
    return file.source.startswith(("http://", "https://"))


def _contents(job: Job, photos: Iterable[Photo], heads: Mapping[str, Head]) -> dict[str, str]:
    """What tells files of the same content, by source. Where a head is the same, and no etag tells more, other places are read, too."""
    found: dict[str, str] = {}
    alike: dict[tuple[int, str], list[Photo]] = defaultdict(list)
    for file in (file for photo in photos for file in photo.files):
        head = heads.get(file.source)
        content = content_of(file.size, file.etag, head, FIRST_READ)
        if content is not None:
            found[file.source] = content
        if head is not None and file.size > FIRST_READ:
            alike[file.size, head.digest].append(file)
    known = ((files, {found.get(file.source, file.source) for file in files}) for files in alike.values())
    same = [file for files, contents in known if len(contents) > 1 for file in files]
    if same:
        with ThreadPoolExecutor(job.concurrency, thread_name_prefix="autoenhance-twins") as pool:
            samples = zip(same, pool.map(lambda file: _sample(job, file), same), strict=True)
            found.update(
                (file.source, f"{file.size} {heads[file.source].digest} {all_}") for file, all_ in samples if all_
            )
    return found


def _sample(job: Job, file: Photo) -> str | None:
    """A digest of a file's middle and end; ``None`` where they cannot be read."""
    ranges = ranges_of(job, file)
    try:
        parts = [ranges(at, FIRST_READ) for at in (file.size // 2, max(0, file.size - FIRST_READ))]
    except Exception:  # noqa: BLE001 - the upload will tell
        return None
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _width(job: Job) -> int | None:
    return None if job.settings.get("upscale") else max((each.max_width or 0 for each in job.outputs), default=0)


def _is_told(folder: FolderPlan, doubt: Doubt) -> bool:
    """Whether the grouping's own warnings name it."""
    return doubt.kind == BRACKET and doubt.reason in folder.doubts.values()


def _apply(folder: FolderPlan, found: Mapping[str, list[Doubt]], heads: Mapping[str, Head]) -> None:
    """Give each photo what was found, and hold back what is doubtful. What Autoenhance has yet to group cannot be held by the photo."""
    held: set[str] = set()
    for number, decision in enumerate(folder.decisions):
        photo = decision.photo
        if photo.original in held and decision.step is Step.EDIT:
            folder.decisions[number] = replace(decision, step=Step.HOLD, reason=_ORIGINAL_HELD)
        if photo.original or not (decision.works or decision.step in (Step.HOLD, Step.KEEP)):
            continue  # what a limit holds is made another night, and not read again then
        known = [heads[file.source].to_json() for file in photo.files if file.source in heads]
        reasons = tuple(_reasons(photo, found))
        kept = json.dumps(known) if len(known) == len(photo.files) else ""
        folder.decisions[number] = looked = replace(decision, heads=kept, doubts=reasons)
        if reasons and decision.creates and folder.job.preflight == "hold" and not photo.ungrouped:
            held.add(photo.fingerprint)
            reason = f"held by preflight: {'; '.join(reasons)}"
            folder.decisions[number] = replace(looked, step=Step.HOLD, reason=reason)


def _reasons(photo: Photo, found: Mapping[str, list[Doubt]]) -> Iterator[str]:
    for key, files in _parts(photo):
        for each in found.get(key, ()):
            yield f"{files[0].path}: {each.reason}" if files != photo.files else each.reason
