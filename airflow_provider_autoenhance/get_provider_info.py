"""What Airflow asks about this provider. Imports nothing, because every Airflow process calls it."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_autoenhance"
_INTEGRATION = "Autoenhance.ai"


def get_provider_info() -> dict[str, Any]:
    """Describe the provider: connection type with its form (Airflow 3.2 and later), and the modules to list."""
    return {
        "package-name": "airflow-provider-autoenhance",
        "name": _INTEGRATION,
        "description": "Photos from storage, through `Autoenhance.ai <https://autoenhance.ai>`__, and back, each paid for once.",
        "integrations": [
            {"integration-name": _INTEGRATION, "external-doc-url": "https://docs.autoenhance.ai", "tags": ["service"]}
        ],
        "hooks": _modules("hooks.autoenhance", "hooks.autoenhance_async"),
        "operators": _modules(
            "operators.images", "operators.orders", "operators.brackets", "operators.enhance", "operators.premium"
        ),
        "sensors": _modules("sensors.status"),
        "triggers": _modules("triggers.images", "triggers.orders", "triggers.events"),
        "extra-links": [
            f"{_PACKAGE}.operators.links.{name}" for name in ("PhotosLink", "ContactSheetLink", "ManifestLink")
        ],
        "task-decorators": [
            {"name": "autoenhance", "class-name": f"{_PACKAGE}.decorators.autoenhance.autoenhance_task"}
        ],
        "config": {
            "autoenhance": {
                "description": "Autoenhance.ai. The webhook needs Airflow 3 and is read by the API server alone.",
                "options": {
                    "webhook_token": _option(
                        "What Autoenhance's webhook calls carry; without it there is no webhook. 16 characters or more.",
                        sensitive=True,
                    ),
                    "webhook_conn_id": _option(
                        "Airflow connection of the account that the webhook belongs to.", default="autoenhance_default"
                    ),
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "autoenhance",
                "hook-class-name": f"{_PACKAGE}.hooks.autoenhance.AutoenhanceHook",
                "hook-name": "Autoenhance",
                "ui-field-behaviour": ui_field_behaviour(),
                "conn-fields": connection_fields(),
            }
        ],
    }


def ui_field_behaviour() -> dict[str, Any]:
    """Which of Airflow's standard connection fields are shown, and under which names."""
    return {
        "hidden-fields": ["login", "schema", "port", "extra"],
        "relabeling": {"password": "API key", "host": "Base URL"},
        "placeholders": {"host": "https://api.autoenhance.ai", "password": "from the Autoenhance web app"},
    }


def connection_fields() -> dict[str, dict[str, Any]]:
    """Form fields of the connection's extra; defaults as in :class:`~airflow_provider_autoenhance.api.config.Extra`."""
    return {
        "api_version": _field(
            "API version",
            "Behaviour version of the API, YYYY-MM-DD; empty: the account's own",
            type="string",
            default="2026-11-09",
        ),
        "dev_mode": _field("Dev mode", "Spend no credits; full-size downloads carry a watermark", default=False),
        "timeout_seconds": _field("Timeout", "Seconds that an answer may take", type="number", default=60),
        "max_attempts": _field("Attempts", "How often a request is sent before it fails", type="integer", default=5),
        "max_requests_per_second": _field(
            "Requests per second", "Ceiling for each process; the API allows 300 per address", type="number", default=50
        ),
        "proxies": _field("Proxies", 'One proxy URL, or JSON: {"https": "http://proxy:3128"}', type="string"),
        "verify": _field("Verify", "true, false, or the path of a CA bundle", type="string", default="true"),
        "allow_http": _field("Allow http", "Allow a plain-http base URL that is not loopback", default=False),
        "allow_private_sources": _field(
            "Allow private hosts",
            "Allow source photos, uploads and downloads on private and loopback addresses",
            default=False,
        ),
        "local_folders": _field(
            "Local folders",
            'Folders of the worker that photos may be read from: one, or JSON: ["/data/photos"]. Empty: any but the system\'s own',
            type="string",
        ),
        "icc_directory": _field("ICC folder", "Folder with ICC colour profiles, on every worker", type="string"),
        "storages": _field(
            "Storages", 'Folders by name, as JSON: {"print-shop": "s3://conn_id@bucket/folder/"}', type="string"
        ),
        "temporary_folder": _field(
            "Temporary folder",
            "Of a bucket, for results without a destination: s3://conn_id@bucket/temporary/",
            type="string",
        ),
        "credit_price": _field(
            "Price of a credit", "In money, so that plans, summaries and reports say it too", type="number"
        ),
        "currency": _field("Currency", "Of that price: a code or a sign", type="string", default="USD"),
    }


def _field(label: str, description: str, *, type: str = "boolean", default: Any = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [type, "null"]}
    if default is not None:
        schema["default"] = default
    return {"label": label, "description": description, "schema": schema}


def _option(description: str, *, default: str | None = None, sensitive: bool = False) -> dict[str, Any]:
    fields = {
        "description": description,
        "version_added": "0.1.0",
        "type": "string",
        "example": None,
        "default": default,
    }
    return {**fields, "sensitive": sensitive}


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}]
