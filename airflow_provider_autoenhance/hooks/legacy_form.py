"""The connection form for Airflow before 3.2, which builds it from widgets instead of reading the provider's metadata."""

from __future__ import annotations

from typing import Any

from airflow_provider_autoenhance.get_provider_info import connection_fields


def connection_form_widgets() -> dict[str, Any]:
    """Turn the declared fields into form widgets, one text or check box each."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import BooleanField, StringField

    widgets: dict[str, Any] = {}
    for name, field in connection_fields().items():
        schema = field["schema"]
        if "boolean" in schema["type"]:
            widgets[name] = BooleanField(label=field["label"], description=field["description"])
        else:
            default = str(schema["default"]) if "default" in schema else None
            widgets[name] = StringField(
                label=field["label"], description=field["description"], widget=BS3TextFieldWidget(), default=default
            )
    return widgets
