"""Photos in other settings: an image that somebody restyled is not delivered as if it were not, and another style buys nothing again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import ImageStatus
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch import engine
from airflow_provider_autoenhance.pipeline.job import Job
from tests.support.batch import Enhance, event_of, fill, manifest, operator, outputs
from tests.support.photos import exposure, photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context

WARM, MODERN = {"enhance_type": "warm"}, {"enhance_type": "modern"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.remote.process.ARRIVAL_POLLS", (0.0,) * 6)


def live(autoenhance: Sandbox) -> list[dict[str, Any]]:
    return [image for image in autoenhance.ledger()["images"] if not image["deleted"]]


def restyle(autoenhance: Sandbox, settings: dict[str, Any]) -> None:
    """Somebody has all images enhanced again with other settings."""
    hook = AutoenhanceHook()
    for image in live(autoenhance):
        hook.process_image(image["image_id"], settings=settings)
    while any(image["status"] == "processing" for image in live(autoenhance)):
        pass


def delete_outputs(s3: SimpleNamespace) -> None:
    for key in outputs(s3):
        s3.client.delete_object(Bucket="enhanced", Key=key)


def runs(autoenhance: Sandbox) -> list[int]:
    """How often each image was enhanced."""
    return [image["processing_runs"] for image in live(autoenhance)]


def books(autoenhance: Sandbox) -> tuple[int, int]:
    """Images made, and credits spent."""
    ledger = autoenhance.ledger()
    return ledger["images_created"], ledger["credits"]["spent"]


SHOTS = [
    pytest.param({}, id="single photos"),
    pytest.param({"brackets": "exif"}, id="exif"),
    pytest.param({"brackets": 3}, id="threes"),
    pytest.param({"brackets": "auto"}, id="auto"),
]


def shoot(s3: SimpleNamespace, options: dict[str, Any]) -> int:
    """Put two photos, or two brackets of three, into the source."""
    for bracket in range(2) if options else ():
        for number in range(3):
            s3.put(f"maple/{bracket}{number}.jpg", exposure(10 * bracket + 0.4 * number, 2.0 * number - 2))
    return 2 if options else len(fill(s3, 2))


@pytest.mark.parametrize(  # each pair of them is there
    ("deferrable", "preview", "asked"),
    [
        pytest.param(False, False, WARM, id="sync-full size-warm"),
        pytest.param(False, True, {}, id="sync-preview-nothing asked"),
        pytest.param(True, False, {}, id="deferrable-full size-nothing asked"),
        pytest.param(True, True, WARM, id="deferrable-preview-warm"),
    ],
)
@pytest.mark.parametrize("shots", SHOTS)
def test_a_restyled_image_is_enhanced_as_asked_before_it_is_downloaded_again(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool, preview: bool, asked: Any, shots: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    number = shoot(s3, shots)
    options = {"settings": asked, "preview": preview, "deferrable": deferrable, **shots}
    first = enhance(**options)
    files, spent = {key: s3.get(key) for key in outputs(s3)}, books(autoenhance)
    restyle(autoenhance, MODERN | {"sky_replacement": True})
    delete_outputs(s3)
    caplog.clear()
    again = enhance(run_id="night-2", **options)
    assert (again["landed"], again["credits"], books(autoenhance)) == (number, 0, spent)
    assert {key: s3.get(key) for key in outputs(s3)} == files, "the photo as it was, not as somebody wished it"
    assert runs(autoenhance) == [3] * number
    assert "other settings since" in caplog.text
    assert enhance(run_id="night-3", **options)["skipped"] == first["photos"]


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("shots", SHOTS)
def test_another_style_enhances_the_bought_images_again_and_buys_nothing(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool, shots: Any
) -> None:
    number = shoot(s3, shots)
    styles = [WARM | {"sky_replacement": True}, MODERN, {"enhance_type": "property"}]
    pictures = []
    for night, settings in enumerate(styles):
        summary = enhance(run_id=f"night-{night}", settings=settings, deferrable=deferrable, **shots)
        assert (summary["landed"], summary["credits"]) == (number, number if night == 0 else 0)
        assert books(autoenhance) == (number, number)
        assert all(image["settings"]["enhance_type"] == settings["enhance_type"] for image in live(autoenhance))
        assert all(image["settings"].get("sky_replacement", False) == (night == 0) for image in live(autoenhance))
        pictures.append([s3.get(key) for key in outputs(s3)])
        assert enhance(run_id=f"night-{night}", settings=settings, deferrable=deferrable, **shots) == summary
    assert len({tuple(each) for each in pictures}) == 3, "each style looks otherwise"
    for night, settings in enumerate(styles):
        summary = enhance(run_id=f"again-{night}", settings=settings, deferrable=deferrable, **shots)
        assert (summary["landed"], summary["credits"], books(autoenhance)) == (number, 0, (number, number))
        assert [s3.get(key) for key in outputs(s3)] == pictures[night], "each style is the one that it was"
    rows = manifest(s3)
    names = {image["image_id"]: image["name"] for image in live(autoenhance)}
    assert all(row["image_name"] == names[row["image_id"]] for row in rows if row["status"] == "landed")


def test_styles_beside_each_other_leave_each_other_alone(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 2)
    for night in (1, 2):
        for name, settings in (("warm", WARM), ("modern", MODERN)):
            template = f"{{folder}}{{stem}}-{name}.jpg"
            summary = enhance(run_id=f"{name}-{night}", settings=settings, destination_template=template)
            assert summary["landed" if night == 1 else "skipped"] == 2
    assert books(autoenhance) == (2, 2)
    assert len(outputs(s3)) == 4


def test_skip_buys_another_style_and_says_so_before(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    fill(s3, 3)
    enhance(settings=WARM)
    ahead = enhance(run_id="plan", settings=MODERN, on_existing="skip", plan_only=True)
    assert ahead["plan"].endswith(
        "3 credits, 3 of them for photos that were bought before; 3 overwrite the file of an earlier style"
    )
    assert any("3 photos (such as '000.jpg'): bought before and bought again" in each for each in ahead["warnings"])
    caplog.clear()
    assert enhance(run_id="night-2", settings=MODERN, on_existing="skip")["credits"] == 3
    told = caplog.text.index("bought again")
    assert told < caplog.text.index("Uploaded")
    assert books(autoenhance) == (6, 6)


@pytest.mark.parametrize(
    "asked", [{"settings": WARM}, {"settings": MODERN}, {"settings": WARM, "on_existing": "reenhance"}], ids=str
)
def test_a_retouched_file_is_named_before_it_is_written_over(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, caplog: pytest.LogCaptureFixture, asked: dict[str, Any]
) -> None:
    fill(s3, 3)
    enhance(settings=WARM)
    s3.client.put_object(Bucket="enhanced", Key="maple/001.jpg", Body=b"retouched")
    ahead = enhance(run_id="plan", plan_only=True, **asked)
    assert ahead["plan"].endswith("; 1 overwrite a file that was changed since it landed")
    expected = "1 photo (such as '001.jpg'): written over a file that somebody has changed since it landed"
    assert [each for each in ahead["warnings"] if each.startswith(expected)]
    caplog.clear()
    assert enhance(run_id="night-2", **asked)["landed"] >= 1
    assert caplog.text.index(expected) < caplog.text.index("Landed")
    assert "changed since it landed" not in enhance(run_id="plan", plan_only=True, **asked)["plan"]


def test_the_dry_run_says_what_a_change_of_settings_costs_and_what_is_overwritten(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 3)
    assert enhance(plan_only=True, settings=WARM)["credits"] == 3
    enhance(settings=WARM)
    ahead = enhance(run_id="plan", settings=MODERN, plan_only=True)
    assert ahead["credits"] == 0
    assert ahead["plan"].startswith("3 photos in 1 folder: 3 reprocess;")
    assert ahead["plan"].endswith("0 credits; 3 overwrite the file of an earlier style")
    assert any("enhanced again with the settings that are asked for now" in each for each in ahead["warnings"])
    assert books(autoenhance) == (3, 3)
    assert runs(autoenhance) == [1, 1, 1]
    for image in live(autoenhance):
        AutoenhanceHook().delete_image(image["image_id"])
    ahead = enhance(run_id="plan", settings=MODERN, plan_only=True)
    assert ahead["credits"] == 3
    assert "3 of them for photos that were bought before" in ahead["plan"]


@pytest.mark.parametrize("what", ["image", "order"])
@pytest.mark.parametrize("settings", [WARM, MODERN], ids=["same style", "another"])
def test_an_image_that_is_gone_is_made_anew_which_costs(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, what: str, settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    fill(s3, 2)
    order = enhance(settings=WARM)["order_ids"][0]
    if what == "order":
        AutoenhanceHook().delete_order(order)
    for image in live(autoenhance):
        AutoenhanceHook().delete_image(image["image_id"])
    delete_outputs(s3)
    summary = enhance(run_id="night-2", settings=settings)
    assert (summary["landed"], summary["credits"], books(autoenhance)) == (2, 2, (4, 4))
    assert "bought again, because its image is gone" in caplog.text


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("lost", ["files", "one file", "format"])
@pytest.mark.parametrize("shots", SHOTS[:2])
def test_a_photo_whose_image_is_gone_is_enhanced_again_from_its_image_in_another_style(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool, lost: str, shots: Any
) -> None:
    number = shoot(s3, shots)
    options = {"deferrable": deferrable, **shots}
    enhance(settings=WARM, **options)
    warm, files = [image["image_id"] for image in live(autoenhance)], {key: s3.get(key) for key in outputs(s3)}
    enhance(settings=MODERN, on_existing="skip", run_id="night-2", destination_template="modern/{name}", **options)
    assert books(autoenhance) == (2 * number, 2 * number)
    for image_id in warm:
        AutoenhanceHook().delete_image(image_id)
    landed, left = number, [key for key in outputs(s3) if "/modern/" not in key]
    if lost == "format":
        options["output_spec"] = "png"
    elif lost == "one file":
        landed, left = 1, left[:1]
    for key in left if lost != "format" else ():
        s3.client.delete_object(Bucket="enhanced", Key=key)
    summary = enhance(settings=WARM, run_id="night-3", **options)
    assert (summary["landed"], summary["credits"], books(autoenhance)) == (landed, 0, (2 * number, 2 * number))
    assert [image["settings"]["enhance_type"] for image in live(autoenhance)].count("warm") == landed
    if lost != "format":
        assert {key: s3.get(key) for key in files} == files


def test_what_cannot_be_taken_back_is_made_anew_and_what_is_known_is_not(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 2)
    enhance(settings=WARM)
    ahead = enhance(run_id="plan", settings={}, plan_only=True)
    assert ahead["credits"] == 2, "nobody knows the account's own style"
    assert enhance(run_id="night-2", settings={})["credits"] == 2
    fill(s3, 3)
    assert enhance(run_id="night-3", settings=WARM)["credits"] == 1
    assert enhance(run_id="night-4", settings={})["credits"] == 0, "the other two photos show the account's own style"
    assert [image["settings"]["enhance_type"] for image in live(autoenhance) if image["settings"]].count("neutral") == 1


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_an_image_that_is_being_restyled_is_waited_for_and_then_enhanced_as_asked(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool
) -> None:
    fill(s3, 2)
    enhance(settings=WARM)
    files = {key: s3.get(key) for key in outputs(s3)}
    delete_outputs(s3)
    autoenhance.settings(processing_seconds=[1, 1])
    for image in live(autoenhance):
        AutoenhanceHook().process_image(image["image_id"], settings=MODERN)
    step = lambda it: it.execute(context(it, run_id="night-2"))  # noqa: E731
    while True:
        try:
            summary = step(operator(settings=WARM, deferrable=deferrable))
            break
        except TaskDeferred as deferral:
            event = asyncio.run(event_of(deferral.trigger))
            step = lambda it, event=event: it.execute_complete(context(it, run_id="night-2"), event)  # noqa: E731
    assert (summary["landed"], summary["credits"], books(autoenhance)) == (2, 0, (2, 2))
    assert {key: s3.get(key) for key in outputs(s3)} == files
    assert runs(autoenhance) == [3, 3]


def test_an_image_that_was_restyled_while_a_task_was_deferred_is_enhanced_as_asked(
    s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 1)
    autoenhance.settings(processing_seconds=[1, 1])
    it = operator(settings=WARM, deferrable=True)
    with pytest.raises(TaskDeferred):
        it.execute(context(it))
    autoenhance.settings(processing_seconds=[0, 0])
    restyle(autoenhance, MODERN)
    again = operator(settings=WARM)
    summary = again.execute_complete(context(again), {"orders": []})
    assert (summary["landed"], summary["credits"]) == (1, 1)
    assert live(autoenhance)[0]["settings"]["enhance_type"] == "warm"
    assert [row["answered"]["enhance_type"] for row in manifest(s3)] == ["warm"]


def test_an_image_of_a_try_that_died_is_held_against_what_was_asked(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    """No row knows it: it is found in its order, by its fingerprint."""
    fill(s3, 2)
    autoenhance.faults([{"endpoint": "download_enhanced_image", "kind": "503", "count": 99}])
    with pytest.raises(errors.AutoenhanceError):
        enhance(settings=WARM)
    autoenhance.faults([])
    restyle(autoenhance, MODERN)
    assert enhance(settings=WARM, try_number=2)["credits"] == 2
    assert {image["settings"]["enhance_type"] for image in live(autoenhance)} == {"warm"}
    assert books(autoenhance) == (2, 2)


def test_a_bought_image_that_failed_in_another_style_is_not_bought_again(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 1)
    enhance(settings=WARM)
    autoenhance.settings(fail_images={"*": "cannot decode"})
    with pytest.raises(AirflowFailException, match="cannot decode"):
        enhance(run_id="night-2", settings=MODERN)
    autoenhance.settings(fail_images={})
    summary = enhance(run_id="night-3", settings=MODERN)
    assert (summary["landed"], summary["credits"], books(autoenhance)) == (1, 0, (1, 1))


def test_previews_in_another_style_cost_nothing_and_the_full_size_one_credit(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 2)
    enhance(settings=WARM, preview=True)
    assert enhance(settings=MODERN, preview=True, run_id="night-2")["credits"] == 0
    assert enhance(settings=MODERN, run_id="night-3", plan_only=True)["credits"] == 2
    assert enhance(settings=MODERN, run_id="night-3")["credits"] == 2
    assert enhance(settings=WARM, run_id="night-4", plan_only=True)["credits"] == 0
    assert enhance(settings=WARM, run_id="night-4")["credits"] == 0
    assert books(autoenhance) == (2, 2)


def test_a_photo_that_changed_is_another_photo(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 2)
    enhance(settings=WARM)
    s3.put("maple/001.jpg", photo(shade=200))
    summary = enhance(settings=MODERN, run_id="night-2")
    assert (summary["landed"], summary["credits"], books(autoenhance)) == (2, 1, (3, 3))


def test_max_credits_holds_nothing_that_is_free(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 3)
    enhance(settings=WARM)
    summary = enhance(settings=MODERN, run_id="night-2", max_credits=0)
    assert (summary["landed"], summary["held"], summary["credits"]) == (3, 0, 0)


@pytest.mark.parametrize("shots", SHOTS[:2])
@pytest.mark.parametrize("settings", [MODERN, WARM], ids=["restyled", "downloaded again"])
def test_a_retry_counts_what_its_photos_cost_and_not_what_is_free(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, settings: Any, shots: Any
) -> None:
    number = shoot(s3, shots)
    enhance(settings=WARM, **shots)
    delete_outputs(s3)
    options = {"settings": settings, "run_id": "night-2", "max_credits": 1, **shots}
    endpoint = "POST /v3/images/{id}/process" if settings is MODERN else "download_enhanced_image"
    autoenhance.faults([{"endpoint": endpoint, "kind": "500", "count": 99}])
    with pytest.raises(errors.ServerError):
        enhance(**options)
    autoenhance.faults([])
    for name, at in (("x.jpg", 50), ("y.jpg", 60)):  # come before the retry
        s3.put(f"maple/{name}", exposure(at, 0) if shots else photo(shade=200 + at))
    for _ in range(2):
        summary = enhance(**options, try_number=2)
        assert (summary["landed"], summary["held"], summary["credits"]) == (number + 1, 1, 1)
    assert books(autoenhance) == (number + 1, number + 1)


def test_an_order_that_cannot_be_read_is_unknown_and_nothing_is_bought(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 2)
    enhance(settings=WARM)
    autoenhance.faults([{"endpoint": "retrieve_order", "kind": "500", "count": 99}])
    with pytest.raises(errors.AutoenhanceError):
        enhance(settings=MODERN, run_id="night-2")
    autoenhance.faults([])
    assert books(autoenhance) == (2, 2)
    assert enhance(settings=MODERN, run_id="night-2")["credits"] == 0


def test_a_credit_is_answered_for_once_whatever_hides_the_row_that_noted_it(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 2)
    assert enhance(run_id="night-1", settings=WARM)["credits"] == 2
    assert enhance(run_id="night-2", settings=WARM, preview=True)["credits"] == 0
    assert enhance(run_id="night-3", settings=MODERN)["credits"] == 0
    assert sum(autoenhance.ledger()["credits"]["by_image"].values()) == 2


# While a run is at it


def person(image_id: str, settings: dict[str, Any]) -> None:
    """Somebody has an image enhanced with other settings, and that is done at once."""
    hook = AutoenhanceHook()
    hook.process_image(image_id, settings=settings)
    while hook.get_image(image_id).status is ImageStatus.PROCESSING:
        time.sleep(0.02)


def meddle(monkeypatch: pytest.MonkeyPatch, moment: str, times: int) -> Callable[[], int]:
    """Have somebody restyle an image at a moment of a run, so often. Returns how often that has happened."""
    lock, left, inside = threading.Lock(), [times], threading.local()
    original = getattr(AutoenhanceHook, {"looked": "get_order"}.get(moment, moment))

    def strike(image_id: str) -> None:
        with lock:
            strikes = left[0] > 0
            left[0] -= strikes
        if strikes:
            inside.person = True
            try:
                person(image_id, MODERN)
            finally:
                inside.person = False

    def meddled(self: AutoenhanceHook, *given: Any, **options: Any) -> Any:
        if getattr(inside, "person", False):
            return original(self, *given, **options)
        if moment == "download_image":  # just before the bytes are asked for
            strike(given[0])
        answer = original(self, *given, **options)
        if moment == "process_image":
            strike(given[0])
        elif moment == "looked":
            for image in answer.images[:1]:
                strike(image.image_id)
        return answer

    monkeypatch.setattr(AutoenhanceHook, original.__name__, meddled)
    return lambda: times - left[0]


def to_its_end(run_id: str = "night-1", **options: Any) -> dict[str, Any]:
    """Run a task through all its deferrals."""
    step = lambda it: it.execute(context(it, run_id=run_id))  # noqa: E731
    while True:
        try:
            return dict(step(operator(**options)))
        except TaskDeferred as deferral:
            event = asyncio.run(event_of(deferral.trigger))
            step = lambda it, event=event: it.execute_complete(context(it, run_id=run_id), event)  # noqa: E731


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize(("moment", "times"), [("looked", 1), ("download_image", 3), ("process_image", 1)])
@pytest.mark.parametrize("earlier", ["nothing", "landed before", "another style", "died ready"])
def test_a_restyle_while_a_run_is_at_it_is_taken_back(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, deferrable: bool, moment: str, earlier: str, times: int
) -> None:  # fmt: skip
    fill(s3, 2)
    files = {}
    options = {"deferrable": deferrable, "settings": WARM}
    if earlier in ("landed before", "another style"):
        to_its_end("night-0", settings=WARM if earlier == "landed before" else {"enhance_type": "property"})
        delete_outputs(s3)
    elif earlier == "died ready":
        autoenhance.faults([{"endpoint": "download_enhanced_image", "kind": "503", "count": 99}])
        with pytest.raises(errors.AutoenhanceError):
            to_its_end(**options)
        autoenhance.faults([])
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_UNSEEN_SECONDS", -1.0)
        struck = meddle(patch, moment, times)
        summary = to_its_end(**options)
        assert struck() == (times if moment != "process_image" or earlier == "another style" else 0)
    assert (summary["landed"], summary["failed"], books(autoenhance)) == (2, 0, (2, 2))
    assert [image["settings"]["enhance_type"] for image in live(autoenhance)] == ["warm", "warm"]
    files = {key: s3.get(key) for key in outputs(s3)}
    delete_outputs(s3)
    assert to_its_end("night-2", **options)["landed"] == 2
    assert {key: s3.get(key) for key in outputs(s3)} == files, "as asked, all the time"


def test_of_many_photos_a_restyle_is_taken_back_before_the_last_has_landed(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3, 4)
    monkeypatch.setattr(Job.__init__, "__kwdefaults__", {**Job.__init__.__kwdefaults__, "max_order_size": 2})
    monkeypatch.setattr(engine, "_MANY_LANDED", 1)
    struck = meddle(monkeypatch, "download_image", 1)
    landed: list[int] = []
    process_image = AutoenhanceHook.process_image

    def seen(self: AutoenhanceHook, *given: Any, **options: Any) -> Any:
        if options.get("settings") == WARM:
            landed.append(len(outputs(s3)))
        return process_image(self, *given, **options)

    monkeypatch.setattr(AutoenhanceHook, "process_image", seen)
    summary = to_its_end(settings=WARM, concurrency=1)
    assert (struck(), summary["landed"], summary["failed"], books(autoenhance)) == (1, 4, 0, (4, 4))
    assert [image["settings"]["enhance_type"] for image in live(autoenhance)] == ["warm"] * 4
    assert len(landed) == 1 and landed[0] < 4


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_whoever_restyles_it_for_ever_fails_the_photo_for_now(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    fill(s3, 1)
    with monkeypatch.context() as patch:
        meddle(patch, "download_image", 1000)
        with pytest.raises(errors.ServerError, match="again and again"):
            to_its_end(settings=WARM, deferrable=deferrable)
    assert runs(autoenhance)[0] < 30
    summary = to_its_end(settings=WARM, deferrable=deferrable)
    assert (summary["landed"], books(autoenhance)) == (1, (1, 1))
    assert live(autoenhance)[0]["settings"]["enhance_type"] == "warm"


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_two_deferred_runs_that_want_two_styles_of_one_image_both_get_theirs(
    s3: SimpleNamespace, autoenhance: Sandbox, seconds: float
) -> None:
    fill(s3, 2)
    styles = {"warm": WARM, "modern": MODERN}
    pictures = {}
    for name, settings in styles.items():
        to_its_end(f"first {name}", settings=settings, destination_template=f"{{stem}}-{name}.jpg")
        pictures[name] = [s3.get(key) for key in outputs(s3) if name in key]
    delete_outputs(s3)
    autoenhance.settings(processing_seconds=[seconds, seconds])
    waiting: dict[str, Any] = {name: lambda it, name=name: it.execute(context(it, run_id=name)) for name in styles}
    summaries = {}
    while waiting:  # each in its turn, from one deferral to the next
        for name, step in list(waiting.items()):
            it = operator(settings=styles[name], deferrable=True, destination_template=f"{{stem}}-{name}.jpg")
            try:
                summaries[name] = step(it)
                del waiting[name]
            except TaskDeferred as deferral:
                event = asyncio.run(event_of(deferral.trigger))
                waiting[name] = lambda it, name=name, event=event: it.execute_complete(context(it, run_id=name), event)
    assert [(each["landed"], each["failed"]) for each in summaries.values()] == [(2, 0), (2, 0)]
    assert books(autoenhance) == (2, 2)
    for name in styles:
        assert [s3.get(key) for key in outputs(s3) if name in key] == pictures[name]
