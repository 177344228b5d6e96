"""Images and orders that somebody deletes in the web app, and source files that go away, while a task waits for them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.orders import AutoenhanceProcessOrderOperator
from airflow_provider_autoenhance.pipeline.remote import images as ledger
from airflow_provider_autoenhance.sensors.status import AutoenhanceOrderStatusSensor
from airflow_provider_autoenhance.storage.local import LocalDestination
from tests.storage.web_host import Host, page
from tests.support.batch import event_of, fill, fill_up_destination, manifest, operator, outputs
from tests.support.photos import Sized, exposure, photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of, context, run

#: Longer than any test takes.
FOR_EVER = [600.0, 600.0]


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LOST_ORDER_POLLS", (0.0, 0.01))


def night(*, waits: Iterable[Callable[[], Any]] = (), **options: Any) -> dict[str, Any]:
    """Run a task as a worker would, through as many deferrals as it takes.

    :param waits: what happens during its first ones.
    """
    happens = iter(waits)
    about = {"run_id": options.pop("run_id", "night-1"), "try_number": options.pop("try_number", 1)}
    it = operator(**options)
    step: Callable[[], Any] = lambda: it.execute(context(it, **about))  # noqa: E731
    while True:
        try:
            return dict(step())
        except TaskDeferred as deferral:
            next(happens, lambda: None)()
            payload = json.loads(json.dumps(asyncio.run(event_of(deferral.trigger))))
            again = operator(**options)
            step = lambda again=again, payload=payload: again.execute_complete(context(again, **about), payload)  # noqa: E731


def waiting_for(autoenhance: Sandbox, number: int) -> list[dict[str, Any]]:
    """The images, once so many are being enhanced and have been looked at since."""
    while True:
        ledger = autoenhance.ledger()
        under_way = [each for each in ledger["images"] if each["status"] == "processing" and not each["deleted"]]
        if len(under_way) == number:
            return sorted(under_way, key=lambda image: str(image["name"]))
        time.sleep(0.02)


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something beside the block."""
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)


def check_books(autoenhance: Sandbox, photos: int, made: int) -> None:
    books = autoenhance.ledger()
    assert (books["credits"]["spent"], books["images_created"], books["images_live"]) == (photos, made, photos)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_deleted_image_is_failed_by_name_at_once_and_made_anew_by_the_next_try(
    s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool
) -> None:
    autoenhance.settings(processing_seconds=FOR_EVER)
    names = fill(s3, 3)

    def delete_one() -> None:
        images = waiting_for(autoenhance, 3)
        AutoenhanceHook().delete_image(images[1]["image_id"])
        autoenhance.settings(processing_seconds=[0, 0])
        for image in (images[0], images[2]):
            AutoenhanceHook().process_image(image["image_id"])

    with (
        meanwhile(delete_one),
        pytest.raises(errors.ServerError, match=r"1 of 3 photos failed.*001.jpg: its image is gone"),
    ):
        night(deferrable=deferrable, timeout=300)
    assert outputs(s3) == ["maple/000.jpg", "maple/002.jpg"]
    (lost,) = [row for row in manifest(s3) if row["status"] == "failed"]
    assert (lost["transient"], lost["credits"], lost["credit_spent"]) == (True, 0, False)
    assert night(deferrable=deferrable, try_number=2)["landed"] == 3
    assert outputs(s3) == [f"maple/{name}" for name in names]
    check_books(autoenhance, photos=3, made=4)


