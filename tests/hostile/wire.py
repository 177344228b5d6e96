"""What a hostile server puts on the wire: raw bytes in pieces, with pauses, and how the connection ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: Stands for a number that grows with each reply; as long as what takes its place.
COUNT = b"{count}"

Ending = Literal["keep", "close", "reset", "hang"]
Role = Literal["api", "upload", "assets"]
ROLES: tuple[Role, ...] = ("api", "upload", "assets")


@dataclass(frozen=True)
class Piece:
    """A stretch of bytes.

    :param times: how often it is sent; -1 for without end.
    :param step: bytes sent at once; 0 for all.
    :param pause: seconds before each send.
    """

    data: bytes
    times: int = 1
    step: int = 0
    pause: float = 0.0


@dataclass(frozen=True)
class Reply:
    """What one request gets.

    :param ending: ``keep`` waits for the next request, ``close`` sends FIN, ``reset`` sends RST, ``hang`` sends nothing more.
    :param reads: whether the request's body is read first; otherwise it is never read.
    """

    pieces: tuple[Piece, ...]
    ending: Ending = "close"
    reads: bool = True

    @property
    def size(self) -> float:
        """Bytes in all."""
        return sum(float("inf") if each.times < 0 else len(each.data) * each.times for each in self.pieces)

    def as_json(self) -> dict[str, Any]:
        """Return it as it travels to the server's process."""
        pieces = [asdict(each) | {"data": each.data.decode("latin-1")} for each in self.pieces]
        return {"pieces": pieces, "ending": self.ending, "reads": self.reads}

    @classmethod
    def of_json(cls, given: dict[str, Any]) -> Reply:
        """Read what :meth:`as_json` wrote."""
        pieces = tuple(Piece(**each | {"data": each["data"].encode("latin-1")}) for each in given["pieces"])
        return cls(pieces, given["ending"], given["reads"])


@dataclass(frozen=True)
class Seen:
    """A request that arrived.

    :param head: request line and headers, byte for byte as latin-1.
    """

    role: Role
    head: str

    @property
    def target(self) -> str:
        """The request line's second word."""
        return self.head.partition(" ")[2].partition(" ")[0]

    def header(self, name: str) -> str | None:
        """The value of a header."""
        for line in self.head.split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.strip().lower() == name:
                return value.strip()
        return None


@dataclass(frozen=True)
class Places:
    """Where an answer's origins are, and what in it is a secret.

    :param api: ``host:port`` of each.
    :param secret: stands in each presigned address as its signature.
    """

    api: str
    upload: str
    assets: str
    key: str = "key"
    secret: str = "secret"

    @property
    def signed_upload(self) -> str:
        """A polite upload URL."""
        return f"http://{self.upload}/bucket/photo.jpg?X-Amz-Expires=900&X-Amz-Signature={self.secret}"

    @property
    def signed_asset(self) -> str:
        """A polite address of an image's bytes."""
        return f"http://{self.assets}/photo.jpg?Expires=900&Signature={self.secret}"


@dataclass
class Replies:
    """The replies of each origin in order; then its last again, or all of them in a circle."""

    api: list[Reply] = field(default_factory=list)
    upload: list[Reply] = field(default_factory=list)
    assets: list[Reply] = field(default_factory=list)
    circle: bool = False

    @property
    def largest(self) -> float:
        """Bytes of the biggest."""
        return max(reply.size for role in ROLES for reply in self.of(role))

    def as_json(self) -> dict[str, Any]:
        """Return them as they travel to the server's process."""
        return {role: [reply.as_json() for reply in self.of(role)] for role in ROLES} | {"circle": self.circle}

    @classmethod
    def of_json(cls, given: dict[str, Any]) -> Replies:
        """Read what :meth:`as_json` wrote."""
        return cls(*([Reply.of_json(each) for each in given[role]] for role in ROLES), given["circle"])

    def of(self, role: Role) -> list[Reply]:
        """The replies of one origin."""
        return {"api": self.api, "upload": self.upload, "assets": self.assets}[role]

    def turn(self, role: Role, number: int) -> Reply | None:
        """What a role's request gets, by how many came before."""
        mine = self.of(role)
        if not mine:
            return None
        return mine[number % len(mine) if self.circle else min(number, len(mine) - 1)]
