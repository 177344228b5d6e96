"""What nobody foresaw about one photo: it fails by name, the others land, and no credit is lost or spent twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from PIL import Image, ImageOps

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.decorators.autoenhance import AutoenhanceDecoratedOperator
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.imaging import color
from airflow_provider_autoenhance.operators.images import AutoenhanceUploadImageOperator
from airflow_provider_autoenhance.operators.orders import AutoenhanceDownloadOrderOperator
from airflow_provider_autoenhance.pipeline.plan import heads
from airflow_provider_autoenhance.transport import requests_session
from tests.operators.test_vanished import night
from tests.support.batch import fill, manifest, outputs
from tests.support.photos import exposure, photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

SIGNED = "https://bucket.example/maple/001.jpg?X-Amz-Signature=c2VjcmV0"


class Surprise(Exception):  # noqa: N818 - it is no error of ours
    """Stands for what a library may raise."""


class Struck:
    """Raises something at every call of a function that is about one photo.

    :param about: says by the call's arguments whether it is.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, owner: Any, name: str, about: Callable[..., bool], error: BaseException
    ) -> None:
        self.on, self.times = True, 0
        original, lock = getattr(owner, name), threading.Lock()

        def struck(*args: Any, **kwargs: Any) -> Any:
            if self.on and about(*args, **kwargs):
                with lock:
                    self.times += 1
                raise error
            return original(*args, **kwargs)

        patch.setattr(owner, name, struck)


def surprise() -> Surprise:
    return Surprise(f"cannot parse {SIGNED}\n[ERROR] forged")


def strike(patch: pytest.MonkeyPatch, where: str, autoenhance: Sandbox, error: BaseException) -> Struck:
    """Have a stage of photo 001 raise: in a library's place, below everything that this provider knows of errors."""

    def is_second(image_id: str) -> bool:
        names = {each["image_id"]: each["name"] for each in autoenhance.ledger()["images"]}
        return "001" in names.get(image_id, "")

    if where == "create":
        return Struck(patch, requests_session, "send_once", lambda _s, _c, send: b"001" in (send.body or b""), error)
    if where == "upload":
        return Struck(patch, requests_session, "put_once", lambda _s, _c, _u, body, _t: "001" in body.name, error)
    if where == "fetch":
        steps = requests_session.Streamed
        return Struck(patch, steps, "send", lambda _s, step: is_second(step.url.split("/")[-2]), error)
    return Struck(patch, ImageOps, "exif_transpose", lambda image: image.size == (44, 33), error)


def fill_png(s3: SimpleNamespace) -> list[str]:
    """Photos whose second one is told by its size in the converter."""
    for number in range(4):
        s3.put(f"maple/{number:03}.png", photo("PNG", size=(44, 33) if number == 1 else (40, 30), shade=40 + number))
    return [f"{number:03}.png" for number in range(4)]


