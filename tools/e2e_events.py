"""The part of ``make e2e`` that no clock starts: an order finishes in the sandbox, and a DAG that watches for it runs, once.

Then ten finish at once, and photos arrive in ten folders at once: whatever becomes of their events, each file lands."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_autoenhance.api.uploads import upload_content_type
from tools.airflow_api import ApiError
from tools.console import detail, step
from tools.live_airflow import LiveAirflow
from tools.local_service import RESULT_BUCKET, SOURCE_BUCKET, LocalService
from tools.processes import ProcessError

NAME = "an order finishes and runs a DAG"
DAG_ID = "autoenhance_on_order"
ARRIVALS = "autoenhance_on_arrival"
ENVIRONMENT = {"AUTOENHANCE_ORDER_POLL_SECONDS": "5"}
_ASSET = "autoenhance_finished_orders"
_PHOTOS = f"s3://{SOURCE_BUCKET}/arrivals"
_BURST = 10
_SECONDS = 240


class OrderEvents:
    """The DAG and its watcher on a live Airflow.

    :param photo: the bytes of any photo.
    """

    def __init__(self, airflow: LiveAirflow, service: LocalService, photo: bytes) -> None:
        self.airflow = airflow
        self.service = service
        self._photo = photo

    def play(self) -> list[str]:
        """One order finishes while the triggerer lives, another while it is dead; return what is wrong."""
        step("An order finishes and runs a DAG, and another while the triggerer is dead")
        credits = self.service.ledger()["credits"]["spent"]
        self.service.settings(processing_seconds=[1, 1])
        self._watch()
        first = self.make_order("e2e first order")
        self._wait(lambda: self._succeeded() == 1, "a run for the first order")
        self._wait(lambda: first in self._reported(), "a note that the first order was reported")
        detail("killing the triggerer; an order finishes in the meantime")
        self.airflow.kill("triggerer")
        second = self.make_order("e2e second order")
        self._wait(lambda: self._order(second)["status"] == "processed", "the second order")
        self.airflow.start("triggerer")
        self._wait(lambda: self._succeeded() == 2, "a run for the second order")
        looked = self._looks()
        self._wait(lambda: self._looks() >= looked + 2, "two more looks")
        return self._check([first, second], credits) + self._order_burst([first, second]) + self._arrival_burst()

    def _order_burst(self, before: list[str]) -> list[str]:
        """Ten orders finish at once.

        :param before: the orders that have been reported.
        """
        step(f"{_BURST} orders finish at once")
        self.service.settings(processing_seconds=[4, 4])
        with ThreadPoolExecutor(_BURST) as pool:
            orders = list(pool.map(self.make_order, [f"e2e burst order {number}" for number in range(_BURST)]))
        wanted = len(before) + _BURST
        self._wait(lambda: len(self._files("orders/")) >= wanted, f"the files of {_BURST} orders")
        reported = self._all_reported()
        detail(f"{len(self._events())} events, {len(self._files('orders/'))} files")
        return [] if sorted(reported) == sorted(before + orders) else [f"events of {reported}, for {before + orders}"]

    def _arrival_burst(self) -> list[str]:
        """Photos arrive in ten folders, and whoever put them there says so through Airflow's API, in one call after the other."""
        step(f"Photos arrive in {_BURST} folders at once")
        api, folders = self.airflow.api, [f"arrivals/house-{number}/" for number in range(_BURST)]
        for folder in folders:
            self.service.s3().put_object(Bucket=SOURCE_BUCKET, Key=f"{folder}1.jpg", Body=self._photo)
        credits = self.service.ledger()["credits"]["spent"]
        api.patch(f"dags/{ARRIVALS}", {"is_paused": False})
        (asset,) = [each for each in api.get("assets?limit=100")["assets"] if each["uri"] == _PHOTOS]
        for folder in folders:  # at the same moment, SQLite would let some wait for longer than a call may take
            extra = {"folder": f"s3://{SOURCE_BUCKET}/{folder}"}
            api.post("assets/events", {"asset_id": asset["id"], "extra": extra})
        self._wait(lambda: len(self._files("arrivals/")) >= _BURST, f"the photos of {_BURST} folders")
        spent = self.service.ledger()["credits"]["spent"] - credits
        detail(f"{len(self._files('arrivals/'))} files, {spent} credits")
        return [] if spent == _BURST else [f"{spent} credits were spent on {_BURST} photos that arrived"]

    def _files(self, prefix: str) -> list[str]:
        """The photos that have landed."""
        listed = self.service.s3().list_objects_v2(Bucket=RESULT_BUCKET, Prefix=prefix).get("Contents", [])
        return [file["Key"] for file in listed if file["Key"].endswith(".jpg")]

    def _all_reported(self) -> list[str]:
        return [order["order_id"] for event in self._events() for order in event["extra"]["payload"]["orders"]]

    def make_order(self, name: str) -> str:
        """Make an order with one image and its photo; return the order's id."""
        order = self._call("POST", "/v3/orders/", {"name": name})["order_id"]
        image = self._call("POST", "/v3/images/", {"image_name": f"{name}.jpg", "order_id": order})
        headers = {"Content-Type": upload_content_type(image["upload_url"])}
        with urllib.request.urlopen(
            urllib.request.Request(image["upload_url"], self._photo, headers, method="PUT"), timeout=30
        ):
            return str(order)

    def _watch(self) -> None:
        """Unpause the DAG, and wait until its watcher has looked for the first time."""
        api = self.airflow.api
        api.patch(f"dags/{DAG_ID}", {"is_paused": False})
        api.put(
            f"parseDagFile/{api.get(f'dags/{DAG_ID}')['file_token']}"
        )  # Airflow starts watchers when it reads the file
        self._wait(lambda: bool(self._memories()), "a first look of the watcher")

    def _check(self, orders: list[str], credits: int) -> list[str]:
        reported = self._all_reported()
        runs = [run["state"] for run in self.airflow.api.get(f"dags/{DAG_ID}/dagRuns")["dag_runs"]]
        files = self._files("orders/")
        spent = self.service.ledger()["credits"]["spent"] - credits
        detail(f"{len(reported)} events, {len(runs)} runs, {len(files)} files, {spent} credits")
        problems = [] if sorted(reported) == sorted(orders) else [f"events of {reported}, for the orders {orders}"]
        problems += [] if runs == ["success", "success"] else [f"the runs of two orders are {runs}"]
        problems += [] if len(files) == 2 else [f"{len(files)} files landed of two orders with a photo each"]
        return problems + ([f"{spent} credits were spent on previews"] if spent else [])

    def _succeeded(self) -> int:
        return sum(run["state"] == "success" for run in self.airflow.api.get(f"dags/{DAG_ID}/dagRuns")["dag_runs"])

    def _events(self) -> list[dict[str, Any]]:
        return list(self.airflow.api.get(f"assets/events?asset_id={self._asset_id()}&limit=100")["asset_events"])

    def _reported(self) -> list[str]:
        """The orders that the watcher has noted as reported. One that it has only seen may be reported again after a kill."""
        noted = [memory["value"] for memory in self._memories()]
        return [order for value in noted for order in (json.loads(value) if isinstance(value, str) else value)["told"]]

    def _memories(self) -> list[dict[str, Any]]:
        """What the watcher has noted: with the asset from Airflow 3.3 on, in a Variable before."""
        try:
            return list(self.airflow.api.get(f"assets/{self._asset_id()}/state-store")["asset_state_store"])
        except ApiError:
            return list(self.airflow.api.get("variables?variable_key_pattern=autoenhance_orders_%25")["variables"])

    def _asset_id(self) -> int:
        found = self.airflow.api.get(f"assets?name_pattern={_ASSET}")["assets"]
        return int(next(asset["id"] for asset in found if asset["name"] == _ASSET))

    def _looks(self) -> int:
        return int(self.service.ledger()["requests"].get("GET /v3/orders/", 0))

    def _order(self, order_id: str) -> dict[str, Any]:
        return dict(self._call("GET", f"/v3/orders/{order_id}"))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json", "x-api-key": self.service.api_key, "x-api-version": "2025-08-31"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.service.api}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not ready():
            if time.monotonic() > deadline:
                raise ProcessError(f"{DAG_ID}: {what} did not come within {_SECONDS} s")
            time.sleep(0.5)
