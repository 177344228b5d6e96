"""Groups an order's brackets into images, the first half of HDR processing."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from airflow_provider_autoenhance.sandbox.photo.grouping import Shot, group_shots
from airflow_provider_autoenhance.sandbox.state.models import Bracket, Image, Order
from airflow_provider_autoenhance.sandbox.state.processing import Processing
from airflow_provider_autoenhance.sandbox.state.webhooks import Webhooks
from airflow_provider_autoenhance.sandbox.state.world import World


@dataclass(frozen=True)
class Wish:
    """
    What a process call asks for.

    :param groups: brackets per image as chosen by the caller; empty = not chosen.
    :param size: brackets per image in order of registration; 0 = group by what the shots show.
    """

    settings: dict[str, Any]
    groups: list[list[Bracket]]
    size: int


class Merging:
    """
    :param pixels: where pixels are looked at.
    :param webhooks: who is to hear of new images.
    :param processing: what goes on with them.
    """

    def __init__(self, pixels: Executor, webhooks: Webhooks, processing: Processing) -> None:
        self._pixels, self._webhooks, self._processing = pixels, webhooks, processing
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, world: World, order: Order, wish: Wish) -> None:
        """Begin to group the uploaded brackets that belong to no image yet; without any this does nothing."""
        chosen = [b for group in wish.groups for b in group] if wish.groups else world.order_brackets(order)
        free = [b for b in chosen if b.upload and b.image_id is None and b.bracket_id not in world.claimed]
        if not free:
            return
        world.claimed.update(b.bracket_id for b in free)
        order.is_merging = True
        order.updated_at = world.now()
        world.merges[order.order_id] += 1
        task = asyncio.ensure_future(self._run(world, order, wish, free))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, world: World, order: Order, wish: Wish, free: list[Bracket]) -> None:
        await asyncio.sleep(world.random.uniform(*world.settings.merging_seconds))
        groups = await self._groups(world, wish, free)
        world.merges[order.order_id] -= 1
        order.is_merging = world.merges[order.order_id] > 0
        if world.closed or order.is_deleted:
            return
        for group in groups:
            if present := [bracket for bracket in group if not bracket.deleted]:
                self._make_image(world, order, wish, present)

    async def _groups(self, world: World, wish: Wish, free: list[Bracket]) -> list[list[Bracket]]:
        if wish.groups:
            wanted = {bracket.bracket_id for bracket in free}
            kept = [[b for b in group if b.bracket_id in wanted] for group in wish.groups]
            return [group for group in kept if group]
        if wish.size:
            return [free[start : start + wish.size] for start in range(0, len(free), wish.size)]
        shots = [Shot(b.bracket_id, b.name, b.upload.path) for b in free if b.upload]
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pixels, group_shots, shots)
        return [[world.brackets[bracket_id] for bracket_id in ids] for ids in found]

    def _make_image(self, world: World, order: Order, wish: Wish, group: list[Bracket]) -> None:
        now = world.now()
        first = group[0]
        alone = len(group) == 1
        image = Image(
            str(uuid.uuid4()),
            first.name,
            order.order_id,
            order.user_id,
            now,
            now + world.settings.upload_url_seconds,
            dict(wish.settings),
            first.metadata if alone else None,
            bracket_ids=[bracket.bracket_id for bracket in group],
        )
        world.images[image.image_id] = image
        order.image_ids.append(image.image_id)
        order.updated_at = now
        for bracket in group:
            bracket.image_id = image.image_id
        self._webhooks.image_registered(world, image)
        self._processing.start(world, image)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