def test_an_image_that_is_deleted_while_its_task_is_deferred_ends_the_wait_though_another_takes_its_place(
    s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    autoenhance.settings(processing_seconds=FOR_EVER)
    fill(s3, 2)
    it = operator(deferrable=True, timeout=6 * 3600)
    with pytest.raises(TaskDeferred) as deferral:
        it.execute(context(it))
    first, _ = waiting_for(autoenhance, 2)
    hook = AutoenhanceHook()
    upload(hook, hook.create_image("stranger.jpg", order_id=first["order_id"]), photo())
    hook.delete_image(first["image_id"])
    event = asyncio.run(asyncio.wait_for(event_of(deferral.value.trigger), 30))
    assert event["error"] == "NotFoundError"


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "not durable"])
def test_a_deleted_order_fails_its_own_photos_only(
    s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool, durable: bool
) -> None:
    autoenhance.settings(processing_seconds=FOR_EVER)
    fill(s3, 2, "maple/up")
    fill(s3, 2, "maple/down")

    def delete_one() -> None:
        images = waiting_for(autoenhance, 4)
        (gone,) = [order["order_id"] for order in autoenhance.ledger()["orders"] if order["name"] == "up"]
        AutoenhanceHook().delete_order(gone)
        autoenhance.settings(processing_seconds=[0, 0])
        for image in images:
            if image["order_id"] != gone:
                AutoenhanceHook().process_image(image["image_id"])

    with meanwhile(delete_one):
        if deferrable and not durable:  # nothing is remembered of the wait, so what is gone counts as never made
            assert night(deferrable=deferrable, timeout=300, durable=durable)["landed"] == 4
        else:
            with pytest.raises(errors.ServerError, match=r"2 of 4 photos failed.*its image is gone"):
                night(deferrable=deferrable, timeout=300, durable=durable)
    for try_number in (2, 3):
        assert night(deferrable=deferrable, try_number=try_number, durable=durable)["landed"] == 4
    check_books(autoenhance, photos=4, made=6)


def test_an_image_that_its_order_does_not_list_yet_is_not_gone(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders may lag behind what was just created in them."""
    fill(s3, 3)
    read, reads = AutoenhanceHook.get_order, iter(range(100))

    def lagging(self: AutoenhanceHook, order_id: str) -> Any:
        order = read(self, order_id)
        return replace(order, images=order.images[:1]) if next(reads) < 4 else order

    monkeypatch.setattr(AutoenhanceHook, "get_order", lagging)
    assert night()["landed"] == 3
    check_books(autoenhance, photos=3, made=3)


def shoot(s3: SimpleNamespace, brackets: int) -> None:
    for bracket in range(brackets):
        for number, stop in enumerate((-2, 0, 2)):
            s3.put(f"maple/{bracket}{number}.jpg", exposure(20 * bracket + 0.4 * number, stop))


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("brackets", ["exif", "auto"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_deleted_merged_image_is_made_anew(
    s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool, brackets: str, number: int
) -> None:
    autoenhance.settings(processing_seconds=FOR_EVER)
    shoot(s3, number)

    def delete_one() -> None:
        first, *rest = waiting_for(autoenhance, number)
        AutoenhanceHook().delete_image(first["image_id"])
        autoenhance.settings(processing_seconds=[0, 0])
        for image in rest:
            AutoenhanceHook().process_image(image["image_id"])

    landed = 0
    with meanwhile(delete_one):
        for try_number in (1, 2, 3):
            try:
                landed = night(deferrable=deferrable, brackets=brackets, try_number=try_number, timeout=300)["landed"]
            except errors.ServerError as error:
                assert "its image is gone" in str(error)
            else:
                break
    assert landed == number
    check_books(autoenhance, photos=number, made=number + 1)


# Single tasks


def process(deferrable: bool) -> AutoenhanceProcessOrderOperator:
    return AutoenhanceProcessOrderOperator(
        task_id="process",
        order_id="o1",
        number_of_brackets_per_image=2,
        deferrable=deferrable,
        poll_interval=0.05,
        timeout=300,
    )


def through(task: Any) -> Any:
    try:
        return run(task)
    except TaskDeferred as deferral:
        return task.execute_complete(context(task), asyncio.run(event_of(deferral.trigger)))


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_process_order_ends_when_its_images_are_gone(autoenhance: Sandbox, deferrable: bool) -> None:
    autoenhance.settings(processing_seconds=FOR_EVER)
    hook = AutoenhanceHook()
    hook.create_order(order_id="o1")
    for name in ("a.jpg", "b.jpg"):
        made = hook.create_bracket(name, order_id="o1")
        hook.upload(made.upload_url, lambda: nullcontext(Sized(photo())), about=name)
    deleted = meanwhile(lambda: hook.delete_image(waiting_for(autoenhance, 1)[0]["image_id"]))
    with deleted, pytest.raises(AirflowFailException, match="order o1 no longer lists"):
        through(process(deferrable))


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_the_order_sensor_names_what_is_gone(autoenhance: Sandbox, deferrable: bool) -> None:
    autoenhance.settings(processing_seconds=FOR_EVER)
    hook = AutoenhanceHook()
    for name in ("a.jpg", "b.jpg"):
        upload(hook, hook.create_image(name, order_id="o1"), photo())
    before = autoenhance.ledger()["requests"].get("GET /v3/orders/{id}", 0)

    def delete_one() -> None:
        images = waiting_for(autoenhance, 2)
        while autoenhance.ledger()["requests"].get("GET /v3/orders/{id}", 0) < before + 2:
            time.sleep(0.01)
        hook.delete_image(images[1]["image_id"])

    sensor = AutoenhanceOrderStatusSensor(
        task_id="wait", order_id="o1", expected_images=2, poke_interval=0.05, timeout=300, deferrable=deferrable
    )
    with meanwhile(delete_one), pytest.raises(AirflowFailException, match=r"no longer lists image 'b.jpg'"):
        through(sensor)


# Sources that go away


def put(folder: Path, *names: str) -> Path:
    """Lay photos into a folder, each of its own shade."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(shade=40 + 7 * len(list(folder.rglob("*.jpg")))))
    return folder


def landed_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg") if ".autoenhance" not in str(path)
    )


