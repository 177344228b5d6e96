"""The upload ticket: what one task hands to the next so that a photo can be uploaded, sealed because it holds a presigned URL.

It is encrypted with a key derived from the connection's API key. So exactly the tasks that may use the connection can open it, with no
need for a Fernet key on the worker; where none is configured, Airflow's own ``NullFernet`` would have left the URL in clear.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_autoenhance.api.errors import SettingsError, UploadUrlExpiredError
from airflow_provider_autoenhance.api.typed import Typed

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

Kind = Literal["image", "bracket"]


@dataclass(frozen=True)
class UploadTicket:
    """Where to put an image's bytes, and all that is needed to make the image again once that place is gone.

    :param upload_url: the presigned URL; empty when the image needs no bytes any more.
    :param content_type: the MIME type sent at creation, to the old API versions that take one.
    :param kind: what the bytes are for: an image of their own, or an exposure (the API's bracket), whose name ``image_name`` then is.
    """

    image_name: str
    order_id: str | None
    settings: Mapping[str, Any]
    metadata: Mapping[str, Any]
    upload_url: str = field(default="", repr=False)
    content_type: str | None = None
    kind: Kind = "image"

    @property
    def noun(self) -> str:
        """What messages call it."""
        return "exposure" if self.kind == "bracket" else "image"

    def seal(self, api_key: str) -> str:
        """Encrypt, as URL-safe text."""
        return seal(asdict(self), api_key)

    @classmethod
    def open(cls, token: str, api_key: str, *, about: str, kind: Kind = "image") -> UploadTicket:
        """Decrypt.

        :param kind: what it must be for.
        :raises UploadUrlExpiredError: when it is not a ticket, or the API key has changed since.
        :raises SettingsError: when it is for the other kind.
        """
        from cryptography.fernet import InvalidToken

        try:
            ticket = Typed(cls).read(_decrypted(token, api_key))
        except (InvalidToken, ValueError):
            raise UploadUrlExpiredError(
                f"{about}: the upload ticket cannot be opened; it was made with another API key, or is not what "
                f"AutoenhanceCreate{kind.capitalize()}Operator returned as 'upload_url'. Clear the create task."
            ) from None
        if ticket.kind != kind:
            raise SettingsError(
                f"{about}: the upload ticket is for {ticket.noun} {ticket.image_name!r}; upload it with "
                f"AutoenhanceUpload{ticket.kind.capitalize()}Operator."
            )
        return ticket


def seal(value: Any, api_key: str) -> str:
    """Encrypt a value that JSON can hold, as URL-safe text."""
    return _fernet(api_key).encrypt(json.dumps(value).encode()).decode()


def unseal(token: str, api_key: str) -> Any:
    """Decrypt what :func:`seal` made.

    :raises InvalidToken: it did not, or with another key.
    """
    return json.loads(_decrypted(token, api_key))


def _decrypted(token: str, api_key: str) -> bytes:
    return _fernet(api_key).decrypt(str(token).encode())


def _fernet(api_key: str) -> Fernet:
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(SHA256(), 32, salt=None, info=b"airflow-provider-autoenhance upload ticket").derive(api_key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
