"""Merging: the exposures of an order become images, the first half of HDR processing."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain
from typing import Any

from airflow_provider_autoenhance.sandbox.photo.grouping import ExposureFile, find_brackets
from airflow_provider_autoenhance.sandbox.state.models import Exposure, Image, Order
from airflow_provider_autoenhance.sandbox.state.processing import Processing
from airflow_provider_autoenhance.sandbox.state.webhooks import Webhooks
from airflow_provider_autoenhance.sandbox.state.world import World

#: The shared preset "natural", which stands for what an account has chosen.
ACCOUNT_PRESET = "b02886eb-a8e8-4ffc-bcd4-e9c901dddb52"


@dataclass(frozen=True)
class MergeRequest:
    """What a process call asks for.

    :param settings: preferences of the images.
    :param groups: exposures per image as chosen by the caller; empty = not chosen.
    :param size: exposures per image in order of registration; 0 = group by what they show.
    """

    settings: dict[str, Any]
    groups: list[list[Exposure]]
    size: int


class Merging:
    """Merges in the background.

    :param pixels: where pixels are compared.
    :param webhooks: announce the images.
    :param processing: enhances them.
    """

    def __init__(self, pixels: Executor, webhooks: Webhooks, processing: Processing) -> None:
        self._pixels, self._webhooks, self._processing = pixels, webhooks, processing
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, world: World, order: Order, request: MergeRequest) -> None:
        """Begin to group the uploaded exposures that do not belong to an image yet. Without any, this does nothing.

        The upload of a plain image is free too, once: it goes into a second image, and the first stays as it is.

        :param world: where they are.
        :param order: their order.
        :param request: how to group them.
        """
        chosen = list(chain(*request.groups)) if request.groups else world.order_exposures(order)
        free = [each for each in chosen if each.upload and each.is_free and each.exposure_id not in world.claimed]
        if not free:
            return
        world.claimed.update(exposure.exposure_id for exposure in free)
        order.is_merging = True
        order.updated_at = world.now()
        world.merges[order.order_id] += 1
        task = asyncio.ensure_future(self._run(world, order, request, free))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, world: World, order: Order, request: MergeRequest, free: list[Exposure]) -> None:
        await asyncio.sleep(world.random.uniform(*world.settings.merging_seconds))
        groups = await self._groups(world, request, free)
        world.merges[order.order_id] -= 1
        order.is_merging = world.merges[order.order_id] > 0
        if world.closed or order.is_deleted:
            return
        for group in groups:
            if present := [exposure for exposure in group if not exposure.deleted]:
                self._make_image(world, order, request, present)

    async def _groups(self, world: World, request: MergeRequest, free: list[Exposure]) -> list[list[Exposure]]:
        if request.groups:
            wanted = {exposure.exposure_id for exposure in free}
            kept = [[exposure for exposure in group if exposure.exposure_id in wanted] for group in request.groups]
            return [group for group in kept if group]
        if request.size:
            return [free[start : start + request.size] for start in range(0, len(free), request.size)]
        files = [ExposureFile(each.exposure_id, each.name, each.upload.path) for each in free if each.upload]
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pixels, find_brackets, files)
        return [[world.exposures[exposure_id] for exposure_id in ids] for ids in found]

    def _make_image(self, world: World, order: Order, request: MergeRequest, group: list[Exposure]) -> None:
        now = world.now()
        first = group[0]
        alone = len(group) == 1
        settings = dict(request.settings)
        if first.of_image:
            settings.setdefault("preset_id", ACCOUNT_PRESET)
        image = Image(
            str(uuid.uuid4()),
            first.name,
            order.order_id,
            order.user_id,
            now,
            now + world.settings.upload_url_seconds,
            settings,
            first.metadata if alone and not first.of_image else None,
            exposure_ids=[exposure.exposure_id for exposure in group],
        )
        world.images[image.image_id] = image
        order.image_ids.append(image.image_id)
        order.updated_at = now
        world.write_metadata(image, {"Manually Grouped": bool(request.groups)})
        for exposure in group:
            exposure.image_id = image.image_id
        self._webhooks.image_registered(world, image)
        self._processing.start(world, image)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
