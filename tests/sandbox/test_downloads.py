"""Downloads: prices, renderings, and the asset host."""

from __future__ import annotations

import hashlib
from html import escape
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.sandbox.api import Api
from tests.support.pictures import decode, encode, photo, room
from tests.support.sandbox import Sandbox


@pytest.fixture
def image_id(api: Api) -> str:
    return str(api.finished(photo(width=1200, height=800))["image_id"])


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def test_a_preview_is_small_marked_and_free(api: Api, image_id: str, sandbox: Sandbox) -> None:
    preview = api.bytes(image_id)
    assert opened(preview).size == (800, 533)
    full = opened(api.bytes(image_id, preview=False, max_width=800))
    assert full.size == (800, 533)
    difference = np.abs(decode(preview) - np.asarray(full, np.float64)).max(axis=2)
    assert np.mean(difference > 40) > 0.02, "no watermark in the preview"
    assert sandbox.ledger()["credits"]["spent"] == 1


def test_a_preview_of_the_upload_is_small_and_bears_no_mark(api: Api, image_id: str, sandbox: Sandbox) -> None:
    small, full = (
        api.asset(api.http.get(f"/v3/images/{image_id}/original", params={"preview": flag, "max_width": 640}))
        for flag in ("true", "false")
    )
    assert opened(small.content).size == opened(full.content).size
    difference = np.abs(decode(small.content) - decode(full.content)).max(axis=2)
    assert np.mean(difference > 40) < 0.01
    assert sandbox.ledger()["credits"]["spent"] == 0


def test_dev_mode_is_free_full_size_and_marked(api: Api, image_id: str, sandbox: Sandbox) -> None:
    marked = api.bytes(image_id, dev_mode=True, preview=False)
    assert sandbox.ledger()["credits"]["spent"] == 0
    assert api.image(image_id)["downloaded"] is False
    bought = api.bytes(image_id, preview=False)
    assert opened(marked).size == opened(bought).size == (1200, 800)
    assert np.abs(decode(marked) - decode(bought)).max() > 60


def test_without_credits_nothing_is_sold(api: Api, image_id: str, sandbox: Sandbox) -> None:
    sandbox.settings(credits=0)
    answer = api.enhanced(image_id, preview=False)
    assert (answer.status_code, answer.json()) == (402, {"detail": {}, "message": "Payment Required"})
    assert api.enhanced(image_id, preview=True).status_code == 302
    assert api.enhanced(image_id, dev_mode=True, preview=False).status_code == 302
    sandbox.settings(credits=1)
    assert api.enhanced(image_id, preview=False).status_code == 302
    assert api.enhanced(image_id, preview=False).status_code == 302
    assert sandbox.ledger()["credits"] == {"spent": 1, "remaining": 0, "by_image": {image_id: 1}}


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
def test_formats(api: Api, image_id: str, kind: str) -> None:
    answer = api.asset(api.enhanced(image_id, preview=False, format=kind, max_width=300))
    assert answer.headers["content-type"] == f"image/{kind}"
    image = opened(answer.content)
    assert (image.format, image.size) == (kind.upper(), (300, 200))


def test_quality_scale_and_dpi_are_honoured(api: Api, image_id: str) -> None:
    small = api.bytes(image_id, preview=False, quality=20)
    assert len(small) < len(api.bytes(image_id, preview=False, quality=90))
    image = opened(api.bytes(image_id, preview=False, scale=0.25, dpi=300))
    assert image.size == (300, 200)
    assert [round(value) for value in image.info["dpi"]] == [300, 300]
    webp = opened(api.bytes(image_id, preview=False, scale=0.25, dpi=300, format="webp"))
    assert webp.getexif()[0x011A] == 300


def test_a_watermark_can_be_asked_for(api: Api, image_id: str) -> None:
    plain, marked = (decode(api.bytes(image_id, preview=False, format="png", watermark=flag)) for flag in (False, True))
    assert np.abs(plain - marked).max() > 60


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"quality": 91}, "quality"),
        ({"quality": 0}, "quality"),
        ({"quality": "high"}, "quality"),
        ({"format": "tiff"}, "format"),
        ({"scale": 1.5}, "scale"),
        ({"max_width": 0}, "max_width"),
        ({"dpi": 71}, "dpi"),
        ({"preview": "maybe"}, "preview"),
    ],
)
def test_bad_parameters_are_named_and_cost_nothing(
    api: Api, image_id: str, sandbox: Sandbox, query: dict[str, object], field: str
) -> None:
    answer = api.enhanced(image_id, **{"preview": False, **query})
    assert answer.status_code == 422
    assert list(answer.json()["detail"]["query"]) == [field]
    assert sandbox.ledger()["credits"]["spent"] == 0