@pytest.mark.parametrize("where", ["create", "upload", "fetch", "convert"])
def test_one_photo_s_surprise_is_one_photo_s_failure(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, where: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    autoenhance.settings(render="copy")
    fill_png(s3)
    options: dict[str, Any] = {"output_spec": "tiff" if where == "convert" else "png"}
    struck = strike(monkeypatch, where, autoenhance, surprise())
    bought = where == "convert"
    for try_number in (1, 2, 3):
        with pytest.raises(errors.ServerError, match=r"1 of 4 photos failed.*001.png.*unexpected Surprise"):
            night(try_number=try_number, **options)
        assert len(outputs(s3)) == 3
        books = autoenhance.ledger()
        assert books["credits"]["spent"] == 3 + bought, "what is paid stays paid"
        rows = manifest(s3)
        assert sum(row["credit_spent"] for row in rows) == 3 + bought
        (failed,) = [row for row in rows if row["status"] == "failed"]
        assert (failed["transient"], failed["credits"]) == (True, int(bought))
        assert "c2VjcmV0" not in failed["reason"] + caplog.text and "\n" not in failed["reason"]
    assert struck.times >= 3, "each try tries it again"
    assert night(max_failures="30%", try_number=4, **options)["credits"] == 3 + bought
    struck.on = False
    summary = night(try_number=5, **options)
    assert (summary["landed"], summary["credits"]) == (4, 4)
    assert autoenhance.ledger()["credits"]["spent"] == 4
    assert autoenhance.ledger()["images_live"] == 4


@pytest.mark.parametrize("where", ["create", "upload", "fetch"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_is_no_failure_passes(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, where: str, kind: type[BaseException]
) -> None:
    fill(s3, 2)
    struck = strike(monkeypatch, where, autoenhance, kind())
    with pytest.raises(kind):
        night()
    struck.on = False
    assert night(try_number=2)["landed"] == 2
    assert autoenhance.ledger()["credits"]["spent"] == 2


def test_a_failed_photo_of_another_run_is_paid_and_answered_for_once(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    autoenhance.settings(render="copy")
    fill_png(s3)
    struck = strike(monkeypatch, "convert", autoenhance, surprise())
    assert night(output_spec="tiff", max_failures=1)["credits"] == 4
    struck.on = False
    later = night(output_spec="tiff", run_id="night-2", max_credits=0)
    assert (later["landed"], later["credits"], later["held"]) == (1, 0, 0)
    assert autoenhance.ledger()["credits"]["spent"] == 4


def damaged_profile() -> bytes:
    """An sRGB profile with one bit flipped in the name of its colour space."""
    data = bytearray(color.srgb())
    data[16] ^= 0x80
    return bytes(data)


def test_a_flipped_bit_in_a_profile_costs_a_note(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    autoenhance.settings(render="copy")
    fill_png(s3)
    data = BytesIO()
    Image.new("RGB", (40, 30), (9, 99, 200)).save(data, "PNG", icc_profile=damaged_profile())
    s3.put("maple/001.png", data.getvalue())
    assert night(output_spec="tiff")["landed"] == 4
    assert "profile is damaged" in str(manifest(s3)[1]["outputs"])


def test_a_name_that_the_destination_does_not_take_is_one_photo_s_failure(
    s3: SimpleNamespace, autoenhance: Sandbox, tmp_path: Path
) -> None:
    fill(s3, 4)
    (tmp_path / "001.jpg").mkdir()
    for try_number in (1, 2):
        with pytest.raises(AirflowFailException, match=r"1 of 4 photos failed.*001.jpg is a folder"):
            night(destination=f"{tmp_path}/", try_number=try_number)
        assert len([path for path in tmp_path.glob("*.jpg") if path.is_file()]) == 3
    (tmp_path / "001.jpg").rmdir()
    assert night(destination=f"{tmp_path}/", try_number=3)["credits"] == 4
    assert autoenhance.ledger()["credits"]["spent"] == 4


def test_a_destination_that_takes_nothing_stops_all(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3, 12)

    def gone(*_: Any) -> bool:
        for key in s3.keys(everything=True):
            s3.client.delete_object(Bucket="enhanced", Key=key)
        with suppress(s3.client.exceptions.NoSuchBucket):
            s3.client.delete_bucket(Bucket="enhanced")
        return False

    Struck(monkeypatch, requests_session.Streamed, "send", gone, surprise())
    with pytest.raises(AirflowFailException, match="there is no bucket 'enhanced'"):
        night(concurrency=1)
    assert autoenhance.ledger()["credits"]["spent"] < 12


def test_a_file_whose_name_is_not_text_fails_alone(autoenhance: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in (b"a.jpg", b"b\xff.jpg", b"c\nd.jpg", b"e.jpg"):
        (source / name.decode(errors="surrogateescape")).write_bytes(photo(shade=len(name)))
    options: dict[str, Any] = {"source": f"{source}/", "destination": f"{tmp_path}/out/"}
    for brackets in ("none", "exif"):
        summary = night(**options, brackets=brackets, max_failures=2, run_id=brackets)
        assert (summary["landed"] + summary["skipped"], summary["failed"]) == (2, 2)
        assert "not text in UTF-8. Rename it" in str(summary["failures"])


# Exposures


def shoot(s3: SimpleNamespace) -> None:
    for bracket in range(2):
        for number, stop in enumerate((-2, 0, 2)):
            s3.put(f"maple/{bracket}{number:02}.jpg", exposure(20 * bracket + 0.4 * number, stop))


@pytest.mark.parametrize("brackets", ["exif", "auto"])
def test_one_exposure_s_surprise_fails_its_photo(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, brackets: str
) -> None:
    shoot(s3)
    struck = strike(monkeypatch, "upload", autoenhance, surprise())  # of 001.jpg
    with pytest.raises(errors.ServerError, match=r"photos? failed.*exposure '001.jpg' met an unexpected Surprise"):
        night(brackets=brackets)
    assert len(outputs(s3)) == (1 if brackets == "exif" else 0), "Autoenhance groups all exposures, or none"
    struck.on = False
    assert night(brackets=brackets, try_number=2)["landed"] == 2
    assert autoenhance.ledger()["credits"]["spent"] == 2


def test_a_file_whose_exif_cannot_be_read_does_not_fail_the_plan(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoot(s3)
    s3.put("maple/odd.jpg", photo(size=(60, 40)))
    odd = len(photo(size=(60, 40)))
    Struck(monkeypatch, heads, "read_head", lambda _read, size, _name: size == odd, surprise())
    assert night(brackets="exif")["landed"] == 3
    assert outputs(s3) == ["maple/000.jpg", "maple/100.jpg", "maple/odd.jpg"]


def test_a_file_that_may_not_be_read_fails_alone(autoenhance: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number, stop in enumerate((-2, 0, 2)):
        (source / f"{number}.jpg").write_bytes(exposure(0.4 * number, stop))
    (source / "odd.jpg").symlink_to("/etc/hostname")
    options: dict[str, Any] = {"source": f"{source}/", "destination": f"{tmp_path}/out/", "brackets": "exif"}
    with pytest.raises(AirflowFailException, match=r"1 of 2 photos failed.*odd.jpg lies in a folder of the system"):
        night(**options)
    assert (tmp_path / "out" / "0.jpg").exists()


@pytest.mark.parametrize("value", [["x"], {"a": 1}, 7, None])
def test_what_others_keep_in_metadata_does_not_fail_the_plan(
    s3: SimpleNamespace, autoenhance: Sandbox, value: Any
) -> None:
    shoot(s3)
    with pytest.raises(errors.ServerError):
        autoenhance.faults([{"endpoint": "download_enhanced_image", "kind": "503"}])
        night(brackets="exif")
    autoenhance.faults([])
    hook = AutoenhanceHook()
    for order in autoenhance.ledger()["orders"]:
        for key in ("fingerprint", "exposure"):
            hook.create_image("stranger.jpg", order_id=order["order_id"], metadata={key: value})
            hook.create_bracket("stranger.jpg", order_id=order["order_id"], metadata={key: value})
    assert night(brackets="exif", try_number=2)["landed"] == 2
    assert autoenhance.ledger()["credits"]["spent"] == 2


# Outside of a batch


def test_an_order_s_download_lands_the_others(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = AutoenhanceHook()
    for number in range(3):
        upload(hook, hook.create_image(f"{number:03}.jpg", order_id="o1"), photo())
    autoenhance.settings(processing_seconds=[0, 0])
    while any(image["status"] == "processing" for image in autoenhance.ledger()["images"]):
        pass
    struck = strike(monkeypatch, "fetch", autoenhance, surprise())
    task = AutoenhanceDownloadOrderOperator(task_id="download", order_id="o1", destination="s3://enhanced/o1/")
    with pytest.raises(errors.UnexpectedError, match=r"1 of 3 downloads failed \('001.jpg'\).*Surprise") as caught:
        run(task)
    assert "c2VjcmV0" not in str(caught.value)
    assert outputs(s3) == ["o1/000.jpg", "o1/002.jpg"]
    struck.on = False
    assert run(task)["images"] == 3


def test_a_single_task_s_surprise_holds_no_address(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_autoenhance.operators.images import AutoenhanceCreateImageOperator

    s3.put("001.jpg", photo())
    made = run(AutoenhanceCreateImageOperator(task_id="create", image_name="001.jpg"))
    Struck(monkeypatch, requests_session, "put_once", lambda *_: True, surprise())
    task = AutoenhanceUploadImageOperator(
        task_id="upload", image_id=made["image_id"], upload_url=made["upload_url"], source="s3://listings/001.jpg"
    )
    with pytest.raises(errors.UnexpectedError, match="task upload met an unexpected Surprise") as caught:
        run(task)
    assert "c2VjcmV0" not in str(caught.value) and caught.value.__suppress_context__


def test_what_a_dag_author_s_function_raises_stays_as_it_is() -> None:
    def tonight() -> str:
        raise Surprise("mine")

    task = AutoenhanceDecoratedOperator(
        task_id="tonight", python_callable=tonight, destination="s3://enhanced/", op_args=[], op_kwargs={}
    )
    with pytest.raises(Surprise, match="mine"):
        task.execute(context(task))
