"""A folder of a bucket whose files S3 deletes after a day, and addresses under which anybody may read them until then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_autoenhance.api.errors import DestinationError
from airflow_provider_autoenhance.storage import EVERYWHERE
from airflow_provider_autoenhance.storage.location import Location
from airflow_provider_autoenhance.storage.s3 import S3Store
from airflow_provider_autoenhance.storage.s3_errors import error_code

#: How long a file lives at least, and an address at most: S3 counts whole days, and deletes at the midnight (UTC) that follows.
DAY = 24 * 60 * 60

_RULE_ID = "airflow-provider-autoenhance-temporary"

#: What S3, and a store that knows no rules, says then.
_NOT_ALLOWED = frozenset({"AccessDenied", "403", "MethodNotAllowed", "405", "NotImplemented", "501"})


def ensure_expiring(folder: Location) -> None:
    """See that a lifecycle rule deletes what lies in a folder. Make one where the bucket has none at all, and the folder is empty: rules
    are put all together, and one that is not ours might suffer; and what lies there already, nobody may have meant to lose.

    :raises DestinationError: there is no such rule, and none was made; it says which.
    """
    store = S3Store(folder, EVERYWHERE)
    rules = _rules(store)
    # Not has_anything: the marker that a console makes of a folder is no file.
    if rules is None and any(True for _ in store.list(recursive=True, strict=False)):
        rules = _rules(store)  # another task may have made one by now, and gone to work
        if rules is None:
            raise _without_rule(store, "files lie there already, which a rule made by this task would delete")
    if rules is None:
        _make_rule(store)
    elif not (days := [rule["Expiration"]["Days"] for rule in rules if _deletes(rule, folder.key)]):
        raise _without_rule(store, "the bucket has other rules, and a task changes none of them")
    elif min(days) > 1:
        reason = f"the bucket's own keeps it for {min(days)} days, and of several rules S3 follows the one that deletes first"
        raise _without_rule(store, reason)


def presigned_address(file: Location, seconds: int) -> str:
    """Return an address under which anybody may read a file for so long. A secret: it is neither logged nor kept."""
    store = S3Store(file, EVERYWHERE)
    store.require_key(DestinationError)
    with store.explained(DestinationError):
        target = {"Bucket": file.bucket, "Key": file.key}
        return str(store.client.generate_presigned_url("get_object", Params=target, ExpiresIn=seconds))


def _rules(store: S3Store) -> list[dict[str, Any]] | None:
    with store.explained(DestinationError):
        client = store.client
        try:
            answer = client.get_bucket_lifecycle_configuration(Bucket=store.location.bucket)
        except Exception as error:
            if error_code(error) == "NoSuchLifecycleConfiguration":
                return None
            if error_code(error) in _NOT_ALLOWED:
                raise _without_rule(store, "the connection may not read the bucket's rules") from None
            raise
    found: list[dict[str, Any]] = answer.get("Rules", [])
    return found


def _make_rule(store: S3Store) -> None:
    folder = store.location
    rule = {"ID": _RULE_ID, "Status": "Enabled", "Filter": {"Prefix": folder.key}, "Expiration": {"Days": 1}}
    with store.explained(DestinationError):
        try:
            store.client.put_bucket_lifecycle_configuration(
                Bucket=folder.bucket, LifecycleConfiguration={"Rules": [rule]}
            )
        except Exception as error:
            if error_code(error) in _NOT_ALLOWED:
                raise _without_rule(store, "the bucket has none, and the connection may not make one") from None
            raise


def _deletes(rule: Mapping[str, Any], key: str) -> bool:
    """Whether a rule deletes all below a key some days after it was written."""
    chosen = rule.get("Filter", {"Prefix": rule.get("Prefix", "")})  # older rules have no filter
    everything = not chosen.keys() - {"Prefix"} and key.startswith(chosen.get("Prefix", ""))
    return rule.get("Status") == "Enabled" and everything and "Days" in rule.get("Expiration", {})


def _without_rule(store: S3Store, reason: str) -> DestinationError:
    folder = store.location
    return DestinationError(
        f"{folder.uri}: the connection's extra 'temporary_folder' needs a lifecycle rule that deletes what lies there: {reason}. Give "
        f"bucket {folder.bucket!r} a rule with the prefix {folder.key!r} that expires objects after 1 day, and let the connection do "
        "s3:GetLifecycleConfiguration; or give the task a destination."
    )
