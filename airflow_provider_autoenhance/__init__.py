"""Apache Airflow provider for Autoenhance.ai.

Import what a DAG file needs from here. Each name loads its module when it is first used, so that parsing stays cheap::

    from airflow_provider_autoenhance import AutoenhanceEnhanceOperator, list_groups

The modules of hooks, operators, sensors and triggers keep their paths. All other modules may move.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers take it for true; importing the name from typing would load typing

if TYPE_CHECKING:  # the names as the table below has them
    from .api.errors import AuthenticationError as AuthenticationError
    from .api.errors import AutoenhanceError as AutoenhanceError
    from .api.errors import ConflictError as ConflictError
    from .api.errors import ConnectionConfigError as ConnectionConfigError
    from .api.errors import ConversionError as ConversionError
    from .api.errors import DeadlineError as DeadlineError
    from .api.errors import DestinationError as DestinationError
    from .api.errors import DestinationFullError as DestinationFullError
    from .api.errors import ForbiddenAddressError as ForbiddenAddressError
    from .api.errors import ImageExpiredError as ImageExpiredError
    from .api.errors import ImageFailedError as ImageFailedError
    from .api.errors import IntegrityError as IntegrityError
    from .api.errors import InvalidRequestError as InvalidRequestError
    from .api.errors import NoCreditsError as NoCreditsError
    from .api.errors import NotFoundError as NotFoundError
    from .api.errors import RateLimitError as RateLimitError
    from .api.errors import ServerError as ServerError
    from .api.errors import SettingsError as SettingsError
    from .api.errors import SourceError as SourceError
    from .api.errors import StoppedError as StoppedError
    from .api.errors import UnexpectedError as UnexpectedError
    from .api.errors import UnreachableError as UnreachableError
    from .api.errors import UploadError as UploadError
    from .api.errors import UploadUrlExpiredError as UploadUrlExpiredError
    from .api.settings import EnhancementSettings as EnhancementSettings
    from .dag_helpers.arrivals import arrived_folders as arrived_folders
    from .dag_helpers.arrivals import changed_folders as changed_folders
    from .dag_helpers.errors import fail_fast as fail_fast
    from .dag_helpers.listings import list_groups as list_groups
    from .dag_helpers.listings import worker_slots as worker_slots
    from .dag_helpers.params import chosen_settings as chosen_settings
    from .dag_helpers.params import on_existing_param as on_existing_param
    from .dag_helpers.params import output_param as output_param
    from .dag_helpers.params import preflight_param as preflight_param
    from .dag_helpers.params import settings_params as settings_params
    from .dag_helpers.report import NightReport as NightReport
    from .hooks.autoenhance import AutoenhanceHook as AutoenhanceHook
    from .hooks.autoenhance_async import AutoenhanceAsyncHook as AutoenhanceAsyncHook
    from .imaging.naming import file_name as file_name
    from .imaging.output import OutputSpec as OutputSpec
    from .operators.brackets import AutoenhanceCreateBracketOperator as AutoenhanceCreateBracketOperator
    from .operators.brackets import AutoenhanceUploadBracketOperator as AutoenhanceUploadBracketOperator
    from .operators.enhance import AutoenhanceEnhanceOperator as AutoenhanceEnhanceOperator
    from .operators.images import AutoenhanceCreateImageOperator as AutoenhanceCreateImageOperator
    from .operators.images import AutoenhanceDeleteImageOperator as AutoenhanceDeleteImageOperator
    from .operators.images import AutoenhanceDownloadImageOperator as AutoenhanceDownloadImageOperator
    from .operators.images import AutoenhanceReportImageOperator as AutoenhanceReportImageOperator
    from .operators.images import AutoenhanceReprocessImageOperator as AutoenhanceReprocessImageOperator
    from .operators.images import AutoenhanceUploadImageOperator as AutoenhanceUploadImageOperator
    from .operators.orders import AutoenhanceCreateOrderOperator as AutoenhanceCreateOrderOperator
    from .operators.orders import AutoenhanceDeleteOrderOperator as AutoenhanceDeleteOrderOperator
    from .operators.orders import AutoenhanceDownloadOrderOperator as AutoenhanceDownloadOrderOperator
    from .operators.orders import AutoenhanceProcessOrderOperator as AutoenhanceProcessOrderOperator
    from .operators.orders import AutoenhanceUpdateOrderOperator as AutoenhanceUpdateOrderOperator
    from .operators.premium import AutoenhancePremiumEditOperator as AutoenhancePremiumEditOperator
    from .policies.retry import AutoenhanceRetryPolicy as AutoenhanceRetryPolicy
    from .sensors.status import AutoenhanceImageStatusSensor as AutoenhanceImageStatusSensor
    from .sensors.status import AutoenhanceOrderStatusSensor as AutoenhanceOrderStatusSensor
    from .storage import list_files as list_files
    from .triggers.events import AutoenhanceOrderEventTrigger as AutoenhanceOrderEventTrigger
    from .triggers.images import AutoenhanceImageTrigger as AutoenhanceImageTrigger
    from .triggers.orders import AutoenhanceOrderTrigger as AutoenhanceOrderTrigger
    from .utils.assets import reported_orders as reported_orders
    from .utils.assets import triggering_extras as triggering_extras

#: The public names, by their module.
_PUBLIC = {
    "api.errors": (
        "AuthenticationError", "AutoenhanceError", "ConflictError", "ConnectionConfigError", "ConversionError",
        "DeadlineError", "DestinationError", "DestinationFullError", "ForbiddenAddressError",
        "ImageExpiredError", "ImageFailedError", "IntegrityError", "InvalidRequestError", "NoCreditsError",
        "NotFoundError", "RateLimitError", "ServerError", "SettingsError", "SourceError", "StoppedError",
        "UnexpectedError", "UnreachableError", "UploadError", "UploadUrlExpiredError",
    ),
    "api.settings": ("EnhancementSettings",),
    "dag_helpers.arrivals": ("arrived_folders", "changed_folders"),
    "dag_helpers.errors": ("fail_fast",),
    "dag_helpers.listings": ("list_groups", "worker_slots"),
    "dag_helpers.params": (
        "chosen_settings",
        "on_existing_param",
        "output_param",
        "preflight_param",
        "settings_params",
    ),
    "dag_helpers.report": ("NightReport",),
    "hooks.autoenhance": ("AutoenhanceHook",),
    "hooks.autoenhance_async": ("AutoenhanceAsyncHook",),
    "imaging.naming": ("file_name",),
    "imaging.output": ("OutputSpec",),
    "operators.brackets": ("AutoenhanceCreateBracketOperator", "AutoenhanceUploadBracketOperator"),
    "operators.enhance": ("AutoenhanceEnhanceOperator",),
    "operators.images": (
        "AutoenhanceCreateImageOperator", "AutoenhanceDeleteImageOperator", "AutoenhanceDownloadImageOperator",
        "AutoenhanceReportImageOperator", "AutoenhanceReprocessImageOperator", "AutoenhanceUploadImageOperator",
    ),
    "operators.orders": (
        "AutoenhanceCreateOrderOperator", "AutoenhanceDeleteOrderOperator", "AutoenhanceDownloadOrderOperator",
        "AutoenhanceProcessOrderOperator", "AutoenhanceUpdateOrderOperator",
    ),
    "operators.premium": ("AutoenhancePremiumEditOperator",),
    "policies.retry": ("AutoenhanceRetryPolicy",),
    "sensors.status": ("AutoenhanceImageStatusSensor", "AutoenhanceOrderStatusSensor"),
    "storage": ("list_files",),
    "triggers.events": ("AutoenhanceOrderEventTrigger",),
    "triggers.images": ("AutoenhanceImageTrigger",),
    "triggers.orders": ("AutoenhanceOrderTrigger",),
    "utils.assets": ("reported_orders", "triggering_extras"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [*_MODULE_OF]  # noqa: PLE0604


if not TYPE_CHECKING:  # a type checker would believe that every name exists

    def __getattr__(name):
        from importlib import import_module

        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
