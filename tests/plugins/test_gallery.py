"""The gallery over a real API server: what a page gets, and what nobody gets who may not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

from tests.plugins.gallery_site import BASE, Site, add_run, add_task, path_of, serve

if not AIRFLOW_V_3_1_PLUS:
    pytest.skip("Airflow before 3.1 has no place for it", allow_module_level=True)

RUN = "manual__2026-11-27T20:00:00+00:00/a b"
BEFORE, AFTER, FULL = (b"RIFF....WEBPVP8 photo-" + name for name in (b"before", b"after", b"full" * 700_000))
HOSTILE = "<img src=x onerror=alert(1)>.jpg"


class Photos:
    """A destination on disk with the list and the pictures of a task, and others beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        thumbnails = folder / ".autoenhance" / "thumbnails"
        thumbnails.mkdir(parents=True)
        (thumbnails / "k-before.webp").write_bytes(BEFORE)
        (thumbnails / "k-after.webp").write_bytes(AFTER)
        (thumbnails / "unlisted.webp").write_bytes(AFTER)
        (folder / "elm").mkdir()
        (folder / "elm" / "kitchen.jpg").write_bytes(FULL)
        (folder / "elm" / "unlisted.jpg").write_bytes(FULL)
        (folder.parent / "outside.jpg").write_bytes(FULL)
        (folder / "link.jpg").symlink_to(folder.parent / "outside.jpg")
        self.fields = {
            "destination": f"{folder}/",
            "destination_conn_id": None,
            "autoenhance_conn_id": "autoenhance_default",
        }
        self.uri = f"{folder}/autoenhance-gallery.json"

    def write(
        self, dag_id: str, run_id: str, photos: list[Any], name: str = "autoenhance-gallery.json", **about: Any
    ) -> None:
        whole = {
            "version": 1,
            "dag_id": dag_id,
            "run_id": run_id,
            "task_id": "enhance",
            "map_index": -1,
            "photos": photos,
            **about,
        }
        (self.folder / name).write_text(json.dumps(whole))


def photo(**about: Any) -> dict[str, Any]:
    outputs = [
        {"name": name, "bytes": len(FULL), "format": "jpeg", "width": 6, "height": 4}
        for name in ("elm/kitchen.jpg", "link.jpg")
    ]
    outputs += [
        {"name": name}
        for name in ("../outside.jpg", "/etc/passwd", ".autoenhance/thumbnails/k-after.webp", "a//b.jpg", "a\\b.jpg")
    ]
    return {
        "name": "kitchen.jpg",
        "listing": "elm",
        "state": "landed",
        "before": "k-before.webp",
        "after": "k-after.webp",
        "outputs": outputs,
        **about,
    }


