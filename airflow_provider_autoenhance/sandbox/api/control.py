"""``/sandbox/*``: endpoints that show and steer the sandbox. They are not part of the vendor's API and need no key."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.responses import JSONResponse, Response

from airflow_provider_autoenhance.sandbox.errors import ApiError, invalid
from airflow_provider_autoenhance.sandbox.http.call import Call
from airflow_provider_autoenhance.sandbox.state.faults import FaultRule
from airflow_provider_autoenhance.sandbox.state.ledger import ledger

_RULES = TypeAdapter(list[FaultRule])


async def get_health(call: Call) -> Response:
    """Answer with the addresses of its hosts."""
    return JSONResponse({"status": "ok", **call.service.addresses})


async def get_specification(call: Call) -> Response:
    """Answer with the contract's document, where the vendor's framework serves its own."""
    document = await asyncio.get_running_loop().run_in_executor(call.service.files, _specification)
    return Response(document, media_type="application/json")


@lru_cache
def _specification() -> str:
    import yaml  # moto's S3 brings it along

    return json.dumps(yaml.safe_load((Path(__file__).with_name("openapi.yaml")).read_text()))


async def get_ledger(call: Call) -> Response:
    """Answer with the accounts. ``?summary=true`` leaves out the rows."""
    rows = call.query.get("summary") != "true"
    return JSONResponse(ledger(call.world, call.service.faults, rows=rows))


async def get_faults(call: Call) -> Response:
    return JSONResponse(_faults(call))


async def add_faults(call: Call) -> Response:
    """Add one rule or a list of rules to those in force."""
    body = await call.raw_json()
    rules = _checked(_RULES.validate_python, body if isinstance(body, list) else [body])
    try:
        call.service.faults.add(rules)
    except ValueError as error:
        raise invalid("json", {"endpoint": [str(error)]}) from None
    return JSONResponse(_faults(call))


async def clear_faults(call: Call) -> Response:
    call.service.faults.clear()
    return Response(status_code=204)


async def get_signatures(call: Call) -> Response:
    """Answer with the signature of each presigned URL that was handed out, so that a search for leaks can look for them."""
    return JSONResponse(call.world.signer.made)


async def get_settings(call: Call) -> Response:
    return JSONResponse(_settings(call))


async def change_settings(call: Call) -> Response:
    before = call.world.settings.webhook_url
    _checked(call.world.change, await call.raw_json())
    if call.world.settings.webhook_url and call.world.settings.webhook_url != before:
        call.service.webhooks.saved(call.world)
    return JSONResponse(_settings(call))


async def reset(call: Call) -> Response:
    """Start afresh with the settings of the start, changed by the body. ``keep_s3`` keeps the buckets."""
    body = await call.raw_json()
    if not isinstance(body, dict):
        raise ApiError(400)
    keep_s3 = bool(body.pop("keep_s3", False))
    settings = _checked(call.service.initial_settings.changed, body)
    await call.service.reset(settings, keep_s3=keep_s3)
    return JSONResponse(settings.model_dump(exclude={"webhook_token"}))


def _checked(function: Any, value: Any) -> Any:
    if not isinstance(value, dict | list):
        raise ApiError(400)
    try:
        return function(value)
    except ValidationError as error:
        problems = {".".join(map(str, item["loc"])) or "_schema": [item["msg"]] for item in error.errors()}
        raise invalid("json", problems) from None


def _faults(call: Call) -> list[dict[str, Any]]:
    faults = call.service.faults
    return [{**rule.model_dump(), "struck": struck} for rule, struck in zip(faults.rules, faults.struck, strict=True)]


def _settings(call: Call) -> dict[str, Any]:
    return call.world.settings.model_dump(exclude={"webhook_token"})
