"""Processing: an enhancement takes its time, works on the pixels in a pool, and sets the outcome."""

from __future__ import annotations

import asyncio
import logging
import uuid
from concurrent.futures import Executor
from fnmatch import fnmatchcase

from airflow_provider_autoenhance.sandbox.photo.developing import Failure, Job, Outcome, develop
from airflow_provider_autoenhance.sandbox.state.models import Image
from airflow_provider_autoenhance.sandbox.state.webhooks import Webhooks
from airflow_provider_autoenhance.sandbox.state.world import World

log = logging.getLogger(__name__)

DAILY_LIMIT_REASON = "Daily enhancement limit reached. Try again tomorrow or upgrade your plan."
SCENES = ("kitchen", "living_room", "bedroom", "bathroom", "dining_room", "garden", "exterior")


class Processing:
    """Enhances images in the background.

    :param pixels: where pixels are worked on.
    :param webhooks: announce the outcome.
    """

    def __init__(self, pixels: Executor, webhooks: Webhooks) -> None:
        self._pixels, self._webhooks = pixels, webhooks
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, world: World, image: Image) -> None:
        """Begin to enhance an uploaded image. A run under way is dropped; above the day's limit the image fails at once.

        :param world: where the image is.
        :param image: the image.
        """
        image.revision += 1
        image.processing_runs += 1
        image.status, image.status_reason = "processing", None
        if not world.may_enhance(image.user_id):
            self._finish(world, image, Failure(DAILY_LIMIT_REASON))
            return
        task = asyncio.ensure_future(self._run(world, image, image.revision))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, world: World, image: Image, revision: int) -> None:
        seconds = world.random.uniform(*world.settings.processing_seconds)
        rest = asyncio.ensure_future(asyncio.sleep(seconds))
        try:
            outcome = await self._develop(world, image)
        except Exception:
            if world.closed:
                return
            log.exception("Image %s could not be enhanced", image.image_id)
            outcome = Failure("Internal error while processing the image.")
        await rest
        if not world.closed and not image.deleted and image.revision == revision:
            self._finish(world, image, outcome)

    async def _develop(self, world: World, image: Image) -> Outcome:
        for pattern, reason in world.settings.fail_images.items():
            if fnmatchcase(image.name, pattern):
                return Failure(reason)
        uploads = [world.exposures[exposure_id].upload for exposure_id in image.exposure_ids] or [image.upload]
        job = Job(
            sources=[upload for upload in uploads if upload],
            name=image.name if not image.exposure_ids else world.exposures[image.exposure_ids[0]].name,
            settings=dict(image.settings),
            target=world.folder / "masters" / uuid.uuid4().hex,
            max_megapixels=world.settings.max_megapixels,
            copy=world.settings.render != "enhance",
        )
        return await asyncio.get_running_loop().run_in_executor(self._pixels, develop, job)

    def _finish(self, world: World, image: Image, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            image.status, image.status_reason = "error", outcome.reason
        else:
            image.status, image.status_reason = "processed", None
            image.enhanced = outcome.enhanced
            image.original = outcome.original
            image.scene = _scene(image)
        world.orders[image.order_id].updated_at = world.now()
        self._webhooks.image_processed(world, image)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _scene(image: Image) -> str:
    name = image.name.lower()
    named = (scene for scene in SCENES if scene.replace("_", "") in name.replace("_", "").replace("-", ""))
    return next(named, SCENES[sum(image.name.encode()) % len(SCENES)])
