"""Where a watcher's memory lies: with its asset from Airflow 3.3 on, below that in an Airflow Variable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors


class Watermark:
    """One small JSON object that outlives the triggerer.

    :param store: the trigger's ``asset_state_store``, ``None`` where Airflow has none.
    :param key: name of the object, in the store and of the Variable.
    """

    def __init__(self, store: AssetStateStoreAccessors | None, key: str) -> None:
        self._store = store
        self._key = key
        self._saved: str | None = None

    async def load(self) -> Any:
        """Read it, whatever it has become; ``None`` where nothing was saved.

        A Variable is read in any case: an older Airflow may have kept it there.
        """
        held: Any = None
        if self._store is not None:
            try:
                held = await self._store.aget(self._key)
            except ValueError:  # one trigger of several assets has no store to call its own
                self._store = None
        if held is None and (text := await self._read_variable()) is not None:
            try:
                held = json.loads(text)
            except (ValueError, RecursionError):  # somebody has edited it
                held = text
        self._saved = None if held is None else json.dumps(held, sort_keys=True)
        return held

    async def save(self, value: dict[str, Any]) -> None:
        """Write it, unless it is what was written last."""
        text = json.dumps(value, sort_keys=True)
        if text == self._saved:
            return
        if self._store is not None:
            await self._store.aset(self._key, value)
        else:
            await self._write_variable(text)
        self._saved = text

    async def _read_variable(self) -> str | None:
        from airflow.sdk import Variable
        from asgiref.sync import sync_to_async

        text: str | None = await sync_to_async(Variable.get)(self._key, default=None)
        return text

    async def _write_variable(self, text: str) -> None:
        from airflow.sdk import Variable
        from asgiref.sync import sync_to_async

        await sync_to_async(Variable.set)(
            self._key, text, description="Which orders AutoenhanceOrderEventTrigger has reported"
        )
