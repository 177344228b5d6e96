"""The running sandbox: the current world, and the workers that serve it."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from airflow_provider_autoenhance.sandbox.state.faults import FaultRule, Faults
from airflow_provider_autoenhance.sandbox.state.merging import Merging
from airflow_provider_autoenhance.sandbox.state.processing import Processing
from airflow_provider_autoenhance.sandbox.state.settings import Settings
from airflow_provider_autoenhance.sandbox.state.webhooks import Webhooks
from airflow_provider_autoenhance.sandbox.state.world import World


class Buckets(Protocol):
    """What a reset and the end of the sandbox ask of the S3 beside it."""

    async def reset(self) -> None: ...

    async def stop(self) -> None: ...


class Service:
    """One sandbox from its start to its end; a reset replaces its world.

    :param settings: what a reset returns to.
    :param rules: faults from the start on.
    :param api_keys: one account each.
    :param folder: where files go.
    :param endpoints: names that fault rules may use.
    :param scheme: ``http`` or ``https``.
    :param asset_port: port of the asset host.
    :param public_host: name to use in URLs; None = the one each client used.
    """

    def __init__(
        self,
        settings: Settings,
        rules: list[FaultRule],
        api_keys: list[str],
        folder: Path,
        *,
        endpoints: frozenset[str],
        scheme: str,
        asset_port: int,
        public_host: str | None,
    ) -> None:
        self.initial_settings = settings
        self._api_keys, self._folder = api_keys, folder
        self._scheme, self._asset_port, self._public_host = scheme, asset_port, public_host
        self._runs = itertools.count(1)
        self.pixels = ThreadPoolExecutor(os.cpu_count() or 1, "pixels")
        self.renders = ThreadPoolExecutor(os.cpu_count() or 1, "renders")
        self.files = ThreadPoolExecutor(4, "files")
        self._endpoints = endpoints
        self.faults = Faults(endpoints, settings.seed)
        self.faults.add(rules)
        self.webhooks = Webhooks()
        self.processing = Processing(self.pixels, self.webhooks)
        self.merging = Merging(self.pixels, self.webhooks, self.processing)
        self.s3: Buckets | None = None
        self.addresses: dict[str, str | None] = {}
        self.world = self._new_world(settings)

    def _new_world(self, settings: Settings) -> World:
        return World(settings, self._api_keys, self._folder / f"run-{next(self._runs)}")

    def asset_base(self, host_name: str) -> str:
        """Return scheme, host and port of the asset host.

        :param host_name: by which the client reached us.
        """
        return f"{self._scheme}://{self._public_host or host_name}:{self._asset_port}"

    async def reset(self, settings: Settings, *, keep_s3: bool) -> None:
        """Forget everything: accounts, images, faults and counts.

        :param settings: of the new world.
        :param keep_s3: whether the buckets stay.
        """
        old, self.world = self.world, self._new_world(settings)
        old.closed = True
        self.faults = Faults(self._endpoints, settings.seed)
        if self.s3 and not keep_s3:
            await self.s3.reset()
        await asyncio.get_running_loop().run_in_executor(self.files, shutil.rmtree, old.folder, True)

    async def stop(self) -> None:
        """End what runs in the background, and remove the files."""
        self.world.closed = True
        await self.merging.stop()
        await self.processing.stop()
        await self.webhooks.stop()
        self.pixels.shutdown(wait=True, cancel_futures=True)
        self.renders.shutdown(wait=True, cancel_futures=True)
        self.files.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self.world.folder, ignore_errors=True)
