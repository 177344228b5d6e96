from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.errors import AutoenhanceError, DestinationError, SettingsError, SourceError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.storage import list_files, open_destination, open_source
from airflow_provider_autoenhance.storage.location import locate, locate_folder, path_inside, unwritable


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@host:8443/a/b.jpg?X-Amz-Signature=abc#frag", "https://host:8443/a/b.jpg"),
        ("HTTPS://host?token=abc", "HTTPS://host"),
        ("https://host#token=abc", "https://host"),
        ("https://us/er:p?w@host/", "https://us/er:p"),
        ("s3://conn@bucket/house #4?.jpg", "s3://bucket/house #4?.jpg"),
        ("abfs://conn@container/a.jpg?sv=2024&sig=abc", "abfs://container/a.jpg"),
        ("/data/house #4?x=1.jpg", "/data/house #4?x=1.jpg"),
        ("https:/host/a.jpg?X-Amz-Signature=abc", "https:/host/a.jpg"),
        ("host/a.jpg?token=abc", "host/a.jpg"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@given(
    st.sampled_from(["http", "https", "HTTP"]),
    st.text(st.characters(blacklist_characters="/?#"), max_size=20),
    st.text(st.characters(blacklist_characters="?#"), max_size=30),
    st.sampled_from(["?", "#", "?a=1&", "#x?"]),
)
def test_no_query_is_ever_shown(scheme: str, host: str, path: str, mark: str) -> None:
    assert "X-Amz-Signature" not in redact_url(f"{scheme}://{host}/{path}{mark}X-Amz-Signature=secret")
    assert "secret" not in redact_url(f"{scheme}://user:secret@{host}/{path}")


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://conn@bucket/a/b.jpg", ("s3", "bucket", "a/b.jpg", "conn", "s3://bucket/a/b.jpg")),
        ("s3a://bucket/b", ("s3", "bucket", "b", None, "s3://bucket/b")),
        ("S3://bucket", ("s3", "bucket", "", None, "s3://bucket/")),
        ("gs://conn@bucket/x", ("gs", "bucket", "x", "conn", "gs://bucket/x")),
        ("sftp://conn@/data/a.jpg", ("sftp", "", "data/a.jpg", "conn", "sftp:///data/a.jpg")),
        ("file:///data/a.jpg", ("file", "", "/data/a.jpg", None, "/data/a.jpg")),
        ("s3://conn@bucket/a//", ("s3", "bucket", "a/", "conn", "s3://bucket/a/")),
        ("s3://bucket//", ("s3", "bucket", "", None, "s3://bucket/")),
        ("s3://bucket/a//b/../c.jpg", ("s3", "bucket", "a//b/../c.jpg", None, "s3://bucket/a//b/../c.jpg")),
        ("HTTPS://host/a//b.jpg?x=1", ("https", "host", "a//b.jpg", None, "https://host/a//b.jpg")),
        ("/data/folder/", ("file", "", "/data/folder/", None, "/data/folder/")),
        ("//data//./folder/x/..", ("file", "", "/data/folder/", None, "/data/folder/")),
        ("FILE://localhost//data/a.jpg", ("file", "", "/data/a.jpg", None, "/data/a.jpg")),
        ("/../..//", ("file", "", "/", None, "/")),
        ("/", ("file", "", "/", None, "/")),
    ],
)
def test_parts(uri: str, parts: tuple[str, ...]) -> None:
    found = locate(uri, conn_id=None, error=SourceError)
    assert (found.scheme, found.bucket, found.key, found.conn_id, found.uri) == parts


def test_a_way_up_behind_a_link_is_the_system_s(tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    for way, there in (("link/../x.jpg", "far/x.jpg"), ("link/a/../x.jpg", "link/x.jpg"), ("no/../x.jpg", "x.jpg")):
        assert locate(f"{tmp_path}/{way}", conn_id=None, error=SourceError).uri == f"{tmp_path}/{there}"


@pytest.mark.parametrize(
    ("folder", "uri"),
    [
        ("s3://conn@bucket/a", "s3://conn@bucket/a/"),
        ("S3A://bucket//", "s3://bucket/"),
        ("gs://bucket/a//", "gs://bucket/a/"),
        ("/data//a/./b/..", "/data/a/"),
        ("file:///", "/"),
        ("https://host/a", "https://host/a/"),
        ("s3://bucket/a/.b/..c/", "s3://bucket/a/.b/..c/"),
    ],
)
def test_a_folder_is_spelled_plainly(folder: str, uri: str) -> None:
    assert locate_folder(folder).full_uri == uri


@pytest.mark.parametrize("folder", ["s3://c@bucket//a", "s3://bucket/a/./", "gs://bucket/b/../a/"])
def test_a_folder_that_is_another_than_it_seems_is_refused(folder: str) -> None:
    with pytest.raises(SettingsError, match=rf"Write {folder[:2]}://bucket/a/\.$") as refused:
        locate_folder(folder)
    assert "c@" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "fits"),
    [
        ("/out/" + "x" * 255, True),
        ("/out/" + "x" * 256, False),
        ("/out/" + "é" * 128 + "/a.jpg", False),
        ("/out/caf\udce9.jpg", True),
        ("s3://bucket/caf\udce9.jpg", False),
        ("s3://bucket/" + "x" * 1024, True),
        ("s3://bucket/" + "é" * 513, False),
        ("gs://bucket/" + "x" * 1025, False),
        ("sftp://host/" + "x" * 256, False),
        ("sftp://host/" + "/".join(["x" * 200] * 10), True),
        ("/" + "/".join(["é" * 100] * 21), False),
    ],
)
def test_names_that_fit(uri: str, fits: bool) -> None:
    assert (unwritable(locate(uri, conn_id=None, error=SourceError)) is None) == fits


