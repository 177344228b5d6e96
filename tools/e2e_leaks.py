"""The part of ``make e2e`` that looks for secrets: a night that fails at each stage once, and a search through all that e2e has left."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.airflow_home import DAGS, REPOSITORY
from tools.console import detail, step
from tools.leaks import LeakSearch, planted, search_for
from tools.live_airflow import LiveAirflow
from tools.local_service import RESULT_BUCKET, SOURCE_BUCKET, LocalService
from tools.processes import ProcessError

NAME = "a night that fails at each stage leaks nothing"
DAG_ID = "autoenhance_leaks"
_DAGS = REPOSITORY / "tools" / "leak_dags"
_SECONDS = 240

#: What happens to a photo, and what its task reports in the end.
STAGES = {
    "landed": "landed",
    "other": "landed",
    "asked": "landed",
    "source": "no summary",
    "create": "answered 500",
    "upload": "upload",
    "status": "sky too dark",
    "refused": "answered 403",
    "truncated": "broke off",
    "profile": "no summary",
    "bucket": "no summary",
    "key": "no summary",
}

#: Where Airflow keeps what tasks say; each is planted once. An encrypted place is marked so.
_PLACES = (
    ("rendered_task_instance_fields", "rendered_fields", False),
    ("task_instance", "rendered_map_index", False),
    ("task_instance", "next_kwargs", False),
    ("xcom", "value", False),
    ("trigger", "kwargs", True),
    ("variable", "val", True),
    ("asset_event", "extra", False),
    ("asset_state_store", "value", False),
    ("task_state_store", "value", False),
    ("log", "extra", False),
    ("dag_run", "conf", False),
)


@dataclass(frozen=True)
class LeakNight:
    """Presigned sources and made-up ones, and what goes wrong with each.

    :param folder: of this part; Airflow's DAG files and lineage events lie in it.
    :param photo: the bytes of any photo.
    """

    service: LocalService
    folder: Path
    photo: bytes
    _urls: dict[str, str] = field(default_factory=dict)
    #: Stands for what the vendor's texts may hold: made up, so that it is known.
    _xcom: str = field(default_factory=lambda: secrets.token_urlsafe(20))
    _key: str = field(default_factory=lambda: secrets.token_urlsafe(20))

    def environment(self) -> dict[str, str]:
        """Fill the bucket, and return what Airflow's processes need: all of them, as every library is to log what it likes."""
        self.folder.mkdir(parents=True)
        for file in (*DAGS.glob("*.py"), *_DAGS.glob("*.py")):
            (self.dags / file.name).parent.mkdir(exist_ok=True)
            (self.dags / file.name).symlink_to(file)
        for name in STAGES:
            self._urls[name] = self._presigned(name)
        connection = json.loads(self.service.connections["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"])
        lineage = {"type": "file", "log_file_path": str(self.folder / "lineage.jsonl"), "append": True}
        return {
            "AIRFLOW_CONN_AUTOENHANCE_DEFAULT": json.dumps(connection | {"extra": {"allow_private_sources": True}}),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(lineage),
            "AIRFLOW__OPENLINEAGE__EMISSION_POLICY": json.dumps(
                [
                    {"scope": {}, "controls": {"emit": False}},
                    {"scope": {"dag_id": DAG_ID}, "controls": {"emit": True, "include_full_task_info": True}},
                ]
            ),
            "AUTOENHANCE_LEAK_STAGES": json.dumps(list(self._stages())),
            **{f"AIRFLOW_VAR_LEAK_{name.upper()}": url for name, url in self._urls.items()},
        }

    @property
    def dags(self) -> Path:
        """The folder of DAG files: the project's and this part's."""
        return self.folder / "dags"

    def play(self, airflow: LiveAirflow) -> list[str]:
        """Run the night; return what is wrong with it, and what planted leaks the search does not find."""
        step(
            f"A night that fails at each of {len(STAGES)} stages, then a search for secrets in everything that is left"
        )
        self._arrange()
        run = f"dags/{DAG_ID}/dagRuns/leaks"
        airflow.api.patch(f"dags/{DAG_ID}", {"is_paused": False})
        airflow.api.post(f"dags/{DAG_ID}/dagRuns", {"dag_run_id": "leaks", "logical_date": None})
        database = airflow.home.path / "airflow.db"
        self._wait(lambda: _count(database, "trigger") > 0, "deferred")
        snapshot = self.folder / "deferred.db"
        _copy(database, snapshot)
        self._wait(lambda: airflow.api.get(run)["state"] in ("success", "failed"), "ended")
        key = airflow.home.fernet_key
        problems = self._check_stages(airflow, run) + self._check_search(self.search(key), snapshot, key)
        events = (self.folder / "lineage.jsonl").read_text().count("leaks/landed")
        return problems + ([] if events else ["no lineage event names what landed"])

    def search(self, fernet_key: str) -> LeakSearch:
        """Return a search for the sandbox's secrets and this night's."""
        mine = [url.partition("Signature=")[2].partition("&")[0] for url in self._urls.values()]
        return search_for(
            self.service,
            {
                "the signature of a source": filter(None, mine),
                "what stood in the vendor's words": [self._xcom],
                "a key in a URI": [self._key],
            },
            [fernet_key],
        )

    def leaks(self, fernet_key: str) -> list[str]:
        """Return what leaked in all of e2e: into logs, databases, lineage events, records and manifests."""
        began = time.monotonic()
        search = self.search(fernet_key)
        problems = search.files(self.folder.parent)
        s3, looked = self.service.s3(), 0
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=RESULT_BUCKET):
            for item in page.get("Contents", []):
                if not item["Key"].endswith(".jpg"):
                    looked += 1
                    content = s3.get_object(Bucket=RESULT_BUCKET, Key=item["Key"])["Body"].read()
                    problems += [f"{item['Key']} contains {name}" for name in sorted(search.look(content))]
        detail(
            f"searched {looked} records and manifests, and all files below {self.folder.parent}, in {time.monotonic() - began:.0f} s"
        )
        return problems

    def _check_search(self, search: LeakSearch, snapshot: Path, fernet_key: str) -> list[str]:
        """Plant a leak of each kind, and return those that the search does not find."""
        kinds = planted(self._xcom, fernet_key)
        problems = [f"a secret planted {kind} is not found" for kind, text in kinds.items() if not search.look(text)]
        copy = self.folder / "planted"
        copy.mkdir()
        for file in ("task.log", "lineage.jsonl", "record.json.z"):
            (copy / file).write_bytes(kinds["packed by zlib" if file.endswith(".z") else "in JSON"])
            problems += [] if search.files(copy) else [f"a secret planted in {file} is not found"]
            (copy / file).unlink()
        for table, column, encrypted in _PLACES:
            _copy(snapshot, copy / "airflow.db")
            with closing(sqlite3.connect(copy / "airflow.db")) as database:
                clean = search.database(database, "")
                text = kinds["encrypted by Airflow" if encrypted else "in JSON"].decode()
                database.execute(f'ALTER TABLE "{table}" RENAME TO "planted"')
                database.execute(
                    f'CREATE TABLE "{table}" AS SELECT * FROM "planted" LIMIT 0'
                )  # without its constraints
                database.execute(f'INSERT INTO "{table}" ("{column}") VALUES (?)', (text,))
                if search.database(database, "") == clean:
                    problems.append(f"a secret planted in {table}.{column} is not found")
            (copy / "airflow.db").unlink()
        copy.rmdir()
        detail(
            f"found a leak of each of {len(kinds) + 3 + len(_PLACES)} kinds that were planted"
            if not problems
            else problems[0]
        )
        return problems

    def _stages(self) -> Iterator[dict[str, Any]]:
        for name in STAGES:
            stage: dict[str, Any] = {
                "source": [f"{{{{ var.value.leak_{name} }}}}"],
                "destination": f"s3://{RESULT_BUCKET}/leaks/{name}/",
            }
            if name == "profile":
                profile = {"color_space": "CMYK", "color_profile": "{{ var.value.leak_other }}"}
                stage["output_spec"] = {"format": "jpeg", **profile}
            if name == "bucket":
                stage["destination"] = "s3://there-is-no-such-bucket/leaks/"
            if name not in ("other", "asked"):
                yield stage

    def _presigned(self, name: str) -> str:
        """A source that S3 has signed, in the way that the vendor's URLs are signed; the sandbox's S3 checks no signature."""
        import boto3
        from botocore.config import Config

        s3 = self.service.s3()
        key = f"leaks/{name}.jpg"
        if name == "key":
            return f"s3://AKIALEAK:{self._key}@{SOURCE_BUCKET}/{key}"
        if name == "source":  # of an upload that never was: the host refuses it
            return f"{self.service.assets}/autoenhanceapi-sandbox/renders/{key}?AWSAccessKeyId=AKIALEAK&Signature={self._key}"
        s3.put_object(Bucket=SOURCE_BUCKET, Key=key, Body=self.photo + name.encode())
        signing = boto3.client(
            "s3",
            endpoint_url=s3.meta.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="AKIALEAK",
            aws_secret_access_key=self._key,
            config=Config(signature_version="s3", s3={"addressing_style": "path"}),
        )
        return str(signing.generate_presigned_url("get_object", Params={"Bucket": SOURCE_BUCKET, "Key": key}))

    def _arrange(self) -> None:
        """Let the sandbox fail, in words that hold an address and a forged line."""
        address = f"https://bucket.example/a.jpg?AWSAccessKeyId=ASIA&Signature={self._xcom}&Expires=1790000000"
        words = f"cannot read {address}\n[2026-03-01] ERROR - forged"
        self.service.settings(processing_seconds=[2, 3], fail_images={"status*": f"sky too dark: {words}"})
        self.service.add_faults(
            {"endpoint": "create_image", "kind": "500", "match": "create*", "message": words},
            {"endpoint": "put_object", "kind": "403", "match": "upload*", "message": words},
            {"endpoint": "get_object", "kind": "403", "match": "refused*", "message": words},
            {"endpoint": "get_object", "kind": "truncate", "match": "truncated*"},
        )

    def _check_stages(self, airflow: LiveAirflow, run: str) -> list[str]:
        """Each stage must have gone wrong as it was arranged, or nothing was shown."""
        problems = []
        names = [name for name in STAGES if name not in ("other", "asked")]
        for index, name in enumerate(names):
            found = _xcom(
                airflow, f"{run}/taskInstances/enhance/xcomEntries/summary?map_index={index}&deserialize=true"
            )
            if STAGES[name] not in found:
                problems.append(f"stage {name}: {found}")
        found = _xcom(airflow, f"{run}/taskInstances/asked/xcomEntries/summary?deserialize=true")
        return problems + ([] if "landed" in found else [f"stage asked: {found}"])

    @staticmethod
    def _wait(ready: Any, what: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while not ready():
            if time.monotonic() > deadline:
                raise ProcessError(f"{DAG_ID}: the run was not {what} within {_SECONDS} s")
            time.sleep(0.5)


def _xcom(airflow: LiveAirflow, path: str) -> str:
    """What a task's summary says of its one photo."""
    from tools.airflow_api import ApiError

    try:
        summary = airflow.api.get(path)["value"]
    except ApiError:
        return "no summary"
    return "landed" if summary["landed"] else json.dumps(summary["failures"])


def _count(database: Path, table: str) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])


def _copy(database: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
