"""A worker killed after each HTTP call and each file that it writes, then retried as Airflow would.

What dies just before an effect leaves the same behind as what dies just after the one before it, where one thread works.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import pytest

from tests.crash.night import (
    BracketNight,
    DuskNight,
    FileNight,
    Files,
    Night,
    Objects,
    OutputsNight,
    RenderedNight,
    ShownNight,
    Worker,
)
from tests.support.sandbox import Sandbox

#: The matrix is cut into slices that run side by side.
SLICES = 4

#: Long enough that every photo of a small batch is still under way when the task looks, before it is deferred.
UNDER_WAY = [0.15, 0.15]


def nights(
    worker: Worker,
    sandbox: Sandbox,
    folder: Path,
    *,
    deferrable: bool,
    kind: type[Night] = Night,
    switches: Mapping[str, object] = MappingProxyType({}),
    **options: object,
) -> Iterator[Night]:
    """Yield fresh nights, each with empty stores and an empty ledger.

    :param switches: of the sandbox.
    """
    for number in count():
        sandbox.reset(**{"processing_seconds": UNDER_WAY} if deferrable else {}, **switches)
        place = folder / str(number)
        yield kind(worker, sandbox, Files(place), deferrable=deferrable, **options)
        shutil.rmtree(place)


def kill_everywhere(fresh: Iterable[tuple[int, Night]], *, effects: int) -> None:
    """Kill the first try of each night at another effect, until one ends before it is killed.

    :param effects: how many there are at least.
    """
    for last, night in fresh:
        ended = night.run("night-1", last=last)
        about = f"killed after effect {last}: {ended}"
        assert ended["end"] == "success", about
        try:
            night.check()
        except AssertionError as error:
            raise AssertionError(about) from error
        if ended["tries"] == 1:
            assert last > effects, f"only {last} effects were seen"
            return


def follow(fresh: Iterable[tuple[int, Night]]) -> None:
    """Kill the only try of a run at an effect of each night; another run does its work, and the first one, cleared, finds it done."""
    for last, night in fresh:
        night.run("night-1", last=last, tries=1)
        ended = night.run("night-2")
        assert ended["end"] == "success", f"killed at effect {last}: {ended}"
        night.check()
        assert night.run("night-1")["end"] == "success", "the first run, cleared, finds everything done"
        night.check()


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_killed_anywhere(worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool, part: int) -> None:
    """Every call site, one after the other: a single thread makes their order the same each time."""
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=deferrable)
    kill_everywhere(zip(count(part + 1, SLICES), fresh, strict=False), effects=30)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_killed_while_photos_are_shown(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool
) -> None:
    """The other nights write nothing for people, which would be as many places again to die at."""
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=deferrable, kind=ShownNight)
    for last, night in zip(range(4, 72, 7), fresh, strict=False):
        assert night.run("night-1", last=last)["end"] == "success"
        night.check()


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_killed_while_autoenhance_renders_the_pictures(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool
) -> None:
    """They are asked for beside the transfers, and the last of them when all rows are written."""
    fresh = nights(
        worker, copying_sandbox, tmp_path, deferrable=deferrable, kind=RenderedNight, switches={"render": "copy-big"}
    )
    kill_everywhere(zip(count(1 + deferrable, 3), fresh, strict=False), effects=45)


def test_killed_while_photos_are_looked_over(worker: Worker, copying_sandbox: Sandbox, tmp_path: Path) -> None:
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=False, preflight="read")
    for last, night in zip(range(1, 40, 5), fresh, strict=False):
        assert night.run("night-1", last=last)["end"] == "success"
        night.check()


def test_killed_while_photos_are_held(worker: Worker, copying_sandbox: Sandbox, tmp_path: Path) -> None:
    """All are previews: no try makes any, and the run that lets them go lands them."""
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=False, preflight="hold")
    for last, night in zip(count(1), fresh, strict=False):
        ended = night.run("night-1", last=last)
        assert ended["end"] == "success", f"killed after effect {last}: {ended}"
        assert copying_sandbox.ledger()["images_created"] == 0, f"killed after effect {last}"
        night.choose(preflight="warn")
        assert night.run("night-2")["end"] == "success"
        night.check()
        if ended["tries"] == 1:
            assert last > 3, f"only {last} effects were seen"
            return


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_killed_with_four_threads(worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool) -> None:
    chosen = range(2, 40, 4)
    for last, night in zip(
        chosen, nights(worker, copying_sandbox, tmp_path, deferrable=deferrable, concurrency=4), strict=False
    ):
        assert night.run("night-1", last=last, before=last % 2 == 0)["end"] == "success"
        night.check()


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_killed_on_the_way_to_one_file(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool
) -> None:
    """What another night wants in another file beside it is downloaded, and not bought again."""
    for last in range(2, 26, 4):
        copying_sandbox.reset(**{"processing_seconds": UNDER_WAY} if deferrable else {})
        night = FileNight(worker, copying_sandbox, Files(tmp_path / str(last)), deferrable=deferrable)
        for run_id, name in (("night-1", "kitchen.jpg"), ("night-2", "hall.jpg")):
            night.name_file(name)
            assert night.run(run_id, last=last if run_id == "night-1" else 0)["end"] == "success"
            night.check()


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_another_run_after_a_killed_one_makes_no_second_image(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool
) -> None:
    follow(zip(range(1, 40, 3), nights(worker, copying_sandbox, tmp_path, deferrable=deferrable), strict=False))


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_killed_with_nothing_remembered_beside_the_outputs(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool
) -> None:
    """Without records, a retry finds by the orders' derived ids what an earlier try made, and counts it against its limit."""
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=deferrable, durable=False, max_credits=4)
    for last, night in zip(range(1, 40, 4), fresh, strict=False):
        assert night.run("night-1", last=last)["end"] == "success"
        night.check()


