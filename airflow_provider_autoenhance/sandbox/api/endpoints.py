"""Tables of the endpoints: the API's, the asset host's, and the sandbox's own."""

from __future__ import annotations

from airflow_provider_autoenhance.sandbox.api import control, downloads, images, orders
from airflow_provider_autoenhance.sandbox.http.call import Route
from airflow_provider_autoenhance.sandbox.store import assets, uploads

API = [
    Route("POST", "/v3/images/", "create_image", images.create_image),
    Route("GET", "/v3/images/{id}", "retrieve_image", images.retrieve_image, keyed=False),
    Route("PUT", "/v3/images/{id}", "update_image", images.update_image),
    Route("DELETE", "/v3/images/{id}", "delete_image", images.delete_image),
    Route("POST", "/v3/images/{id}/process", "v3_images_id_process_post", images.process_image),
    Route("POST", "/v3/images/{id}/report", "report_image", images.report_image),
    Route("GET", "/v3/images/{id}/enhanced", "download_enhanced_image", downloads.download_enhanced),
    Route("GET", "/v3/images/{id}/original", "download_original_image", downloads.download_original, "2025-01-01"),
    Route("POST", "/v3/orders/", "create_order", orders.create_order),
    Route("GET", "/v3/orders/", "list_orders", orders.list_orders),
    Route("GET", "/v3/orders/{id}", "retrieve_order", orders.retrieve_order, keyed=False),
    Route("PATCH", "/v3/orders/{id}", "update_order", orders.update_order),
    Route("DELETE", "/v3/orders/{id}", "delete_order", orders.delete_order),
    Route("POST", "/v3/orders/{id}/process", "process_order", orders.process_order),
    Route("GET", "/v3/orders/{order_id}/brackets", "v3_orders_order_id_brackets_get", orders.list_exposures, False),
    Route("POST", "/v3/brackets/", "v3_brackets_post", orders.create_exposure),
    Route("GET", "/v3/brackets/{id}", "retrieve_bracket", orders.retrieve_exposure),
    Route("DELETE", "/v3/brackets/{id}", "delete_bracket", orders.delete_exposure),
    Route("POST", "/v3/orders/{id}/merge", "merge_hdr", orders.process_order, until="2025-05-05"),
    Route(
        "GET",
        "/v3/images/{id}/preview",
        "download_preview_image",
        downloads.download_preview,
        False,
        lambda settings: settings.preview_path_until,
    ),
    Route(
        "GET",
        "/v3/images/{id}/watermark",
        "download_watermark_image",
        downloads.download_watermark,
        False,
        "2025-01-01",
    ),
]

ASSETS = [
    Route("PUT", f"/{uploads.BUCKET}/uploads/{{key}}", "put_object", uploads.put_object),
    Route("GET", f"/{uploads.BUCKET}/renders/{{key}}", "get_object", assets.get_object),
    Route("GET", f"/{uploads.BUCKET}/hop/{{key}}", "follow_hop", assets.follow_hop),
]

CONTROL = [
    Route("GET", "/docs/openapi.spec", "openapi_specification", control.get_specification, control=True),
    Route("GET", "/sandbox/health", "sandbox_health", control.get_health, control=True),
    Route("GET", "/sandbox/ledger", "sandbox_ledger", control.get_ledger, control=True),
    Route("GET", "/sandbox/signatures", "sandbox_signatures", control.get_signatures, control=True),
    Route("GET", "/sandbox/faults", "sandbox_get_faults", control.get_faults, control=True),
    Route("POST", "/sandbox/faults", "sandbox_add_faults", control.add_faults, control=True),
    Route("DELETE", "/sandbox/faults", "sandbox_clear_faults", control.clear_faults, control=True),
    Route("GET", "/sandbox/settings", "sandbox_get_settings", control.get_settings, control=True),
    Route("POST", "/sandbox/settings", "sandbox_change_settings", control.change_settings, control=True),
    Route("POST", "/sandbox/reset", "sandbox_reset", control.reset, control=True),
]
