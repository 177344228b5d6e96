"""Photos that are at hand: bytes and open files, through the hook."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, Any

import pytest
from PIL import Image

from airflow_provider_autoenhance.api.errors import SourceError
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.photo import Photo
from tests.support.photos import photo
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("short_waits")


def upload(data: Photo, **about: Any) -> str:
    hook = AutoenhanceHook()
    created = hook.create_image("kitchen.jpg")
    hook.upload_photo(created.upload_url, data, **about)
    return created.image.image_id


def pipe_of(data: bytes) -> IO[bytes]:
    """A file that cannot be rewound."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(data)
    return os.fdopen(reading, "rb")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO, pipe_of])
def test_bytes_and_files_arrive_even_at_the_second_try(autoenhance: Sandbox, kind: Any) -> None:
    data = photo()
    autoenhance.faults([{"endpoint": "put_object", "kind": "503", "count": 1}])
    image_id = upload(kind(data))
    (image,) = autoenhance.ledger()["images"]
    assert (image["image_id"], autoenhance.ledger()["uploads_received"]) == (image_id, 1)
    original = AutoenhanceHook().download_image(image_id, lambda download: download.read(), variant="original")
    assert Image.open(io.BytesIO(original)).size == Image.open(io.BytesIO(data)).size


def test_a_file_is_read_from_where_it_stands_and_stays_open(autoenhance: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"preface" + photo())
    with (tmp_path / "a").open("rb") as file:
        file.seek(7)
        upload(file)
        assert not file.closed
    assert autoenhance.ledger()["uploads_received"] == 1


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"no photo", "not an image"),
        (photo()[:-60], "cut short"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 99, "is a JPEG XL file"),
        (b"GIF89a" + b"\0" * 99, "damaged"),
    ],
)
def test_what_is_no_whole_photo_never_arrives(autoenhance: Sandbox, data: bytes, says: str) -> None:
    with pytest.raises(SourceError, match=f"kitchen.*{says}"):
        upload(data, name="kitchen")
    assert autoenhance.ledger()["uploads_received"] == 0
