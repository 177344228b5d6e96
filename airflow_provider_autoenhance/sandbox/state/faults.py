"""Faults on demand: which request goes wrong, when, and how."""

from __future__ import annotations

import random
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

STATUSES = frozenset({400, 401, 402, 403, 404, 409, 422, 429, 500, 502, 503, 504})
GATEWAY = frozenset({502, 503, 504})
BODY_KINDS = frozenset({"truncate", "corrupt"})


class FaultRule(BaseModel):
    """One way to fail.

    :param endpoint: operation id (``create_image``), method and path template (``POST /v3/images/``), or ``*`` for all.
        ``put_object`` is the upload, ``get_object`` the asset host.
    :param phase: ``before`` the effect; ``after`` it, with the answer lost; ``mid-body``: half way through the answer,
        for ``put_object`` half way through the upload. Default: ``mid-body`` for truncate and corrupt, else ``before``.
    :param kind: an HTTP status; ``timeout`` (no answer until the client gives up); ``reset`` (TCP RST); ``truncate``
        (body cut short); ``corrupt`` (one byte changed; for ``put_object`` a wrong ETag); ``slow``.
    :param rate: share of matching requests that fail, 0..1.
    :param count: how many fail at most; None = all.
    :param skip: how many matching requests pass first.
    :param match: glob on the name of the image, exposure or order concerned.
    :param retry_after: seconds in a ``Retry-After`` header; None sends none.
    :param message: what a status's JSON or XML says, in place of the standard phrase.
    :param html: whether the error is a gateway's HTML page; default for 502, 503 and 504.
    :param seconds: delay of ``slow``, patience of ``timeout``.
    :param bytes_per_second: pace of ``slow`` in ``mid-body``.

    The first answer to the creation of an image is lost::

        {"endpoint": "create_image", "phase": "after", "kind": "reset", "count": 1}
    """

    model_config = ConfigDict(extra="forbid")

    endpoint: str = "*"
    phase: Literal["before", "after", "mid-body"] = "before"
    kind: str
    rate: float = Field(1.0, ge=0, le=1)
    count: int | None = Field(None, ge=0)
    skip: int = Field(0, ge=0)
    match: str | None = None
    retry_after: int | None = Field(None, ge=0)
    message: str | None = None
    html: bool | None = None
    seconds: float | None = Field(None, ge=0)
    bytes_per_second: int = Field(64 * 1024, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _normalise(cls, values: object) -> object:
        if isinstance(values, dict):
            values = {**values, "kind": str(values.get("kind", ""))}
            if values["kind"] in BODY_KINDS:
                values.setdefault("phase", "mid-body")
        return values

    @model_validator(mode="after")
    def _fits(self) -> FaultRule:
        kinds = {"timeout", "reset", "slow", *BODY_KINDS, *(str(status) for status in STATUSES)}
        if self.kind not in kinds:
            raise ValueError(f"kind must be one of {', '.join(sorted(kinds))}")
        if self.kind in BODY_KINDS and self.phase != "mid-body":
            raise ValueError(f"{self.kind} happens in mid-body")
        if self.status and self.phase == "mid-body":
            raise ValueError("a status can't change in mid-body; use before or after")
        return self

    @property
    def status(self) -> int | None:
        return int(self.kind) if self.kind.isdigit() else None

    @property
    def is_html(self) -> bool:
        return self.status in GATEWAY if self.html is None else self.html


class Faults:
    """The rules in force and how often each struck.

    :param endpoints: names that rules may use.
    :param seed: of the rates.
    """

    def __init__(self, endpoints: frozenset[str], seed: int = 0) -> None:
        self._endpoints = endpoints | {"*"}
        self._random = random.Random(seed)
        self.rules: list[FaultRule] = []
        self.seen: list[int] = []
        self.struck: list[int] = []

    def add(self, rules: list[FaultRule]) -> None:
        """Put rules in force.

        :param rules: added to those in force.
        :raises ValueError: for an endpoint that doesn't exist.
        """
        unknown = sorted({rule.endpoint for rule in rules} - self._endpoints)
        if unknown:
            known = ", ".join(sorted(name for name in self._endpoints if " " not in name))
            raise ValueError(f"No endpoint is called {', '.join(unknown)}. There are: {known}")
        self.rules.extend(rules)
        self.seen.extend(0 for _ in rules)
        self.struck.extend(0 for _ in rules)

    def clear(self) -> None:
        self.rules.clear()
        self.seen.clear()
        self.struck.clear()

    def concern(self, endpoint: tuple[str, str]) -> bool:
        """Say whether any rule names an endpoint.

        :param endpoint: its operation id, and its method and path template.
        """
        return any(rule.endpoint in ("*", *endpoint) for rule in self.rules)

    def pick(self, endpoint: tuple[str, str], subjects: list[str]) -> FaultRule | None:
        """Choose the first rule that strikes this request.

        :param endpoint: as for :meth:`concern`.
        :param subjects: names of what the request is about.
        :returns: None when the request passes.
        """
        for number, rule in enumerate(self.rules):
            if rule.endpoint not in ("*", *endpoint):
                continue
            if rule.match is not None and not any(fnmatchcase(subject, rule.match) for subject in subjects):
                continue
            self.seen[number] += 1
            if self.seen[number] <= rule.skip or (rule.count is not None and self.struck[number] >= rule.count):
                continue
            if self._random.random() < rule.rate:
                self.struck[number] += 1
                return rule
        return None
