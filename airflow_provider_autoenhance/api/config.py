"""How the API is reached: address, key, version and patience."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_autoenhance.api import versions
from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.fields import STORAGE
from airflow_provider_autoenhance.api.shown import counted

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api.exchange import Patience


@dataclass(frozen=True)
class Extra:
    """The connection's extra fields.

    :param api_version: behaviour version of the API, ``YYYY-MM-DD``; empty leaves it to the account.
    :param dev_mode: spend no credits; full-size downloads carry a watermark.
    :param timeout_seconds: seconds that an answer may take; of a download, without a further 64 KiB. A call that meets only slow
        answers ends after three times as long.
    :param max_attempts: how often a request is sent before its error surfaces.
    :param max_requests_per_second: ceiling for each process; the API refuses more than 300 from one address.
    :param proxies: proxy URL by scheme, as ``requests`` takes it, or one URL for both.
    :param verify: check the server's certificate; or the path of a CA bundle.
    :param allow_http: allow a plain-http host that is not loopback.
    :param allow_private_sources: allow http(s) source photos, uploads and downloads on private, loopback and link-local addresses.
    :param local_folders: folders of the worker that source photos may be read from; ``None``: any but the system's own.
    :param icc_directory: folder with ICC colour profiles, on every worker.
    :param storages: folders by the name that ``storage://NAME/path`` gives them.
    :param temporary_folder: folder of a bucket, ending in a slash, for results of which nobody says where they go.
    :param credit_price: what your plan makes of a credit in money; ``None``: nothing is said in money.
    :param currency: of that price.
    """

    api_version: str = versions.DEFAULT_VERSION
    dev_mode: bool = False
    timeout_seconds: float = 60.0
    max_attempts: int = 5
    max_requests_per_second: float = 50.0
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    verify: bool | str = True
    allow_http: bool = False
    allow_private_sources: bool = False
    local_folders: Sequence[str] | None = None
    icc_directory: str | None = None
    storages: Mapping[str, str] | None = None
    temporary_folder: str | None = None
    credit_price: float | None = None
    currency: str = "USD"

    def place_of(self, uri: str) -> str:
        """Return where ``storage://NAME/path`` leads; any other URI as it is.

        >>> Extra(storages={"print-shop": "s3://aws_print@orders/in/"}).place_of("storage://print-shop/12-maple/kitchen.jpg")
        's3://aws_print@orders/in/12-maple/kitchen.jpg'

        :raises SettingsError: no storage has this name.
        """
        scheme, separator, rest = uri.partition("://")
        if not separator or scheme.lower() != STORAGE:
            return uri
        name, _, path = rest.partition("/")
        storages = self.storages or {}
        if name not in storages:
            known = ", ".join(sorted(storages)) or "none"
            raise SettingsError(
                f"storage://{name}/: the connection's extra 'storages' has no storage of this name (known: {known}). Add it there: "
                f'{{"storages": {{"{name}": "s3://conn_id@bucket/folder/"}}}}.'
            )
        return f"{storages[name].rstrip('/')}/{path}"

    def cost(self, credits: int) -> dict[str, Any]:
        """Return what credits cost in money; nothing where there is no price.

        >>> Extra(credit_price=0.29).cost(60)
        {'cost': 17.4, 'currency': 'USD'}
        """
        if self.credit_price is None:
            return {}
        return {"cost": round(credits * self.credit_price, 2), "currency": self.currency}

    def priced(self, credits: int) -> str:
        """Return a number of credits in words, and in money where there is a price.

        >>> Extra(credit_price=0.29).priced(60), Extra().priced(1)
        ('60 credits, 17.40 USD', '1 credit')
        """
        words = counted(credits, "credit")
        return words if self.credit_price is None else f"{words}, {credits * self.credit_price:.2f} {self.currency}"


@dataclass(frozen=True)
class ApiConfig:
    """A usable connection: where the API is, and the key for it.

    :param user_agent: name and version of this provider, Airflow and Python.
    """

    conn_id: str
    base_url: str
    api_key: str = field(repr=False)
    extra: Extra
    user_agent: str

    @cached_property
    def patience(self) -> Patience:
        """How long to try."""
        from airflow_provider_autoenhance.api.exchange import Patience

        return Patience(max_attempts=self.extra.max_attempts, timeout_seconds=self.extra.timeout_seconds)

    def headers(self, *, to_api: bool) -> dict[str, str]:
        """Headers of a request; the key and the version only when it goes to the API."""
        common = {"User-Agent": self.user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        if not to_api:
            return common
        own = {"x-api-key": self.api_key, "Content-Type": "application/json"}
        version = {"x-api-version": self.extra.api_version} if self.extra.api_version else {}
        return common | own | version | ({"x-dev-mode": "true"} if self.extra.dev_mode else {})