def test_an_explicit_connection_wins() -> None:
    assert locate("s3://inside@bucket/a", conn_id="beside", error=SourceError).conn_id == "inside"
    assert locate("s3://bucket/a", conn_id="beside", error=SourceError).conn_id == "beside"


@pytest.mark.parametrize(
    ("uri", "folder", "path"),
    [
        ("s3://photos/in/maple/1.jpg", "s3://photos/in", "maple/1.jpg"),
        ("s3a://conn@photos/in/maple/", "s3://photos/in/", "maple/"),
        ("s3://photos/in/", "s3://photos/in", ""),
        ("s3://photos/in", "s3://photos/in/", ""),
        ("s3://photos/inside/1.jpg", "s3://photos/in", None),
        ("s3://photos/", "s3://photos/in", None),
        ("gs://photos/in/1.jpg", "s3://photos/in", None),
        ("gcs://photos/in/1.jpg", "gs://photos/in", "1.jpg"),
        ("//data//in/./1.jpg", "/data/in", "1.jpg"),
        ("https://user:pw@HOST/in/1.jpg?sig=x", "https://host/in/", "1.jpg"),
        ("/data/out/../in/1.jpg", "file:///data/in", "1.jpg"),
        ("/data/in/../1.jpg", "/data/in", None),
        ("/data/in/1.jpg", "/", "data/in/1.jpg"),
    ],
)
def test_where_a_place_lies_in_a_folder(uri: str, folder: str, path: str | None) -> None:
    assert path_inside(uri, folder) == path


def test_a_link_leads_to_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "in" / "enhanced").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "in" / "enhanced")
    assert path_inside(f"{tmp_path}/out/", f"{tmp_path}/in") == "enhanced/"
    assert path_inside(f"{tmp_path}/out/1.jpg", f"{tmp_path}/in") == "enhanced/1.jpg"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("s3://", "names no bucket"),
        ("s3:///a.jpg", "names no bucket"),
        ("s3://conn@/a.jpg", "names no bucket"),
        ("file://server/share/a.jpg", "names a host"),
        ("file://", "names a host"),
        ("/a\0b", "control character"),
        ("s3://bucket/a\nb", "control character"),
        ("https:/host/a.jpg", "lacks a slash"),
        ("s3:/bucket/a.jpg", "lacks a slash"),
        ("s3://bucket/" + "a" * 4096, "4108 characters"),
    ],
)
@pytest.mark.parametrize("kind", [SourceError, DestinationError])
def test_what_means_nothing(uri: str, says: str, kind: type[AutoenhanceError]) -> None:
    act = open_source if kind is SourceError else open_destination
    with pytest.raises(kind, match=says):
        act(uri)


def test_the_longest_uri_passes() -> None:
    with pytest.raises(SourceError, match=r"cannot be used|does not exist"):
        open_source("/" + "a/" * 2047 + "b")


def test_the_web_is_no_destination_and_no_folder() -> None:
    for act in (lambda: open_destination("https://host/a?sig=abc"), lambda: list(list_files("https://host/a?sig=abc"))):
        with pytest.raises(AutoenhanceError) as caught:
            act()
        assert "abc" not in str(caught.value)


def test_importing_loads_no_library() -> None:
    code = (
        "import sys, airflow_provider_autoenhance.storage, airflow_provider_autoenhance.imaging.integrity; "
        "print([m for m in ('requests', 'urllib3', 'boto3', 'fsspec', 'PIL', 'airflow') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://ASIA:c2VjcmV0@listings/a.jpg",
        "s3a://ASIA:c2Vj/cmV0@listings/a.jpg",
        "gs://key:c2VjcmV0@bucket/a.jpg",
        "sftp://u:c2VjcmV0@h/a",
    ],
)
def test_a_key_before_the_bucket_is_refused_unseen(uri: str) -> None:
    with pytest.raises(SourceError, match="Airflow connection") as refused:
        locate(uri, conn_id=None, error=SourceError)
    assert "c2Vj" not in str(refused.value)