def while_deferred(act: Callable[[], Any], **options: Any) -> dict[str, Any]:
    """Run a task through its wait, during which something happens."""
    return night(deferrable=True, waits=[act], **options)


def remove(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


@pytest.fixture
def slow(autoenhance: Sandbox) -> Sandbox:
    autoenhance.settings(processing_seconds=[1.0, 1.0])
    return autoenhance


@contextmanager
def failing_downloads(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, *names: str) -> Iterator[None]:
    """Let files be bought, and not be published."""
    write = LocalDestination.write

    def bad(self: LocalDestination, body: Any, **about: Any) -> Any:
        if self.uri.endswith(names):
            body.read(10)
            raise errors.ServerError("the disk hiccups")
        return write(self, body, **about)

    with monkeypatch.context() as patch:
        patch.setattr(LocalDestination, "write", bad)
        yield


@pytest.mark.parametrize("if_empty", ["warn", "fail"])
@pytest.mark.parametrize("group_by", ["folder", "all"])
@pytest.mark.parametrize("template", [None, "{stem}-web.jpg"])
@pytest.mark.parametrize("left", [["day/2.jpg"], []], ids=["one is left", "all are gone"])
def test_what_is_awaited_lands_though_its_source_is_gone(
    tmp_path: Path, slow: Sandbox, left: list[str], if_empty: str, group_by: str, template: str | None
) -> None:
    names = ["0.jpg", "day/1.jpg", "day/2.jpg"]
    source = put(tmp_path / "in", *names)
    done = while_deferred(
        lambda: remove(source, *(name for name in names if name not in left)),
        source=f"{source}/",
        destination=f"{tmp_path}/out/",
        if_empty=if_empty,
        group_by=group_by,
        destination_template=template,
    )
    assert (done["photos"], done["landed"], done["failed"], done["credits"]) == (3, 3, 0, 3)
    expected = names if template is None else ["0-web.jpg", "1-web.jpg", "2-web.jpg"]
    assert landed_in(tmp_path / "out") == expected
    check_books(slow, photos=3, made=3)


@pytest.mark.parametrize("number", [1, 2], ids=["one is left", "all are gone"])
def test_what_is_bought_lands_in_the_next_try_though_its_source_is_gone(
    tmp_path: Path, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    names = ["0.jpg", "1.jpg"]
    source = put(tmp_path / "in", *names)
    options = {"source": f"{source}/", "destination": f"{tmp_path}/out/"}
    with failing_downloads(autoenhance, monkeypatch, "/0.jpg"), pytest.raises(errors.ServerError, match="hiccups"):
        night(**options)
    remove(source, *names[:number])
    for try_number in (2, 3):
        done = night(try_number=try_number, **options)
        assert (done["photos"], done["landed"], done["credits"]) == (2, 2, 2)
    assert landed_in(tmp_path / "out") == names
    check_books(autoenhance, photos=2, made=2)


def test_the_next_night_lands_what_was_bought_and_names_what_was_not(
    tmp_path: Path, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put(tmp_path / "in", "0.jpg", "1.jpg")
    options = {"source": f"{source}/", "destination": f"{tmp_path}/out/"}
    with failing_downloads(autoenhance, monkeypatch, "/0.jpg"), pytest.raises(errors.ServerError):
        night(**options)
    remove(source, "0.jpg")
    put(source, "2.jpg")
    autoenhance.settings(processing_seconds=FOR_EVER)
    it = operator(deferrable=True, **options)
    with pytest.raises(TaskDeferred):
        it.execute(context(it, run_id="night-2"))
    assert landed_in(tmp_path / "out") == ["0.jpg", "1.jpg"]
    remove(source, "2.jpg")
    done = night(run_id="night-3", **options)
    assert (done["photos"], done["skipped"], done["credits"]) == (1, 1, 0)
    (warning,) = done["warnings"]
    assert "2.jpg" in warning
    assert "night-2" in warning
    autoenhance.settings(processing_seconds=[0, 0])
    AutoenhanceHook().process_image(waiting_for(autoenhance, 1)[0]["image_id"])
    done = night(run_id="night-2", try_number=2, **options)
    assert (done["photos"], done["landed"], done["skipped"], done["warnings"]) == (3, 2, 1, [])
    check_books(autoenhance, photos=3, made=3)


@pytest.mark.parametrize("group_by", ["folder", "all"])
@pytest.mark.parametrize("template", [None, "{stem}-web.jpg"])
@pytest.mark.parametrize("left", [["0.jpg"], []], ids=["another folder is left", "all are gone"])
def test_the_next_night_does_so_of_a_folder_that_is_empty(
    tmp_path: Path,
    autoenhance: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    left: list[str],
    template: str | None,
    group_by: str,
) -> None:
    source = put(tmp_path / "in", *left, "day/1.jpg", "day/2.jpg", "day/3.jpg")
    options = {
        "source": f"{source}/",
        "destination": f"{tmp_path}/out/",
        "group_by": group_by,
        "destination_template": template,
        "concurrency": 1,
    }
    autoenhance.settings(daily_limit=len(left) + 2)
    bought = "/1.jpg" if template is None else "/1-web.jpg"
    with failing_downloads(autoenhance, monkeypatch, bought), pytest.raises(errors.ServerError):
        night(**options)
    remove(source, "day/1.jpg", "day/2.jpg", "day/3.jpg")
    done = night(run_id="night-2", **options)
    assert (done["photos"], done["landed"], done["skipped"], done["credits"]) == (1 + len(left), 1, len(left), 0)
    (warning,) = done["warnings"]
    assert "1 photo (such as '3.jpg'): not landed" in warning
    assert "night-1" in warning


def test_a_photo_whose_source_and_image_are_gone_fails_by_name(tmp_path: Path, slow: Sandbox) -> None:
    source = put(tmp_path / "in", "0.jpg", "1.jpg")
    options = {"source": f"{source}/", "destination": f"{tmp_path}/out/"}

    def act() -> None:
        remove(source, "0.jpg")
        (image,) = (each for each in slow.ledger()["images"] if each["name"].startswith("0-"))
        AutoenhanceHook().delete_image(image["image_id"])

    with pytest.raises(AirflowFailException, match=r"0\.jpg: .*source file is gone"):
        while_deferred(act, **options)
    with pytest.raises(AirflowFailException, match=r"0\.jpg: .*source file is gone"):
        night(try_number=2, **options)
    assert landed_in(tmp_path / "out") == ["1.jpg"]
    check_books(slow, photos=1, made=2)


def test_a_photo_without_an_image_whose_source_is_gone_is_not_missed(tmp_path: Path, autoenhance: Sandbox) -> None:
    source = put(tmp_path / "in", "0.jpg")
    (source / "bad.jpg").write_bytes(photo()[:200])
    options = {"source": f"{source}/", "destination": f"{tmp_path}/out/"}
    with pytest.raises(AirflowFailException, match=r"bad\.jpg"):
        night(**options)
    remove(source, "bad.jpg")
    assert night(try_number=2, **options)["landed"] == 1


def test_a_source_that_is_replaced_is_another_photo(tmp_path: Path, slow: Sandbox) -> None:
    source = put(tmp_path / "in", "0.jpg")
    done = while_deferred(
        lambda: (source / "0.jpg").write_bytes(photo(shade=200)),
        source=f"{source}/",
        destination=f"{tmp_path}/out/",
    )
    assert (done["photos"], done["landed"]) == (1, 1)


@pytest.mark.parametrize("brackets", ["exif", 3, "auto"])
@pytest.mark.parametrize("gone", [slice(1, 2), slice(1), slice(6)], ids=["one exposure", "the first", "all"])
def test_a_merged_photo_lands_though_exposures_are_gone(
    tmp_path: Path, slow: Sandbox, brackets: Any, gone: slice
) -> None:
    """Under the name of its first exposure, whichever is gone."""
    source = tmp_path / "in"
    source.mkdir()
    names = [f"{bracket}{shot}.jpg" for bracket in range(2) for shot in range(3)]
    for name in names:
        second, stop = 20 * int(name[0]) + 0.4 * int(name[1]), 2 * int(name[1]) - 2
        (source / name).write_bytes(exposure(second, stop, size=(800, 600)))
    done = while_deferred(
        lambda: remove(source, *names[gone]),
        source=f"{source}/",
        destination=f"{tmp_path}/out/",
        brackets=brackets,
    )
    assert (done["photos"], done["landed"], done["credits"]) == (2, 2, 2)
    assert landed_in(tmp_path / "out") == ["00.jpg", "10.jpg"]
    assert slow.ledger()["credits"]["spent"] == 2
    done = night(run_id="night-1", try_number=2, source=f"{source}/", destination=f"{tmp_path}/out/", brackets=brackets)
    assert (done["photos"], done["landed"], done["warnings"]) == (2, 2, [])
    assert slow.ledger()["credits"]["spent"] == 2


def test_presigned_sources_may_expire_during_the_wait(
    tmp_path: Path, slow: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowing = json.loads(connection_of(slow, "AUTOENHANCE_DEFAULT")) | {"extra": {"allow_private_sources": True}}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(allowing))
    with Host() as web:
        names = ["0.jpg", "1.jpg"]
        for number, name in enumerate(names):
            web.paths[f"/day/{name}"] = page(photo(shade=60 + number), "?signature=abc")
        options = {
            "source": [web.url(f"/day/{name}?signature=abc") for name in names],
            "destination": f"{tmp_path}/out/",
        }

        def expire() -> None:
            for name in names:
                web.paths[f"/day/{name}"] = lambda handler: handler.send_error(403)

        done = while_deferred(expire, **options)
        assert (done["photos"], done["landed"], done["credits"]) == (2, 2, 2)
        assert landed_in(tmp_path / "out") == names
        assert night(try_number=2, **options)["landed"] == 2
        (tmp_path / "out" / "1.jpg").unlink()
        assert night(try_number=3, **options)["landed"] == 2
        assert landed_in(tmp_path / "out") == names
        with pytest.raises(AirflowFailException, match="refuses access"):
            night(run_id="night-2", **options)
        check_books(slow, photos=2, made=2)
        # One that was never uploaded is asked for by its name, and is missed.
        bad = web.url("/day/bad.jpg?signature=abc")
        web.paths["/day/bad.jpg"] = page(photo()[:200], "?signature=abc")
        for try_number, reason in ((1, "bad.jpg"), (2, "bad.jpg: .*source file is gone")):
            with pytest.raises(AirflowFailException, match=reason):
                night(run_id="night-3", try_number=try_number, **options | {"source": [bad]})
            web.paths["/day/bad.jpg"] = lambda handler: handler.send_error(403)


@pytest.mark.parametrize(
    "asked", [{"include": ["b*.jpg"]}, {"exclude": ["a.jpg"]}, {"recursive": False}], ids=["include", "exclude", "flat"]
)
@pytest.mark.parametrize("bought", [False, True])
def test_what_another_run_was_asked_for_alone_is_not_missed(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], bought: bool
) -> None:
    """Its file is there, and the other run will land it."""
    first = "up/a.jpg" if "recursive" in asked else "a.jpg"
    s3.put(f"maple/{first}", photo(shade=40))
    if bought:
        with monkeypatch.context() as patch:
            fill_up_destination(patch)
            with pytest.raises(AirflowFailException, match="destination is full"):
                night()
    else:
        autoenhance.settings(processing_seconds=FOR_EVER)
        it = operator(deferrable=True)
        with pytest.raises(TaskDeferred):
            it.execute(context(it, run_id="night-1"))
        autoenhance.settings(processing_seconds=[0, 0])
    s3.put("maple/b.jpg", photo(shade=60))
    summary = night(run_id="night-2", **asked)
    assert (summary["photos"], summary["landed"], summary["warnings"]) == (1, 1, [])
    assert outputs(s3) == ["maple/b.jpg"]
