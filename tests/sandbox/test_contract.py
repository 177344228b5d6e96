"""Generated requests, good and bad, get answers that the contract allows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.sandbox.api import Api
from tests.support.pictures import bracket, photo
from tests.support.sandbox import ROOT, Sandbox

schemathesis = pytest.importorskip("schemathesis", reason="comes with the extra dev")

CONTRACT = ROOT / "tests" / "contract" / "openapi.yaml"
SMALL_PHOTO = photo(width=60, height=40)
SMALL_BRACKET = bracket((0, 2))
WITHOUT_KEY = {
    "retrieve_image",
    "retrieve_order",
    "v3_orders_order_id_brackets_get",
    "download_preview_image",
    "download_watermark_image",
}


def limits(examples: int, *phases: Phase) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[*phases, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


anything = schemathesis.openapi.from_path(CONTRACT)
valid = schemathesis.openapi.from_path(CONTRACT)
valid.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])


@pytest.fixture
def open_sandbox(sandbox_server: Sandbox) -> Sandbox:
    """Fresh, and without the limits on names that generated data would hit."""
    sandbox_server.reset(same_name_limit=0, daily_limit=0)
    return sandbox_server


@anything.parametrize()
@limits(15, Phase.explicit)
def test_answers_conform(case: Any, open_sandbox: Sandbox) -> None:
    case.call_and_validate(base_url=open_sandbox.url, headers={"x-api-key": open_sandbox.api_key})


@valid.include(path_regex=r"\{").parametrize()
@limits(5)
def test_answers_about_what_exists_conform(case: Any, open_sandbox: Sandbox) -> None:
    with Api(open_sandbox) as api:
        image = api.finished(SMALL_PHOTO, "known.jpg")
        order_id = api.order()["order_id"]
        bracket_ids = api.brackets(order_id, SMALL_BRACKET)
    known = {"images": image["image_id"], "orders": order_id, "brackets": bracket_ids[0]}
    case.path_parameters = dict.fromkeys(case.path_parameters, known[case.path.split("/")[2]])
    if isinstance(case.body, dict) and case.body.get("images"):
        case.body["images"] = [{"bracket_ids": bracket_ids}]
    if isinstance(case.body, dict) and case.method != "PUT" and isinstance(case.body.get("restage"), dict):
        case.body["restage"].pop("environment", None)  # a premium edit is made with PUT alone
    if case.query.get("format") == "jxl":
        case.query["format"] = "avif"  # JPEG XL is all that the sandbox can't write
    answer = case.call(base_url=open_sandbox.url, headers={"x-api-key": open_sandbox.api_key}, allow_redirects=False)
    case.validate_response(answer)
    gone = case.operation.definition.raw.get("deprecated") and answer.status_code == 404
    assert answer.status_code < 400 or gone, answer.text


@valid.parametrize()
@limits(3)
def test_a_wrong_key_is_refused_where_one_is_needed(case: Any, open_sandbox: Sandbox) -> None:
    answer = case.call(base_url=open_sandbox.url, headers={"x-api-key": "wrong"})
    if case.operation.definition.raw["operationId"] not in WITHOUT_KEY:
        assert (answer.status_code, answer.json()["message"]) == (401, "Unauthorized")
    case.validate_response(answer)
