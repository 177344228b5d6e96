"""A worker that dies where it is told to: a warm process that forks for each try, as Airflow starts a process for each.

Reads an order per line from stdin, and answers with a line of JSON: how the try ended.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_autoenhance.api import errors, exchange
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.pipeline.batch import claims, lease
from airflow_provider_autoenhance.pipeline.gallery import thumbnails
from airflow_provider_autoenhance.pipeline.remote import edits
from airflow_provider_autoenhance.triggers import orders
from tests.crash.effects import Effects
from tests.support.tasks import context

#: What a try loads when it runs; here before the first fork, or each of hundreds would load it anew.
LOADED_LATE = (
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.sdk.execution_time.supervisor",
    "airflow_provider_autoenhance.pipeline.batch.engine",
    "airflow_provider_autoenhance.pipeline.batch.merge",
    "anyio._backends._asyncio",
    "asgiref.sync",
    "boto3",
    "netrc",
)


def attempt(order: dict[str, Any]) -> dict[str, Any]:
    """Run one process's share of a try: ``execute``, the trigger, or ``execute_complete``."""
    lease.PATIENCE_SECONDS, lease.RENEW_SECONDS = order["patience"], order["patience"] / 5
    thumbnails.MOST_DECODED = order["most_decoded"]
    effects = Effects(lambda: os.kill(os.getpid(), signal.SIGKILL))
    effects.arm(order["last"], before=order["before"])
    with effects.watching():
        told = {"execute": _execute, "trigger": _trigger, "execute_complete": _execute_complete}[order["method"]](order)
    return told | {"effects": effects.count}


def _execute(order: dict[str, Any]) -> dict[str, Any]:
    operator = AutoenhanceEnhanceOperator(**order["options"])
    return _ended(lambda: operator.execute(context(operator, **order["about"])))


def _execute_complete(order: dict[str, Any]) -> dict[str, Any]:
    operator = AutoenhanceEnhanceOperator(**order["options"])
    return _ended(lambda: operator.execute_complete(context(operator, **order["about"]), order["event"]))


def _ended(method: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"end": "success", "summary": method()}
    except TaskDeferred as deferral:
        return {"end": "deferred", "trigger": deferral.trigger.serialize()[1]}
    except AirflowFailException as error:
        return {"end": "failed", "error": str(error)}
    except errors.AutoenhanceError as error:
        return {"end": "retry", "error": str(error)}


def _trigger(order: dict[str, Any]) -> dict[str, Any]:
    async def first_event() -> Any:
        (event,) = [event.payload async for event in orders.AutoenhanceOrderTrigger(**order["trigger"]).run()]
        return event

    return {"end": "event", "event": asyncio.run(first_event())}


def main() -> None:
    """Fork for each order until stdin ends."""
    exchange.LONGEST_WAIT_SECONDS = 0.01
    claims.POLL_SECONDS = (0.05,)
    edits.APPEARANCE_POLLS = (0.0, 0.05)
    orders.EARLIEST_EVENT_SECONDS = 0.05
    for name in LOADED_LATE:
        importlib.import_module(name)
    gc.freeze()  # a fork that collects Airflow's many objects would copy their memory
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Airflow prints is no answer
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.environ |= order["environment"]
            try:
                answer = attempt(order)
            except BaseException as error:
                answer = {"end": "crash", "error": f"{type(error).__name__}: {error}"}
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told = pipe.read()
        status = os.waitpid(child, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"end": "killed"}) if killed else told, file=answers, flush=True)


if __name__ == "__main__":
    main()
