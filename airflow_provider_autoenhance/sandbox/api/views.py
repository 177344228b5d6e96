"""Views: orders, images and exposures as answers show them, by API version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_autoenhance.sandbox.api.schemas import CLOUDS
from airflow_provider_autoenhance.sandbox.http.versions import SLIDERS, Version
from airflow_provider_autoenhance.sandbox.state.models import Exposure, Image, Order
from airflow_provider_autoenhance.sandbox.state.world import World

_DEFAULTS: dict[str, Any] = {
    "enhance": True,
    "enhance_type": "neutral",
    "lens_correction": True,
    "privacy": False,
    "upscale": False,
    "vertical_correction": True,
}


def image_out(image: Image, version: Version) -> dict[str, Any]:
    """Return an ImageOut."""
    chosen = image.settings
    out: dict[str, Any] = {
        "image_id": image.image_id,
        "image_name": image.name,
        "order_id": image.order_id,
        "user_id": image.user_id,
        "date_added": int(image.created_at * 1000),
        "downloaded": image.downloaded,
        "scene": image.scene,
        "rating": image.rating,
        "ai_version": version.ai_version(chosen.get("ai_version")),
        **{name: chosen.get(name, default) for name, default in _DEFAULTS.items()},
    }
    out.update(_state(image, version))
    if version.has_metadata_out or version.flags_beside_status:
        out["status_reason"] = image.status_reason
    if version.has_metadata_out:
        out["metadata"] = image.metadata
    if version.has_brackets:
        out["finetune_settings"] = chosen.get("finetune_settings")
    if version.has_window_pull_type:
        out["window_pull_type"] = _full_name(chosen.get("window_pull_type", "NONE"))
    if not version.has_restage_sky:
        cloud = chosen.get("cloud_type")
        out["sky_replacement"] = chosen.get("sky_replacement", False)
        out["cloud_type"] = cloud if cloud in CLOUDS else None
    if version.has_window_pull:
        out["window_pull"] = chosen.get("window_pull", False)
    if version.has_restage:
        out.update(restage=_restage(chosen, version), preset_id=chosen.get("preset_id"))
        out["parent_image_id"] = image.parent_id
    if version.has_perspective:
        out["perspective_correction"] = chosen.get("perspective_correction", True)
        out["perspective_correction_mode"] = chosen.get("perspective_correction_mode", "DEFAULT_ENABLED")
    if version.has_sliders:
        out.update({name: chosen[name] for name in SLIDERS if name in chosen})
    return out


def _state(image: Image, version: Version) -> dict[str, Any]:
    """Say where an image stands, in all the words of a version."""
    out: dict[str, Any] = {"status": image.status} if version.has_status else {}
    if version.has_flags:
        out.update(enhanced=image.status == "processed", error=image.status in ("error", "expired"))
    if version.has_image_type:
        out["is_threesixty"] = bool(image.settings.get("threesixty"))
        if image.content_type:
            out["image_type"] = image.content_type
    return out


def _restage(chosen: dict[str, Any], version: Version) -> dict[str, Any] | None:
    """Fold the sky into ``restage``: always since it has its place there, before that where one was chosen."""
    restage: dict[str, Any] | None = chosen.get("restage")
    if not version.has_restage_sky and "sky_replacement" not in chosen:
        return restage
    sky = chosen.get("cloud_type") or "CLEAR" if chosen.get("sky_replacement") else "AS_SHOT"
    return {**(restage or {}), "sky": sky}


def _full_name(window_pull_type: str) -> str:
    return "WINDOWS_WITH_SKIES" if window_pull_type == "WITH_SKIES" else window_pull_type


def order_out(world: World, order: Order, version: Version, sort_by: str | None = None) -> dict[str, Any]:
    """Return an OrderOut with its images."""
    images = world.order_images(order)
    _sort(images, sort_by or order.sort_order or "")
    out: dict[str, Any] = {
        "order_id": order.order_id,
        "name": order.name,
        "status": _order_status(order, images),
        "is_merging": order.is_merging,
        "is_processing": any(image.status == "processing" for image in images),
        "is_deleted": order.is_deleted,
        "created_at": _naive_timestamp(order.created_at),
        "last_updated_at": _naive_timestamp(order.updated_at),
        "total_images": len(images),
        "images": [image_out(image, version) for image in images],
    }
    if version.has_sort_order:
        out["default_image_sort_order"] = order.sort_order
    return out


def exposure_out(world: World, exposure: Exposure) -> dict[str, Any]:
    """Return a BracketOut."""
    return {
        "bracket_id": exposure.exposure_id,
        "name": exposure.name,
        "order_id": exposure.order_id,
        "is_uploaded": world.is_uploaded(exposure),
        "metadata": exposure.metadata,
        "image_id": exposure.image_id,
    }


def _naive_timestamp(seconds: float) -> str:
    """Return a time in ISO 8601 with microseconds and without an offset, as integrators saw it."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def _order_status(order: Order, images: list[Image]) -> str:
    if order.is_merging or any(image.status == "processing" for image in images):
        return "processing"
    if not images or any(image.status == "waiting" for image in images):
        return "waiting"
    return "processed" if any(image.status == "processed" for image in images) else "error"


def _sort(images: list[Image], key: str) -> None:
    names = {"image_name": "name", "name": "name", "date_added": "created_at", "status": "status"}
    attribute = names.get(key.lstrip("-"))
    if attribute:
        images.sort(key=lambda image: getattr(image, attribute), reverse=key.startswith("-"))
