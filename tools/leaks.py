"""A search for secrets in what a run has left: files, databases and objects, however they are spelled, packed or encrypted."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote_to_bytes

from cryptography.fernet import Fernet, InvalidToken

from tools.local_service import LocalService

#: What a presigned address cannot do without, in S3's two ways of signing; ``***`` stands where somebody has redacted it.
SIGNED = re.compile(
    rb"(?i)(?:[?&;](?:signature|x-amz-signature|x-amz-security-token)|awsaccesskeyid|x-amz-credential)=(?!\*)[^\s&'\"<>\\]"
)
A_SIGNED_ADDRESS = "a presigned address"
#: There are thousands of signatures, too many for one pattern to look for: what looks like one is looked up, wherever it begins.
_SIGNATURE = re.compile(rb"[A-Za-z0-9+/]{27}=")
_LIKE_A_SIGNATURE = re.compile(rb"(?=([A-Za-z0-9+/]{27}))")
_TOKEN = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_PACKED = 4  # a packed text in an encrypted one in a text, and one more
_PACKED_BEGINNINGS = (b"\x1f", b"\x78")
_MOST_BYTES = 1 << 28
_DATABASES = (".db", ".sqlite")


class LeakSearch:
    """A search for some secrets, and for every presigned address.

    :param secrets: what each is called, and its values.
    :param fernet_keys: keys of Airflows whose encrypted values are looked into.
    """

    def __init__(self, secrets: Mapping[str, Iterable[str]], fernet_keys: Iterable[str] = ()) -> None:
        self._names = {_plain(value.encode()): name for name, values in secrets.items() for value in values}
        others = [value for value in self._names if not _SIGNATURE.fullmatch(value)]
        self._names |= {value.rstrip(b"="): name for value, name in self._names.items()}
        self._pattern = re.compile(b"|".join(map(re.escape, others)) or b"(?!)")
        self._fernets = [Fernet(key) for key in fernet_keys]

    def look(self, content: bytes) -> set[str]:
        """Return the names of what is found in a text or a packed one."""
        found: set[str] = set()
        for view in self._views(content, _PACKED, set()):
            plain = _plain(view)
            found |= {self._names[value] for value in self._pattern.findall(plain)}
            found |= {self._names[each[1]] for each in _LIKE_A_SIGNATURE.finditer(plain) if each[1] in self._names}
            if SIGNED.search(plain):
                found.add(A_SIGNED_ADDRESS)
        return found

    def files(self, folder: Path) -> list[str]:
        """Return what is wrong with the files below a folder; SQLite databases are read value by value, too."""
        problems = []
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            problems += _lines(str(file), self.look(file.read_bytes()))
            if file.suffix in _DATABASES:
                with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
                    problems += self.database(database, str(file))
        return problems

    def database(self, database: sqlite3.Connection, name: str) -> list[str]:
        """Return what is wrong with the values in a database, by table and column."""
        problems: dict[str, None] = {}
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = database.execute(f'SELECT * FROM "{table}"')
            columns = [column for column, *_ in rows.description]
            for row in rows:
                for column, value in zip(columns, row, strict=True):
                    if isinstance(value, str | bytes):
                        content = value.encode() if isinstance(value, str) else value
                        problems |= dict.fromkeys(_lines(f"{name}: {table}.{column}", self.look(content)))
        return list(problems)

    def _views(self, content: bytes, depth: int, seen: set[bytes]) -> Iterator[bytes]:
        yield content
        if depth == 0:
            return
        for inner in _unpacked(content):
            yield from self._views(inner, depth - 1, seen)
        for token in set(_TOKEN.findall(content)) - seen:
            seen.add(token)
            for inner in self._decoded(token):
                yield from self._views(inner, depth - 1, seen)

    def _decoded(self, token: bytes) -> Iterator[bytes]:
        bare = token.rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_")
        try:
            decoded = base64.urlsafe_b64decode(bare + b"=" * (-len(bare) % 4))
        except (binascii.Error, ValueError):
            return
        if decoded[:1] in _PACKED_BEGINNINGS or _is_text(decoded):  # most long words are not base64
            yield decoded
        if decoded[:1] == b"\x80":
            for fernet in self._fernets:
                with suppress(InvalidToken):
                    yield fernet.decrypt(bare + b"=" * (-len(bare) % 4))


def search_for(service: LocalService, more: Mapping[str, Iterable[str]], fernet_keys: Iterable[str] = ()) -> LeakSearch:
    """Return a search for what the sandbox's clients keep to themselves.

    :param more: further secrets, as :class:`LeakSearch` takes them.
    """
    secrets = {
        "the API key": [service.api_key],
        "the secret key of S3": [service.s3_secret],
        "the signature of an upload or a download": service.signatures(),
    }
    return LeakSearch({**secrets, **more}, fernet_keys)


def _is_text(content: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        return bool(content.decode())
    return False


def _lines(where: str, found: set[str]) -> list[str]:
    return [f"{where} contains {name}" for name in sorted(found)]


def _plain(text: bytes) -> bytes:
    """Undo what JSON, HTML and URLs do to a text, twice: an address may stand in an address, and JSON in JSON."""
    for _ in range(2):
        if b"\\" in text:
            text = re.sub(rb"\\+u00([0-7][0-9a-fA-F])", lambda found: bytes([int(found[1], 16)]), text)
            text = re.sub(rb"\\+([/\"'])", rb"\1", text)
        text = text.replace(b"&amp;", b"&")
        if b"%" in text:
            text = unquote_to_bytes(text)
    return text


def _unpacked(content: bytes) -> Iterator[bytes]:
    try:
        if content[:2] == b"\x1f\x8b":
            yield gzip.decompress(content)
        elif content[:1] == b"\x78" and len(content) > 2 and int.from_bytes(content[:2]) % 31 == 0:
            yield zlib.decompressobj().decompress(content, _MOST_BYTES)
    except (OSError, EOFError, zlib.error):
        return


def planted(secret: str, fernet_key: str) -> dict[str, bytes]:
    """Return texts that hold a secret, in each of the ways in which a run may keep one."""
    address = f"https://bucket.example/day/1.jpg?AWSAccessKeyId=ASIA&Signature={secret}&Expires=1790000000"
    line = json.dumps({"event": "Failed", "reason": f"cannot read {address}"})
    return {
        "in a text": f"[2026-03-01] INFO - {secret}\n".encode(),
        "in JSON": line.encode(),
        "in JSON in JSON": json.dumps({"value": line}).replace("/", "\\/").replace("&", "\\u0026").encode(),
        "in an address's query": f"GET /next?to={_percent(address)} HTTP/1.1".encode(),
        "in base64": b"x " + base64.b64encode(line.encode()),
        "in URL-safe base64": b'"' + base64.urlsafe_b64encode(line.encode()).rstrip(b"=") + b'"',
        "packed by zlib": zlib.compress(line.encode()),
        "packed by gzip": gzip.compress(line.encode()),
        "encrypted by Airflow": Fernet(fernet_key).encrypt(line.encode()),
        "packed in base64": base64.b64encode(zlib.compress(line.encode())),
        "packed and encrypted": Fernet(fernet_key).encrypt(base64.b64encode(zlib.compress(line.encode()))),
    }


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