@pytest.fixture(scope="module")
def site(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server, and tasks of all kinds: ``nightly`` may be read by all, ``secret`` by the chief alone."""
    with serve(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def photos(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Photos:
    """What the tasks have left, in the database and at their destinations."""
    found = Photos(tmp_path_factory.mktemp("enhanced") / "nightly")
    found.write(
        "nightly", RUN, [photo(), photo(name=HOSTILE, before="../../x.webp", after=None), {"state": "landed"}, "x"]
    )
    number = add_run("nightly", RUN)
    mine = {"number": number, "fields": found.fields}
    add_task(
        "nightly",
        RUN,
        **mine,
        gallery=found.uri,
        manifest=f"{found.folder}/autoenhance-manifest.jsonl",
        photos=2,
        landed=2,
        credits=3,
    )
    add_task("nightly", RUN, "edited", **mine, gallery=f"{found.folder.parent}/secret/autoenhance-gallery.json")
    add_task("nightly", RUN, "dotted", **mine, gallery=f"{found.folder}/../secret/autoenhance-gallery.json")
    add_task("nightly", RUN, "odd", **mine, gallery="s3://elsewhere/autoenhance-gallery.json")
    add_task("nightly", RUN, "stolen", **mine, gallery=f"{found.folder}/autoenhance-gallery-12345678.json")
    found.write("secret", RUN, [photo()], "autoenhance-gallery-12345678.json")
    add_task(
        "nightly",
        RUN,
        "foreign",
        number=number,
        operator="BashOperator",
        fields={"bash_command": "ls"},
        gallery=found.uri,
    )
    add_task("nightly", RUN, "report", number=number, operator="PythonOperator", photos=2, landed=2, credits=3)
    add_task("nightly", RUN, "waiting", **mine, state="deferred")
    add_task("nightly", RUN, "broken", **mine, state="failed")
    add_task("nightly", RUN, "forgotten", number=number, gallery=found.uri)
    add_task("nightly", RUN, "damaged", **mine, gallery=f"{found.folder}/autoenhance-gallery-dddddddd.json")
    packed(found, mine)
    (found.folder / "autoenhance-gallery-dddddddd.json").write_text('{"photos": [')
    add_task("nightly", RUN, "gone", **mine, gallery=f"{found.folder}/autoenhance-gallery-00000000.json")
    add_task("nightly", RUN, "old", **mine, manifest=f"{found.folder}/autoenhance-manifest-aaaaaaaa.jsonl")
    output = {"uri": f"{found.folder}/elm/kitchen.jpg", "size": 4, "content_type": "image/jpeg"}
    old = {
        "source": "s3://in/elm/kitchen.jpg",
        "status": "landed",
        "outputs": [output],
        "credits": 1,
        "seconds": {"upload": 1, "download": 2.5},
    }
    (found.folder / "autoenhance-manifest-aaaaaaaa.jsonl").write_text(json.dumps(old) + "\n{broken\n")
    secret = Photos(found.folder.parent / "secret")
    secret.write("secret", RUN, [photo()])
    add_task(
        "secret",
        RUN,
        number=add_run("secret", RUN),
        fields=secret.fields,
        gallery=secret.uri,
        manifest=secret.uri,
        photos=1,
    )
    return found


def packed(found: Photos, mine: dict[str, Any]) -> None:
    """Leave tasks that have worked on several listings, each with a list of its own."""
    for listing in ("elm", "oak", "ash"):
        small = found.folder / listing / ".autoenhance" / "thumbnails"
        small.mkdir(parents=True, exist_ok=True)
        (small / f"{listing}-after.webp").write_bytes(f"small {listing}".encode())
        (found.folder / listing / f"{listing}.jpg").write_bytes(f"big {listing}".encode())
        of = [photo(name=f"{listing}.jpg", listing="", before=None, after=f"{listing}-after.webp")]
        of[0]["outputs"] = [{"name": f"{listing}.jpg"}, {"name": "../elm/elm.jpg"}]
        found.write("nightly", RUN, of, f"{listing}/autoenhance-gallery.json", task_id="packed")
    (found.folder / "ash" / "autoenhance-gallery.json").write_text("{")
    listings = [{"gallery": f"{found.folder}/{listing}/autoenhance-gallery.json"} for listing in ("elm", "oak", "ash")]
    fields = found.fields | {"listings": True}
    add_task("nightly", RUN, "packed", number=mine["number"], fields=fields, summary={"listings": listings})
    add_task("nightly", RUN, "unpacked", **mine, summary={"listings": listings})
    outside = [{"gallery": f"{found.folder.parent}/secret/autoenhance-gallery.json"}]
    add_task("nightly", RUN, "packed_edited", number=mine["number"], fields=fields, summary={"listings": outside})


def rows(site: Site, task_id: str, dag_id: str = "nightly", **about: Any) -> dict[str, Any]:
    status, _, body = site.get(path_of("photos", dag_id, RUN, task_id, -1), **about)
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.usefixtures("photos")
def test_a_task_shows_what_its_list_says(site: Site) -> None:
    found = rows(site, "enhance")
    assert (found["state"], found["ended"], found["damaged"], found["later_run"]) == ("ready", True, 2, None)
    kitchen, hostile = found["photos"]
    assert (kitchen["before"], kitchen["after"]) == ("k-before.webp", "k-after.webp")
    assert [each["name"] for each in kitchen["outputs"]] == ["elm/kitchen.jpg", "link.jpg"]
    assert (hostile["name"], hostile["before"]) == (HOSTILE, None)
    assert rows(site, "enhance", cookie=False) == found


@pytest.mark.usefixtures("photos")
def test_a_task_of_several_listings_shows_them_all(site: Site, photos: Photos) -> None:
    found = rows(site, "packed")
    assert [(each["listing"], each["name"], each["after"]) for each in found["photos"]] == [
        ("elm", "elm.jpg", "elm-after.webp"),
        ("oak", "oak.jpg", "oak-after.webp"),
    ]
    assert (found["state"], found["damaged"]) == ("ready", 1), "one listing's list is damaged"
    assert [each["name"] for photo in found["photos"] for each in photo["outputs"]] == ["elm/elm.jpg", "oak/oak.jpg"]
    assert site.get(path_of("thumbnail", "nightly", RUN, "packed", -1, "oak-after.webp"))[2] == b"small oak"
    assert site.get(path_of("output", "nightly", RUN, "packed", -1) + "?name=oak/oak.jpg")[2] == b"big oak"
    assert rows(site, "unpacked")["state"] == "unlisted"
    assert site.get(path_of("photos", "nightly", RUN, "packed_edited", -1))[0] == 404


def test_an_old_manifest_shows_names_and_facts(site: Site) -> None:
    found = rows(site, "old")
    (kitchen,) = found["photos"]
    assert found["damaged"] == 1
    assert (kitchen["name"], kitchen["listing"], kitchen["state"], kitchen["seconds"]) == (
        "kitchen.jpg",
        "elm",
        "landed",
        3.5,
    )
    assert kitchen["outputs"] == [
        {"name": "elm/kitchen.jpg", "format": "jpeg", "bytes": 4, "width": None, "height": None}
    ]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("task_id", "state"),
    [
        ("waiting", "running"),
        ("broken", "unlisted"),
        ("forgotten", "forgotten"),
        ("damaged", "damaged"),
        ("gone", "gone"),
    ],
)
def test_it_says_why_there_is_nothing(site: Site, task_id: str, state: str) -> None:
    found = rows(site, task_id)
    assert (found["state"], found["photos"]) == (state, [])


@pytest.mark.usefixtures("photos")
def test_pictures_come_as_they_are(site: Site) -> None:
    for name, content in (("k-before.webp", BEFORE), ("k-after.webp", AFTER)):
        status, headers, body = site.get(path_of("thumbnail", "nightly", RUN, "enhance", -1, name))
        assert (status, body) == (200, content)
        assert headers["content-type"] == "image/webp"
        assert headers["cache-control"].startswith("private")
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        again = site.get(path_of("thumbnail", "nightly", RUN, "enhance", -1, name), If_None_Match=headers["etag"])
        assert (again[0], again[2]) == (304, b"")


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        (None, 200, 0, len(FULL)),
        ("bytes=0-99", 206, 0, 100),
        ("bytes=1000-", 206, 1000, len(FULL)),
        ("bytes=-10", 206, len(FULL) - 10, len(FULL)),
        ("bytes=0-1,5-6", 200, 0, len(FULL)),
        (f"bytes={len(FULL)}-", 416, 0, 0),
    ],
)
def test_a_photo_comes_whole_or_in_part(site: Site, asked: str | None, status: int, start: int, end: int) -> None:
    path = path_of("output", "nightly", RUN, "enhance", -1) + "?name=elm%2Fkitchen.jpg"
    got, headers, body = site.get(path, **({"Range": asked} if asked else {}))
    assert got == status
    if status == 416:
        return
    assert body == FULL[start:end]
    assert headers["content-length"] == str(end - start)
    assert headers["content-type"] == "image/jpeg"
    assert headers.get("content-range") == (f"bytes {start}-{end - 1}/{len(FULL)}" if status == 206 else None)
    other = site.get(path, Range="bytes=0-9", If_Range='"another"')
    assert (other[0], len(other[2])) == (200, len(FULL))


def everything(dag_id: str, run_id: str, task_id: str, map_index: int | str = -1) -> list[str]:
    return [
        path_of("photos", dag_id, run_id, task_id, map_index),
        path_of("thumbnail", dag_id, run_id, task_id, map_index, "k-after.webp"),
        path_of("output", dag_id, run_id, task_id, map_index) + "?name=elm/kitchen.jpg",
    ]


PAGES = [path_of("run", "secret", RUN), path_of("task", "secret", RUN, "enhance", -1), path_of("tasks", "secret", RUN)]
SECRET = [*everything("secret", RUN, "enhance"), *PAGES]
OPEN = [*everything("nightly", RUN, "enhance"), "/", "/recent", "/gallery.js", "/tab.js", "/recent.js"]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("user", "paths", "status"),
    [
        (None, SECRET + OPEN, 401),
        ("bad", SECRET + OPEN, 403),
        ("viewer", SECRET, 403),
        ("viewer", [f"{path}{'&' if '?' in path else '?'}dag_id=nightly" for path in SECRET], 403),
        ("viewer", [path.replace("/secret/", "/~/") for path in SECRET], 404),
        ("viewer", [path.replace("/secret/", "/%7E/") for path in SECRET], 404),
        ("viewer", [f"{path.replace('/secret/', '//')}{'&' if '?' in path else '?'}dag_id=nightly" for path in SECRET], 404),
        ("viewer", everything("nightly", f"../secret/{RUN}", "enhance"), 404),
        ("viewer", everything("nightly", "manual__another", "enhance"), 404),
        ("viewer", everything("nightly", RUN, "nobody"), 404),
        ("viewer", everything("nightly", RUN, "enhance", 0), 404),
        ("viewer", everything("nightly", RUN, "foreign"), 404),
        ("viewer", everything("nightly", RUN, "edited"), 404),
        ("viewer", everything("nightly", RUN, "dotted"), 404),
        ("viewer", everything("nightly", RUN, "odd"), 404),
        ("viewer", everything("nightly", RUN, "stolen"), 404),
        ("chief", everything("secret", "manual__another", "enhance"), 404),
    ],
    ids=[
        "anonymous", "bad-token", "another-dag", "dag-in-the-query", "any-dag", "any-dag-encoded", "no-dag", "dots",
        "foreign-run", "no-task", "foreign-index", "foreign-task", "edited-xcom", "dotted-xcom", "xcom-of-another-store",
        "list-of-another-dag", "chief-foreign-run",
    ],
)  # fmt: skip
def test_not_a_byte_for_whoever_may_not(site: Site, user: str | None, paths: list[str], status: int) -> None:
    for path in paths:
        got, headers, body = site.get(path, user)
        assert got == status, path
        assert b"photo-" not in body and b"kitchen" not in body
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    "path",
    [
        path_of("thumbnail", "nightly", RUN, "enhance", -1, "unlisted.webp"),
        path_of("thumbnail", "nightly", RUN, "enhance", -1, "../../elm/kitchen.jpg"),
        path_of("thumbnail", "nightly", RUN, "enhance", -1, "..", "..", "x.webp"),
        *(
            path_of("output", "nightly", RUN, "enhance", -1) + f"?name={name}"
            for name in (
                "elm/unlisted.jpg",
                "../outside.jpg",
                "link.jpg",
                "/etc/passwd",
                "autoenhance-gallery.json",
                "",
            )
        ),
        path_of("output", "nightly", RUN, "enhance", -1) + "?name=.autoenhance/thumbnails/k-after.webp",
        "/access.js",
        "/../routes.js",
    ],
)
def test_names_that_are_not_listed_lead_nowhere(site: Site, path: str) -> None:
    got, _, body = site.get(path)
    assert (got, b"photo-" in body) == (404, False)


@pytest.mark.usefixtures("photos")
def test_the_chief_sees_the_secret(site: Site) -> None:
    for path in SECRET:
        assert site.get(path, "chief")[0] == 200, path


@pytest.mark.usefixtures("photos")
def test_a_run_lists_its_tasks_with_photos(site: Site) -> None:
    found = json.loads(site.get(path_of("tasks", "nightly", RUN))[2])["tasks"]
    assert {each["task_id"] for each in found} >= {"enhance", "old", "waiting", "forgotten"}
    assert "foreign" not in {each["task_id"] for each in found}


@pytest.mark.usefixtures("photos")
def test_recent_runs_are_those_that_one_may_read(site: Site) -> None:
    # The database is that of the whole test run: other tests' DAGs may have left photos too.
    seen = {user: json.loads(site.get("/recent", user)[2])["runs"] for user in ("chief", "viewer")}
    assert {each["dag_id"] for each in seen["chief"]} >= {"nightly", "secret"}
    assert "secret" not in {each["dag_id"] for each in seen["viewer"]}
    (run,) = [each for each in seen["viewer"] if each["dag_id"] == "nightly"]
    assert (run["run_id"], run["photos"], run["landed"], run["credits"], run["failed"]) == (RUN, 2, 2, 3, 0)


@pytest.mark.usefixtures("photos")
def test_a_page_loads_its_module_from_below_the_base_path(site: Site) -> None:
    status, headers, body = site.get(path_of("task", "nightly", RUN, "enhance", -1))
    assert status == 200
    assert "script-src 'self'" in headers["content-security-policy"]
    assert f'src="{BASE}/autoenhance/gallery/gallery.js"' in body.decode()
    assert f'data-run-id="{RUN}"' in body.decode()
    assert site.get("/gallery.js")[1]["content-type"].startswith("text/javascript")


@pytest.mark.usefixtures("photos")
def test_a_person_who_is_not_logged_in_gets_the_way(site: Site) -> None:
    status, headers, body = site.get(path_of("run", "nightly", RUN), None, Accept="text/html")
    assert status == 401
    assert headers["content-type"].startswith("text/html")
    assert f"{BASE}/api/v2/auth/login?next=" in body.decode()


def test_airflow_knows_its_places(site: Site) -> None:
    headers = {"Authorization": f"Bearer {site.token('chief')}"}
    plugins = json.loads(site.send("GET", "/api/v2/plugins", None, headers)[2])["plugins"]
    (mine,) = [each for each in plugins if each["name"] == "autoenhance_webhook"]
    assert {each["destination"]: each["bundle_url"] for each in mine["react_apps"]} == {
        "dag_run": f"{BASE}/autoenhance/gallery/tab.js",
        "task_instance": f"{BASE}/autoenhance/gallery/tab.js",
    }
    (view,) = mine["external_views"]
    assert (view["href"], view["destination"]) == ("autoenhance/gallery/", "nav")


def test_who_only_loads_the_plugin_loads_no_web_server() -> None:
    code = (
        "import sys\n"
        "from airflow.providers.common.compat.sdk import AirflowPlugin\n"
        "before = set(sys.modules)\n"
        "from airflow_provider_autoenhance.plugins.webhook import AutoenhanceWebhookPlugin\n"
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('airflow_provider_autoenhance')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120, env=dict(os.environ)
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_storage_by_name_leads_where_the_connection_says(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_autoenhance.plugins.gallery.tasks import _folder

    extra = {"storages": {"shop": "s3://aws@orders/in/"}}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "autoenhance", "password": "k", "extra": extra}))
    about = {"destination": "storage://shop/elm/", "autoenhance_conn_id": "shop"}
    found = _folder(about)
    assert found is not None
    assert (found.uri, found.conn_id) == ("s3://orders/in/elm/", "aws")
    of_a_file = _folder({**about, "destination": "storage://shop/elm/kitchen.jpg"})
    assert of_a_file is not None
    assert of_a_file.uri == found.uri
    assert _folder({**about, "destination": "storage://another/elm/"}) is None
    assert _folder({**about, "autoenhance_conn_id": "not_there_any_more"}) is None