def test_the_asset_host_answers_as_s3_does(api: Api, image_id: str, sandbox: Sandbox) -> None:
    sandbox.settings(asset_hops=1)
    redirect = api.enhanced(image_id, preview=False)
    answer = api.asset(redirect)
    assert urlsplit(redirect.headers["location"]).netloc == urlsplit(sandbox.asset_url).netloc
    assert answer.headers["etag"] == f'"{hashlib.md5(answer.content).hexdigest()}"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["x-amz-request-id"]
    part = api.asset(redirect, Range="bytes=100-199")
    assert (part.status_code, part.content) == (206, answer.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(answer.content)}"
    assert api.asset(redirect, Range="bytes=-5").content == answer.content[-5:]
    assert api.asset(redirect, Range=f"bytes={len(answer.content)}-").status_code == 416
    head = api.plain.head(redirect.headers["location"])
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(answer.content)))


def test_an_asset_url_expires_and_cannot_be_changed(api: Api, image_id: str, sandbox: Sandbox) -> None:
    location = api.enhanced(image_id).headers["location"]
    assert api.plain.get(location.replace("&Signature=", "&Signature=1")).status_code == 403
    sandbox.settings(clock_offset_seconds=301)
    assert "Request has expired" in api.plain.get(location).text


@pytest.mark.parametrize("hops", [1, 2])
def test_the_asset_is_some_redirects_away_and_each_page_names_the_next(
    api: Api, image_id: str, sandbox: Sandbox, hops: int
) -> None:
    sandbox.settings(asset_hops=hops)
    answer = api.enhanced(image_id)
    for _ in range(hops):
        assert (answer.status_code, answer.headers["content-type"]) == (302, "text/html; charset=utf-8")
        assert escape(answer.headers["location"]) in answer.text
        answer = api.plain.get(answer.headers["location"])
    assert opened(answer.content).format == "JPEG"


@pytest.mark.parametrize("spelled", ["True", "1", "yes", "on"])
def test_flags_are_read_as_the_vendor_s_framework_reads_them(
    api: Api, image_id: str, sandbox: Sandbox, spelled: str
) -> None:
    assert api.http.get(f"/v3/images/{image_id}/enhanced", params={"preview": spelled}).status_code == 302
    dev = {"x-dev-mode": spelled}
    assert api.http.get(f"/v3/images/{image_id}/enhanced?preview=no", headers=dev).status_code == 302
    assert sandbox.ledger()["credits"]["spent"] == 0


def test_the_original_needs_no_key_in_2024(api: Api, image_id: str, sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/v3/images/{image_id}/original"
    answers = [api.plain.get(url, headers={"x-api-version": date}).status_code for date in ("2024-10-01", "2025-01-01")]
    assert answers == [302, 401]


def test_a_key_that_follows_the_redirect_is_noticed(api: Api, image_id: str, sandbox: Sandbox) -> None:
    location = api.enhanced(image_id).headers["location"]
    assert sandbox.ledger()["api_key_hosts"] == [sandbox.address]
    api.plain.get(location, headers={"x-api-key": sandbox.api_key})
    assert urlsplit(sandbox.asset_url).netloc in sandbox.ledger()["api_key_hosts"]


def test_the_original_is_the_file_that_was_uploaded(api: Api) -> None:
    data = encode(room(), "PNG")
    image = api.finished(data, "plan")
    original = api.http.get(f"/v3/images/{image['image_id']}/original")
    answer = api.asset(original)
    assert (answer.content, answer.headers["content-type"]) == (data, "image/png")
    converted = api.http.get(f"/v3/images/{image['image_id']}/original", params={"format": "webp"})
    assert opened(api.asset(converted).content).format == "WEBP"


def test_nothing_is_there_before_the_image_is_ready(api: Api, sandbox: Sandbox) -> None:
    image_id = api.create()["image_id"]
    assert api.enhanced(image_id).status_code == 404
    assert api.http.get(f"/v3/images/{image_id}/original").status_code == 404
    sandbox.settings(not_ready_status=422)
    assert api.enhanced(image_id).status_code == 422


def test_simultaneous_downloads_cost_one_credit(api: Api, image_id: str, sandbox: Sandbox) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.bytes(image_id, preview=False, quality=80), range(16)))
    assert len(set(answers)) == 1
    assert sandbox.ledger()["credits"]["spent"] == 1


def test_a_load_test_gets_its_upload_back_and_small_pictures_when_it_asks_for_them(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(render="copy-big")
    data = photo(width=900, height=600)
    image_id = api.finished(data)["image_id"]
    assert api.bytes(image_id, preview=False) == data
    small = opened(api.bytes(image_id, preview=False, format="webp", max_width=640))
    assert (small.format, small.width) == ("WEBP", 640)
