"""The S3's quick listings say what moto's own do."""

from __future__ import annotations

import subprocess
import sys

_COMPARE = """
import json, sys
import xml.etree.ElementTree as ET
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import Client
from airflow_provider_autoenhance.sandbox.store.s3_listing import QuickListing

AUTHORIZATION = {"Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"}
reached = []

def own(environ, start_response, app=DomainDispatcherApplication(create_backend_app)):
    reached.append(environ["QUERY_STRING"])
    return app(environ, start_response)

moto, quick = Client(own), Client(QuickListing(own))

def told(client, query):
    answer = client.get("/bucket", query_string=query, headers=AUTHORIZATION)
    tree = ET.fromstring(answer.data)
    found = [(each.tag.partition("}")[2], each.text or "", [(part.tag.partition("}")[2], part.text) for part in each]) for each in tree]
    return answer.status_code, sorted(found)

assert moto.put("/bucket", headers=AUTHORIZATION).status_code == 200
for number, name in enumerate(["a b", "a&b<c", "ü/%41", "in/x+y", "in/z", "in/deep/1", "plain"]):
    assert moto.put(f"/bucket/{__import__('urllib.parse').parse.quote(name)}", data=b"x" * number, headers=AUTHORIZATION).status_code == 200
reached.clear()
for prefix in ("", "in/", "nothing/", "ü"):
    for encoding in ({}, {"encoding-type": "url"}):
        query = {"list-type": "2", "prefix": prefix, **encoding}
        assert told(quick, query) == told(moto, query), query
assert len(reached) == 8, "the quick ones never reached moto"
names, token = [], None
while True:
    query = {"list-type": "2", "max-keys": "3", **({"continuation-token": token} if token else {})}
    one, other = told(quick, query), told(moto, query)
    assert one == other
    names += [part[1] for tag, _, parts in one[1] if tag == "Contents" for part in parts if part[0] == "Key"]
    token = next((text for tag, text, _ in one[1] if tag == "NextContinuationToken"), None)
    if token is None:
        break
assert len(names) == len(set(names)) == 7
reached.clear()
for query in ({"list-type": "2", "delimiter": "/"}, {"list-type": "2", "start-after": "a"}, {"location": ""}):
    assert quick.get("/bucket", query_string=query, headers=AUTHORIZATION).status_code == 200
assert quick.get("/nobody", query_string={"list-type": "2"}, headers=AUTHORIZATION).status_code == 404
assert len(reached) == 4, "what is not plain is moto's"
"""


def test_quick_listings_are_motos() -> None:
    """In a process of its own: moto keeps its buckets in globals."""
    done = subprocess.run([sys.executable, "-c", _COMPARE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
