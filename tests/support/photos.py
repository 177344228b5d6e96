"""Small photos for tests, and the way to upload one."""

from __future__ import annotations

from contextlib import nullcontext
from io import BytesIO

from PIL import Image

from airflow_provider_autoenhance.api.models import CreatedImage
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook


def photo(form: str = "JPEG", *, size: tuple[int, int] = (160, 120), shade: int = 60) -> bytes:
    """Return a small dark picture with some detail in it."""
    picture = Image.linear_gradient("L").resize(size).point(lambda level: level * shade // 255)
    data = BytesIO()
    Image.merge("RGB", (picture, picture.rotate(180), picture)).save(data, form)
    return data.getvalue()


class Sized(BytesIO):
    """Bytes with a length, as sources are."""

    def __len__(self) -> int:
        return len(self.getvalue())


def upload(hook: AutoenhanceHook, created: CreatedImage, data: bytes) -> None:
    hook.upload(created.upload_url, lambda: nullcontext(Sized(data)), about=created.image.label)
