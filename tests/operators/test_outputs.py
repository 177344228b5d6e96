"""Several files from one purchase: what Autoenhance does not render is encoded in the worker."""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from PIL import Image

from airflow_provider_autoenhance.imaging import decode
from airflow_provider_autoenhance.operators.images import AutoenhanceDownloadImageOperator
from tests.imaging.inputs import photo as heic
from tests.support.batch import Enhance, fill, manifest, outputs
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import run

WEB_AND_PRINT: list[dict[str, Any]] = [
    {"format": "avif", "max_width": 80, "name_template": "web/{stem}.{extension}"},
    {"format": "webp", "name_template": "web/{stem}.{extension}"},
    {"format": "jpeg", "color_space": "CMYK", "dpi": 300, "name_template": "print/{stem}.{extension}"},
]
FILES = [
    f"maple/{name}"
    for name in ("print/000.jpg", "print/001.jpg", "web/000.avif", "web/000.webp", "web/001.avif", "web/001.webp")
]


def picture(s3: SimpleNamespace, key: str) -> Image.Image:
    return Image.open(BytesIO(s3.get(key)))


def test_one_credit_buys_a_photo_for_web_and_print(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 2)
    summary = enhance(output_spec=WEB_AND_PRINT)
    assert (summary["landed"], summary["credits"]) == (2, 2)
    assert outputs(s3) == FILES
    printed, web = picture(s3, FILES[0]), picture(s3, FILES[2])
    assert (printed.format, printed.mode, printed.info["dpi"], printed.size) == ("JPEG", "CMYK", (300, 300), (160, 120))
    assert (web.format, web.size) == ("AVIF", (80, 60))
    told = manifest(s3)[0]["outputs"]
    assert [(each["format"], each["width"]) for each in told] == [("avif", 80), ("webp", 160), ("jpeg", 160)]
    assert told[2]["color_profile"] == "ISO_Coated"

    again = enhance(output_spec=WEB_AND_PRINT, run_id="night-2")
    assert (again["skipped"], again["credits"]) == (2, 0)
    s3.client.delete_object(Bucket="enhanced", Key=FILES[5])
    mended = enhance(output_spec=WEB_AND_PRINT, run_id="night-3")
    assert (mended["landed"], mended["skipped"], mended["credits"]) == (1, 1, 0)
    assert outputs(s3) == FILES
    more = enhance(
        output_spec=[*WEB_AND_PRINT, {"format": "tiff", "name_template": "archive/{stem}"}], run_id="night-4"
    )
    assert (more["landed"], more["credits"]) == (2, 0)
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["credits"]["spent"]) == (2, 2)


def test_an_image_downloads_into_several_files(enhanced: str, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    operator = AutoenhanceDownloadImageOperator(
        task_id="download",
        image_id=enhanced,
        destination="s3://enhanced/",
        preview=False,
        output_spec=["webp", {"format": "png", "compression": "best"}, {"format": "tiff", "dpi": 300}],
    )
    for spent in (True, False):
        told = run(operator)
        assert told["credit_spent"] is spent
        assert [each["content_type"] for each in told["outputs"]] == ["image/webp", "image/png", "image/tiff"]
        assert told["uri"] == told["outputs"][0]["uri"]
    assert sorted(picture(s3, each["uri"].removeprefix("s3://enhanced/")).format for each in told["outputs"]) == [
        "PNG",
        "TIFF",
        "WEBP",
    ]
    assert autoenhance.ledger()["credits"]["spent"] == 1


def test_a_missing_library_is_told_before_anything_is_sent(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(s3, 1)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(AirflowFailException, match=r"imaging"):
        enhance(output_spec="tiff")
    assert autoenhance.ledger()["images_created"] == 0


def test_a_photo_too_long_for_an_output_is_not_sent(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    s3.put("maple/panorama.jpg", photo(size=(16400, 8)))
    lossless = {"format": "webp", "compression": "lossless"}
    with pytest.raises(AirflowFailException, match=r"panorama\.jpg is 16400 pixels long, but WEBP ends at 16383"):
        enhance(output_spec=lossless)
    assert autoenhance.ledger()["images_created"] == 0
    assert enhance(output_spec=lossless | {"max_width": 16000}, run_id="night-2")["landed"] == 1


@pytest.mark.parametrize("preview", [True, False])
def test_previews_convert_too_and_cost_nothing(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, preview: bool
) -> None:
    fill(s3, 1)
    summary = enhance(output_spec="tiff", preview=preview)
    assert (summary["landed"], summary["credits"]) == (1, int(not preview))
    assert picture(s3, outputs(s3)[0]).format == "TIFF"


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if "bought" in path.name]


def test_what_fails_after_the_purchase_says_so_and_keeps_what_was_bought(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(s3, 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(decode, "MAX_MEGAPIXELS", 0.001)
        with pytest.raises(AirflowFailException, match="The image is bought, for one credit; another try downloads it"):
            enhance(output_spec="tiff")
    assert len(kept(tmp_path)) == 1
    summary = enhance(output_spec="tiff", run_id="night-2")
    assert (summary["landed"], autoenhance.ledger()["credits"]["spent"]) == (1, 1)
    assert kept(tmp_path) == []


def test_where_there_is_no_room_a_bought_file_is_not_kept(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(s3, 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(decode, "MAX_MEGAPIXELS", 0.001)
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.transfer.kept._ROOM", 1 << 60)
    with pytest.raises(AirflowFailException, match="The image is bought"):
        enhance(output_spec="tiff")
    assert kept(tmp_path) == []
    with pytest.raises(AirflowFailException) as failed:
        enhance(output_spec="tiff", preview=True, run_id="night-2", destination="s3://enhanced/previews")
    assert "bought" not in str(failed.value)


def test_a_poisoned_photo_fails_alone(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    """A byte that has crashed the library behind HEIC, here and in the sandbox."""
    fill(s3, 1)
    s3.put("maple/poison.heic", heic("HEIC").replace(b"Exif\0", b"E\xd1if\0", 1))
    with pytest.raises(AirflowFailException, match=r"poison\.heic"):
        enhance(output_spec=["webp", "tiff"])
    assert len(outputs(s3)) == 2
    assert all("000" in name for name in outputs(s3))
    assert autoenhance.ledger()["credits"]["spent"] == 1