def test_killed_where_autoenhance_chooses_the_ids(worker: Worker, copying_sandbox: Sandbox, tmp_path: Path) -> None:
    """The other nights choose their images' ids; without that, what a lost answer left is searched for."""
    fresh = nights(
        worker, copying_sandbox, tmp_path, deferrable=False, photos=2, switches={"chosen_image_ids": "ignored"}
    )
    kill_everywhere(zip(count(1, 2), fresh, strict=False), effects=15)


def test_killed_with_several_files_of_each_photo(worker: Worker, copying_sandbox: Sandbox, tmp_path: Path) -> None:
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=False, kind=OutputsNight)
    for last, night in zip(range(1, 60, 4), fresh, strict=False):
        ended = night.run("night-1", last=last)
        assert ended["end"] == "success", f"killed at effect {last}: {ended}"
        night.check()


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_premium_edits_killed_anywhere(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool
) -> None:
    """No kill has a second edit made of a photo, nor bought."""
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=deferrable, kind=DuskNight, photos=1)
    kill_everywhere(zip(count(1), fresh, strict=False), effects=25)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_another_run_after_a_killed_one_has_no_second_edit_made(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool
) -> None:
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=deferrable, kind=DuskNight)
    follow(zip(range(1, 70, 6), fresh, strict=False))


def test_killed_on_s3(worker: Worker, sandbox: Sandbox, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    for last in range(1, 40, 4):
        sandbox.reset(render="copy", processing_seconds=[0, 0])
        for bucket in ("listings", "enhanced"):
            s3.client.create_bucket(Bucket=bucket)
        night = Night(worker, sandbox, Objects(s3))
        assert night.run("night-1", last=last)["end"] == "success"
        night.check()


@pytest.mark.parametrize(
    ("deferrable", "brackets"), [(True, "exif"), (False, "auto")], ids=["deferrable-exif", "sync-auto"]
)
def test_brackets_killed_anywhere(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool, brackets: str
) -> None:
    """No kill makes Autoenhance merge a bracket twice, and no exposure is left there unexplained."""
    fresh = nights(
        worker, copying_sandbox, tmp_path, deferrable=deferrable, kind=BracketNight, brackets=brackets, group_by="all"
    )
    kill_everywhere(zip(count(1), fresh, strict=False), effects=25)


@pytest.mark.parametrize("brackets", ["exif", "auto"])
def test_another_run_after_a_killed_one_merges_nothing_again(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, brackets: str
) -> None:
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=True, kind=BracketNight, brackets=brackets)
    follow(zip(range(1, 45, 2), fresh, strict=False))


WARM = {"enhance_type": "warm", "sky_replacement": True}
MODERN = {"enhance_type": "modern"}


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_another_style_killed_anywhere_spends_nothing(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, deferrable: bool
) -> None:
    fresh = nights(worker, copying_sandbox, tmp_path, deferrable=deferrable, photos=2, settings=WARM)
    for last, night in zip(count(1), fresh, strict=False):
        assert night.run("night-0")["end"] == "success"
        night.choose(settings=MODERN)
        ended = night.run("night-1", last=last)
        ledger = copying_sandbox.ledger()
        about = f"killed after effect {last}: {ended}"
        assert (ended["end"], ledger["images_created"], ledger["credits"]["spent"]) == ("success", 2, 2), about
        for image in ledger["images"]:
            assert image["settings"] == MODERN | {"sky_replacement": False}, about
            assert image["processing_runs"] == 2, about
        if ended["tries"] == 1:
            assert last > 10, f"only {last} effects were seen"
            return


@pytest.mark.parametrize("brackets", ["none", "exif", "auto"])
def test_another_style_after_a_killed_run_buys_nothing_again(
    worker: Worker, copying_sandbox: Sandbox, tmp_path: Path, brackets: str
) -> None:
    """The killed run may have bought what it wrote of nowhere."""
    kind = Night if brackets == "none" else BracketNight
    fresh = nights(
        worker, copying_sandbox, tmp_path, deferrable=False, kind=kind, photos=2, settings=WARM, brackets=brackets
    )
    for last, night in zip(count(1, 2), fresh, strict=False):
        killed = night.run("night-0", last=last, tries=1)
        night.choose(settings=MODERN)
        assert night.run("night-1")["end"] == "success"
        spent = copying_sandbox.ledger()["credits"]["spent"]
        assert spent == 2, f"killed after effect {last}: {spent} credits"
        if killed["end"] == "success":
            assert last > 10, f"only {last} effects were seen"
            return