def test_what_has_a_colon_for_another_reason_is_taken() -> None:
    assert locate("hdfs://conn@host:9000/a.jpg", conn_id=None, error=SourceError).conn_id == "conn"
    assert locate("https://user:pw@host:8443/a.jpg", conn_id=None, error=SourceError).uri == "https://host:8443/a.jpg"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("s3a:/bucket/x/", "Write s3a://bucket/x/"),
        ("gcs:/bucket/x", "Write gcs://bucket/x"),
        ("sftp:/host/x", "Write sftp://host/x"),
        ("S3:bucket/x", "Write S3://bucket/x"),
        ("s3:KEY:SECRET@bucket/x", "Write s3://bucket/x"),
        ("file:data/x", "Write file:///data/x"),
        ("foo+bar:/x", r"Write foo\+bar://x"),
        ("arn:aws:s3:::bucket/x/", "Write s3://bucket/x/"),
        ("abfss://photos@acct.dfs.core.windows.net/x/", "abfs://name_of_the_connection@photos/x/"),
        ("wasbs://photos@acct.blob.core.windows.net/x/", "wasbs://name_of_the_connection@photos/x/"),
        ("~", "only a shell"),
        ("~/out/", "only a shell"),
        ("~airflow/out/", "only a shell"),
        ("$HOME/out/", "only a shell"),
        ("${HOME}/out/", "only a shell"),
        ("$(pwd)/out/", "only a shell"),
        ("%USERPROFILE%\\out", "only a shell"),
        ("C:\\out\\", "path of Windows"),
        ("d:/out/", "path of Windows"),
        ("\\\\server\\share\\", "path of Windows"),
    ],
)
def test_what_is_not_a_path_is_not_taken_for_one(given: str, told: str) -> None:
    for read in (
        lambda: locate(given, conn_id=None, error=SettingsError),
        lambda: locate_folder(given),
        lambda: list_files(given),
        lambda: open_destination(given),
    ):
        with pytest.raises(AutoenhanceError, match=told) as refused:
            read()
        assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["kw:48/", "12:30/", "./~out/", "a~b/", "./s3:/x/", "cost$/", "100%/", "/data/~/", "/x/C:/y/"]
)
def test_odd_names_of_local_folders_are_taken(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    there = name if name.startswith("/") else f"{tmp_path}/{name.removeprefix('./')}"
    assert locate(name, conn_id=None, error=SettingsError).uri == there


@pytest.mark.parametrize(
    "given",
    [
        "s3://conn@bucket/a.jpg?token=SECRET",
        "s3://bucket/in?key=SECRET/",
        "gs://bucket/a?x=1&sig=SECRET",
        "abfs://container/a.jpg?sv=2024&sig=SECRET",
        "/data/in?key=SECRET/",
        "file:///data/a.jpg?X-Amz-Signature=SECRET",
        "data/a.jpg?password=SECRET.jpg",
    ],
)
def test_a_name_that_cannot_be_shown_whole_is_refused(given: str) -> None:
    for read in (
        lambda: locate(given, conn_id=None, error=SettingsError),
        lambda: locate_folder(given),
        lambda: open_source(given),
        lambda: list_files(given),
        lambda: open_destination(given),
        lambda: path_inside(given, "/data/"),
    ):
        with pytest.raises(AutoenhanceError, match="looks like a credential") as refused:
            read()
        assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("name", ["is it?.jpg", "house #4?.jpg", "a?x=1.jpg", "key=1.jpg", "a@b.jpg", "a?monkey=1.jpg"])
def test_other_odd_names_are_whole(name: str) -> None:
    for folder in ("s3://bucket/", "gs://bucket/", "/data/"):
        assert locate(folder + name, conn_id=None, error=SettingsError).uri == folder + name


@pytest.mark.parametrize(
    ("alias", "scheme"),
    [("gcs", "gs"), ("abfss", "abfs"), ("az", "abfs"), ("adl", "abfs"), ("s3a", "s3"), ("s3n", "s3"), ("GCS", "gs")],
)
def test_each_scheme_of_a_store_gives_one_uri(alias: str, scheme: str) -> None:
    """Fingerprints, records and outputs are known by it: in two spellings a photo would be bought twice."""
    found, plain = (
        locate(f"{each}://conn@photos/in/1.jpg", conn_id=None, error=SettingsError) for each in (alias, scheme)
    )
    assert (found.uri, found.place, found.full_uri) == (plain.uri, plain.place, plain.full_uri)
