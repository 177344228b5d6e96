"""The accounts: what was made, bought, deleted and asked for since the last reset."""

from __future__ import annotations

from typing import Any

from airflow_provider_autoenhance.sandbox.state.faults import Faults
from airflow_provider_autoenhance.sandbox.state.models import Image
from airflow_provider_autoenhance.sandbox.state.world import World


def ledger(world: World, faults: Faults, *, rows: bool) -> dict[str, Any]:
    """Return the accounts as JSON.

    :param world: what to account for.
    :param faults: the rules in force.
    :param rows: whether to list every image, exposure and upload beside the totals.
    """
    for image in world.images.values():
        image.refresh(world.now())
    live = [image for image in world.images.values() if not image.deleted]
    spent = sum(account.spent for account in world.accounts.values())
    accounts: dict[str, Any] = {
        "images_created": len(world.images),
        "images_live": len(live),
        "brackets_created": sum(not exposure.of_image for exposure in world.exposures.values()),
        "orders_created": len(world.orders),
        "uploads_received": len(world.uploads),
        "credits": {
            "spent": spent,
            "remaining": sum(account.credits for account in world.accounts.values()),
            "by_image": _credits_by_image(world),
        },
        "accounts": [
            {"user_id": account.user_id, "credits": account.credits, "spent": account.spent}
            | {"enhancements": account.enhancements}
            for account in world.accounts.values()
        ],
        "requests": dict(sorted(world.requests.items())),
        "responses": dict(sorted(world.responses.items())),
        "api_key_hosts": sorted(world.api_key_hosts),
        "faults_struck": sum(faults.struck),
    }
    if rows:
        accounts.update(
            images=[_image_row(image) for image in world.images.values()],
            live_images=[image.image_id for image in live],
            brackets=[_exposure_row(world, key) for key, exposure in world.exposures.items() if not exposure.of_image],
            orders=[
                {"order_id": order.order_id, "name": order.name, "image_ids": order.image_ids}
                | {"bracket_ids": order.exposure_ids, "is_merging": order.is_merging, "deleted": order.is_deleted}
                for order in world.orders.values()
            ],
            uploads=world.uploads,
            purchases=world.purchases,
            deletions=world.deletions,
            reports=world.reports,
            webhooks=world.deliveries,
        )
    return accounts


def _credits_by_image(world: World) -> dict[str, int]:
    totals: dict[str, int] = {}
    for purchase in world.purchases:
        totals[purchase["image_id"]] = totals.get(purchase["image_id"], 0) + purchase["credits"]
    return totals


def _image_row(image: Image) -> dict[str, Any]:
    return {
        "image_id": image.image_id,
        "name": image.name,
        "order_id": image.order_id,
        "parent_image_id": image.parent_id,
        "metadata": image.metadata,
        "status": image.status,
        "status_reason": image.status_reason,
        "settings": image.settings,
        "downloaded": image.downloaded,
        "deleted": image.deleted,
        "bracket_ids": image.exposure_ids,
        "processing_runs": image.processing_runs,
        "created_at": image.created_at,
    }


def _exposure_row(world: World, exposure_id: str) -> dict[str, Any]:
    exposure = world.exposures[exposure_id]
    return {
        "bracket_id": exposure.exposure_id,
        "name": exposure.name,
        "order_id": exposure.order_id,
        "metadata": exposure.metadata,
        "is_uploaded": exposure.upload is not None,
        "image_id": exposure.image_id,
        "deleted": exposure.deleted,
        "created_at": exposure.created_at,
    }
