"""Routes keys to the nodes of a ClusterKit cluster. One file, the standard library, Python 3.9 or later.

    from clusterkit import Router

    with Router(["127.0.0.1:8080", "127.0.0.1:8081"]) as router:
        print(router.route("user:1001").primary)
        answer = router.request("PUT", "/kv/user:1001", key="user:1001", body=b"value")
        print(answer.status)

A ``Router`` keeps the cluster's table near: look-ups are answered here, without a request. It is told of each change by
the node it follows (``GET /v1/watch``), goes on to another one when that fails, and never goes back to an older table.
When no node answers any more it works by the last table, and says how old that is (``Router.status``).

``Router.request`` sends a request to the primary of its key and follows the role where it moves. It repeats a change
only after an answer which promises that nothing was done; an error says whether the outcome is unknown.

What it does *not* do: hold a right to act (only the owner can tell), keep a table beyond the process, speak HTTP/2.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import selectors
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set, Tuple, Union
from urllib.parse import urlsplit

__all__ = [
    "ClusterKitError", "Malformed", "Node", "NoPrimary", "NoTable", "OutcomeUnknown", "Refused", "Response", "Route",
    "Router", "Status", "Unreachable", "md5_mod", "partition_of", "xxh3_64",
]

Key = Union[str, bytes]
"""A key: bytes, or text that is taken as UTF-8."""

# ---------------------------------------------------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------------------------------------------------


class ClusterKitError(Exception):
    """Why there is no answer."""

    outcome_unknown = False
    """Whether a change may have taken effect all the same. Where not, it certainly has not."""


class NoTable(ClusterKitError):
    """No table is known, and no server gives one. Nothing was sent."""


class NoPrimary(ClusterKitError):
    """By the newest table, no node acts on the partition. Nothing was sent."""


class Unreachable(ClusterKitError):
    """The primary could not be connected to until the time or the attempts ran out. Nothing was sent."""


class Refused(ClusterKitError):
    """Every attempt was answered that nothing was done, until the time or the attempts ran out."""

    def __init__(self, message: str, problem: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.problem = problem
        """The last answer: an RFC 9457 problem, with ``code``, ``detail`` and often ``newest``."""


class OutcomeUnknown(ClusterKitError):
    """Sent, and no whole answer. A change may have taken effect: look before repeating it."""

    outcome_unknown = True


class Malformed(ClusterKitError):
    """An answer that is none of a ClusterKit node, or of another cluster's."""


# ---------------------------------------------------------------------------------------------------------------------
# Key to partition
# ---------------------------------------------------------------------------------------------------------------------

_M64 = (1 << 64) - 1
_P32_1, _P32_2, _P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
_P64_1, _P64_2, _P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P64_4, _P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_MIX_1, _MIX_2 = 0x165667919E3779F9, 0x9FB21C651E98DF25

# XXH3's default secret, as its specification gives it.
_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def _r64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at:at + 8], "little")


def _r32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at:at + 4], "little")


def _fold(a: int, b: int) -> int:
    wide = a * b
    return (wide ^ (wide >> 64)) & _M64


def _avalanche(h: int) -> int:
    h = ((h ^ (h >> 37)) * _MIX_1) & _M64
    return h ^ (h >> 32)


def _avalanche_short(h: int) -> int:
    h = ((h ^ (h >> 33)) * _P64_2) & _M64
    h = ((h ^ (h >> 29)) * _P64_3) & _M64
    return h ^ (h >> 32)


def _mix16(data: bytes, at: int, secret_at: int, seed: int) -> int:
    low = _r64(data, at) ^ ((_r64(_SECRET, secret_at) + seed) & _M64)
    high = _r64(data, at + 8) ^ ((_r64(_SECRET, secret_at + 8) - seed) & _M64)
    return _fold(low, high)


def xxh3_64(data: bytes, seed: int = 0) -> int:
    """XXH3, 64 bits, of ``data``: what a cluster with the key hash ``xxh3`` maps keys by, with seed 0."""
    seed &= _M64
    length = len(data)
    if length <= 16:
        return _xxh3_short(data, length, seed)
    if length > 240:
        return _xxh3_long(data, length, seed)
    acc = length * _P64_1
    if length <= 128:
        for step in range((length - 1) // 32, -1, -1):
            acc += _mix16(data, 16 * step, 32 * step, seed)
            acc += _mix16(data, length - 16 * (step + 1), 32 * step + 16, seed)
        return _avalanche(acc & _M64)
    for step in range(8):
        acc += _mix16(data, 16 * step, 16 * step, seed)
    acc = _avalanche(acc & _M64)
    for step in range(8, length // 16):
        acc += _mix16(data, 16 * step, 16 * (step - 8) + 3, seed)
    acc += _mix16(data, length - 16, 136 - 17, seed)
    return _avalanche(acc & _M64)


def _xxh3_short(data: bytes, length: int, seed: int) -> int:
    if length > 8:
        low = _r64(data, 0) ^ (((_r64(_SECRET, 24) ^ _r64(_SECRET, 32)) + seed) & _M64)
        high = _r64(data, length - 8) ^ (((_r64(_SECRET, 40) ^ _r64(_SECRET, 48)) - seed) & _M64)
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return _avalanche((length + swapped + high + _fold(low, high)) & _M64)
    if length >= 4:
        seed ^= int.from_bytes((seed & 0xFFFFFFFF).to_bytes(4, "little"), "big") << 32
        flip = ((_r64(_SECRET, 8) ^ _r64(_SECRET, 16)) - seed) & _M64
        h = (_r32(data, length - 4) + (_r32(data, 0) << 32)) ^ flip
        h ^= (((h << 49) | (h >> 15)) ^ ((h << 24) | (h >> 40))) & _M64
        h = (h * _MIX_2) & _M64
        h ^= (h >> 35) + length
        h = (h * _MIX_2) & _M64
        return h ^ (h >> 28)
    if length:
        mixed = (data[0] << 16) | (data[length >> 1] << 24) | data[length - 1] | (length << 8)
        flip = ((_r32(_SECRET, 0) ^ _r32(_SECRET, 4)) + seed) & _M64
        return _avalanche_short(mixed ^ flip)
    return _avalanche_short(seed ^ _r64(_SECRET, 56) ^ _r64(_SECRET, 64))


def _xxh3_long(data: bytes, length: int, seed: int) -> int:
    secret = _SECRET
    if seed:
        secret = b"".join(
            ((_r64(_SECRET, at) + seed) & _M64).to_bytes(8, "little")
            + ((_r64(_SECRET, at + 8) - seed) & _M64).to_bytes(8, "little")
            for at in range(0, 192, 16)
        )
    acc = [_P32_3, _P64_1, _P64_2, _P64_3, _P64_4, _P32_2, _P64_5, _P32_1]
    blocks = (length - 1) // 1024
    for block in range(blocks + 1):
        stripes = 16 if block < blocks else (length - 1 - 1024 * blocks) // 64
        for stripe in range(stripes):
            _accumulate(acc, data, 1024 * block + 64 * stripe, secret, 8 * stripe)
        if block < blocks:
            for lane in range(8):
                mixed = acc[lane] ^ (acc[lane] >> 47) ^ _r64(secret, 128 + 8 * lane)
                acc[lane] = (mixed * _P32_1) & _M64
    _accumulate(acc, data, length - 64, secret, 121)
    total = length * _P64_1
    for lane in range(0, 8, 2):
        total += _fold(acc[lane] ^ _r64(secret, 11 + 8 * lane), acc[lane + 1] ^ _r64(secret, 19 + 8 * lane))
    return _avalanche(total & _M64)


def _accumulate(acc: List[int], data: bytes, at: int, secret: bytes, secret_at: int) -> None:
    for lane in range(8):
        value = _r64(data, at + 8 * lane)
        keyed = value ^ _r64(secret, secret_at + 8 * lane)
        acc[lane ^ 1] = (acc[lane ^ 1] + value) & _M64
        acc[lane] = (acc[lane] + (keyed & 0xFFFFFFFF) * (keyed >> 32)) & _M64


def md5_mod(data: bytes, partitions: int) -> int:
    """``u32_be(md5(data)[0..4]) mod partitions``: the key hash ``md5-mod``, as clusters of the Go library route."""
    try:
        digest = hashlib.md5(data, usedforsecurity=False).digest()
    except TypeError:  # a build of Python that does not take the flag
        digest = hashlib.md5(data).digest()
    return int.from_bytes(digest[:4], "big") % partitions


def partition_of(key: Key, partitions: int, hash: str = "xxh3", seed: int = 0) -> int:
    """The number of the partition of ``key`` among ``partitions``, by a cluster's key hash.

    Raises ``ValueError`` for a hash that is not known here or fewer than one partition.
    """
    if partitions < 1:
        raise ValueError(f"{partitions} partitions: a key needs at least one to fall into")
    data = _key_bytes(key)
    if hash == "xxh3":
        return (xxh3_64(data, seed) * partitions) >> 64
    if hash == "md5-mod":
        return md5_mod(data, partitions)
    raise ValueError(f"{hash!r} is not a key hash; this client knows 'xxh3' and 'md5-mod'")


def _key_bytes(key: Key) -> bytes:
    return key.encode() if isinstance(key, str) else bytes(key)


# ---------------------------------------------------------------------------------------------------------------------
# The table
# ---------------------------------------------------------------------------------------------------------------------

_PARTITIONS_MAX = 1 << 24


@dataclass(frozen=True)
class Node:
    """A node of the cluster."""

    id: str
    http: str
    """Its HTTP address, ``host:port``; empty when none is known."""
    services: Mapping[str, str] = field(default_factory=dict)
    """What it announces: name to address."""
    domain: Optional[str] = None
    """Its failure domain."""
    weight: int = 1
    status: str = "active"
    """``active``, ``cordoned``, ``draining``, ``closing``, ``stopped`` or ``down``."""


@dataclass(frozen=True)
class Route:
    """Where a partition is, as far as is known here. A hint: only its owner can tell."""

    partition: int
    incarnation: int
    version: int
    """Version of the table this was taken from."""
    epoch: int
    """Grants of the primary role so far."""
    state: str
    primary: Optional[Node]
    """The node that may write; ``None`` while nobody may."""
    replicas: Tuple[Node, ...]
    """The nodes with another copy, in order of preference."""

    @property
    def fence(self) -> str:
        """The grant, as the header ``CK-Fence`` has it."""
        return f"{self.incarnation}.{self.partition}.{self.epoch}"


@dataclass(frozen=True)
class Status:
    """What a router knows, and how sure it may be of it."""

    incarnation: int
    version: int
    partitions: int
    age: float
    """Seconds since a node last said that this is the table."""
    following: Optional[str]
    """The server whose changes arrive here; ``None`` while there is none."""
    error: Optional[str]
    """Why the last server was left or could not be followed; ``None`` once one is followed."""


# What reading JSON of another shape than expected ends in; a number may be infinite.
_NONSENSE = (AttributeError, KeyError, OverflowError, TypeError, ValueError)

# Epoch, state, member number of the primary, those of the replicas.
_Row = Tuple[int, str, Optional[int], Tuple[int, ...]]


class _Table:
    """A whole table, and the rows that answers have taught since. Never changed once it is published."""

    __slots__ = ("incarnation", "version", "hash", "seed", "rows", "members", "learned")

    def __init__(self, incarnation: int, version: int, hash: str, seed: int, rows: List[_Row],
                 members: Dict[int, Node], learned: Dict[int, Route]) -> None:
        if not rows:
            raise Malformed("the partitions have not been created yet")
        if len(rows) > _PARTITIONS_MAX:
            raise Malformed(f"{len(rows)} partitions are too many; at most {_PARTITIONS_MAX} are possible")
        try:
            partition_of(b"a", len(rows), hash, seed)
        except ValueError as error:
            raise Malformed(str(error)) from None
        self.incarnation, self.version, self.hash, self.seed = incarnation, version, hash, seed
        self.rows, self.members, self.learned = rows, members, learned

    @property
    def age(self) -> Tuple[int, int]:
        return (self.incarnation, self.version)

    def route(self, partition: int) -> Route:
        learned = self.learned.get(partition)
        if learned is not None:
            return learned
        epoch, state, primary, replicas = self.rows[partition]
        members = self.members
        return Route(partition, self.incarnation, self.version, epoch, state,
                     None if primary is None else members[primary], tuple(members[one] for one in replicas))

    def partition(self, key: bytes) -> int:
        return partition_of(key, len(self.rows), self.hash, self.seed)

    def keeping(self, before: Optional[_Table]) -> _Table:
        """This table, with what was learned on top of the one before that is newer still."""
        if before is not None:
            for partition, route in before.learned.items():
                if partition < len(self.rows) and (route.incarnation, route.version) > self.age \
                        and _newer(route, self.route(partition)):
                    self.learned[partition] = route
        return self

    def with_learned(self, newest: Mapping[str, Any]) -> Optional[_Table]:
        """This table with what an answer has taught; ``None`` when that is no news, or of another incarnation or a node that
        is not known: those a whole table tells of."""
        partition = _number(str(newest.get("partition", "")).rpartition("-")[2])
        incarnation, version, epoch = (newest.get(name) for name in ("incarnation", "version", "epoch"))
        node = newest.get("primary_node")
        if partition is None or partition >= len(self.rows) or not isinstance(node, str) \
                or not all(isinstance(one, int) for one in (incarnation, version, epoch)):
            return None
        if incarnation != self.incarnation or (node and all(one.id != node for one in self.members.values())):
            return None
        before = self.route(partition)
        primary = Node(node, str(newest.get("primary_address") or "")) if node else None
        learned = Route(partition, incarnation, version, epoch, before.state, primary, before.replicas)
        if not _newer(learned, before):
            return None
        rows = dict(self.learned)
        rows[partition] = learned
        return _Table(self.incarnation, self.version, self.hash, self.seed, self.rows, self.members, rows)

    @classmethod
    def whole(cls, data: Any) -> _Table:
        """Reads the answer of ``GET /v1/table``."""
        try:
            members = dict(_member(one) for one in data["members"])
            rows = [_row(one, members) for one in data["rows"]]
            hashing = data["hash_config"]
            return cls(int(data["incarnation"]), int(data["version"]), hashing["hash"], int(hashing.get("seed", 0)),
                       rows, members, {})
        except _NONSENSE as error:
            raise Malformed(f"not a table: {type(error).__name__} {error}") from None

    @classmethod
    def listed(cls, listed: Any, cluster: Any) -> _Table:
        """Reads the answers of ``GET /v1/partitions`` and ``GET /v1/cluster``."""
        try:
            members: Dict[int, Node] = {}
            for at, node in enumerate(cluster["cluster"]["nodes"]):
                number = int(node.get("member") or -1 - at)
                members[number] = Node(_text(node["id"]), _text(node["ip"]), dict(node.get("services") or {}), node.get("domain"),
                                       int(node.get("weight") or 1), node.get("status", ""))
            by_id = {node.id: number for number, node in members.items()}
            for row in listed["partitions"]:
                for name in [row["primary_node"], *row["replica_nodes"]]:
                    if name and name not in by_id:  # it joined between the two answers
                        by_id[name] = -1 - len(members)
                        members[by_id[name]] = Node(name, "")
            rows = [(int(row.get("epoch", 0)), row.get("state", ""), by_id.get(row["primary_node"]),
                     tuple(by_id[name] for name in row["replica_nodes"])) for row in listed["partitions"]]
            hashing = cluster["hash_config"]
            return cls(int(listed.get("incarnation", 0)), int(listed.get("version", 0)), hashing["hash"],
                       int(hashing.get("seed", 0)), rows, members, {})
        except _NONSENSE as error:
            raise Malformed(f"not a table: {type(error).__name__} {error}") from None

    def is_succeeded(self, server: str, by: _Table) -> bool:
        """Whether a server's table is a later one of this cluster, though of another id, as after a restore: it has a higher
        incarnation, and the server is the same node in both."""
        return by.incarnation > self.incarnation and any(
            node.http == server and number in by.members
            and (by.members[number].id, by.members[number].http) == (node.id, server)
            for number, node in self.members.items())

    def at(self, version: int) -> _Table:
        """This table at a later version, since nothing has changed up to there."""
        return _Table(self.incarnation, version, self.hash, self.seed, self.rows, self.members, {}).keeping(self)

    def after(self, delta: Any) -> Optional[_Table]:
        """This table after a change; ``None`` when the change is older than it.

        A change holds whole rows and members, so it is taken by any table from its beginning on. Raises ``_Gap`` when
        changes are missing in between.
        """
        try:
            incarnation, start, version = (int(delta[name]) for name in ("incarnation", "from", "version"))
            if (incarnation, version) <= self.age:
                return None
            if incarnation != self.incarnation or start > self.version:
                raise _Gap(f"a change from {incarnation}.{start}, and {self.incarnation}.{self.version} is known")
            members = dict(self.members)
            members.update(_member(one) for one in delta.get("members") or ())
            rows = list(self.rows)
            for one in delta.get("rows") or ():
                at = one["partition"]
                if not 0 <= at < len(rows):
                    raise Malformed(f"a change of partition {at}, and there are {len(rows)}")
                rows[at] = _row(one, members)
            for number in delta.get("gone") or ():
                members.pop(number, None)
            if delta.get("gone"):
                for row in rows:
                    _check_copies(row[2], row[3], members)
            return _Table(incarnation, version, self.hash, self.seed, rows, members, {}).keeping(self)
        except _NONSENSE as error:
            raise Malformed(f"not a change of the table: {type(error).__name__} {error}") from None


class _Gap(Exception):
    """Changes are missing between the table and an event."""


def _newer(route: Route, than: Route) -> bool:
    return (route.incarnation, route.epoch, route.version) > (than.incarnation, than.epoch, than.version)


def _number(text: str) -> Optional[int]:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} is no text")
    return value


def _member(one: Any) -> Tuple[int, Node]:
    return int(one["member"]), Node(_text(one["id"]), _text(one.get("http") or ""), dict(one.get("services") or {}),
                                    one.get("domain"), int(one.get("weight") or 1), one.get("status", ""))


def _row(one: Any, members: Mapping[int, Node]) -> _Row:
    primary, replicas = one["primary"], tuple(one["replicas"])
    _check_copies(primary, replicas, members)
    return int(one["epoch"]), one.get("state", ""), primary, replicas


def _check_copies(primary: Optional[int], replicas: Tuple[int, ...], members: Mapping[int, Node]) -> None:
    for number in replicas if primary is None else (primary, *replicas):
        if number not in members:
            raise Malformed(f"a copy is at member {number}, which is not listed")


# ---------------------------------------------------------------------------------------------------------------------
# Bytes to and from servers
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    """By name in small letters."""
    body: bytes
    server: str
    """Who answered."""

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class _NotSent(Exception):
    """No connection: nothing was sent."""


class _Broken(Exception):
    """Sent, and no whole answer."""


_TROUBLE = (OSError, http.client.HTTPException, ValueError)


class _Wire:
    """Connections to servers, kept while nobody uses them."""

    IDLE_MAX = 16

    def __init__(self, context: Optional[ssl.SSLContext], connect_timeout: float) -> None:
        self.context, self.connect_timeout = context, connect_timeout
        self._idle: Dict[str, List[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def connect(self, server: str, timeout: float) -> http.client.HTTPConnection:
        wait = min(timeout, self.connect_timeout)
        if wait <= 0:
            raise _NotSent("no time is left")
        connection: Optional[http.client.HTTPConnection] = None
        try:
            parts = urlsplit(f"//{server}")
            host = parts.hostname or ""
            if self.context is None:
                connection = http.client.HTTPConnection(host, parts.port or 80, timeout=wait)
            else:
                connection = http.client.HTTPSConnection(host, parts.port or 443, timeout=wait, context=self.context)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except _TROUBLE as error:
            if connection is not None:
                connection.close()
            raise _NotSent(str(error) or type(error).__name__) from None
        return connection

    def exchange(self, server: str, method: str, target: str, headers: Mapping[str, str], body: Optional[bytes],
                 timeout: float, most: int) -> Response:
        """Sends a request once, and reads the whole answer of at most ``most`` bytes."""
        deadline = time.monotonic() + timeout
        connection = self._take(server) or self.connect(server, timeout)
        sock, kept = connection.sock, False
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            connection.request(method, target, body=body, headers=dict(headers))
            answer = connection.getresponse()
            read = _read_whole(answer, sock, most, deadline)
            kept = not answer.will_close
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, found, read, server)
        except socket.timeout:
            raise _Broken(f"no answer within {timeout:.3g} s") from None
        except _TROUBLE as error:
            raise _Broken(str(error) or type(error).__name__) from None
        finally:
            if not (kept and self._give(server, connection)):
                connection.close()

    def _take(self, server: str) -> Optional[http.client.HTTPConnection]:
        while True:
            with self._lock:
                idle = self._idle.get(server)
                connection = idle.pop() if idle else None
            if connection is None or not _is_closed_by_peer(connection.sock):
                return connection
            connection.close()

    def _give(self, server: str, connection: http.client.HTTPConnection) -> bool:
        with self._lock:
            idle = self._idle.setdefault(server, [])
            if len(idle) >= self.IDLE_MAX or connection.sock is None:
                return False
            idle.append(connection)
            return True

    def forget(self, keep: Set[str]) -> None:
        """Closes idle connections, but for those to servers of ``keep``."""
        with self._lock:
            gone = [self._idle.pop(server) for server in list(self._idle) if server not in keep]
        for connection in (one for idle in gone for one in idle):
            connection.close()


def _is_closed_by_peer(sock: socket.socket) -> bool:
    """An idle connection has nothing to read, unless its end."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


def _read_whole(answer: http.client.HTTPResponse, sock: socket.socket, most: int, deadline: float) -> bytes:
    read, length = bytearray(), answer.length
    while length is None or len(read) < length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout()
        if sock.fileno() >= 0:
            sock.settimeout(left)
        # One byte more than allowed, so that one too many is seen.
        room = most + 1 - len(read)
        chunk = answer.read1(min(1 << 16, room if length is None else min(room, length - len(read))))
        if not chunk:
            if length is not None:  # the connection ended before the body did
                raise http.client.IncompleteRead(b"", length - len(read))
            break
        read += chunk
        if len(read) > most:
            raise ValueError(f"the answer is longer than {most} bytes")
    answer.close()
    return bytes(read)


class _Events:
    """Server-sent events from an answer, one at a time, each within a limit of bytes and of time."""

    def __init__(self, answer: http.client.HTTPResponse, sock: socket.socket, most: int, silence: float) -> None:
        self.answer, self.sock, self.most, self.silence = answer, sock, most, silence
        self._ready: List[Tuple[str, str]] = []
        self._rest = bytearray()
        self._name = ""
        self._data: List[str] = []
        self._held = 0

    def next(self) -> Tuple[str, str]:
        """The next event: its name and its data. Raises ``_Broken`` at the end, or when one is too large or late."""
        began = time.monotonic()
        while not self._ready:
            # A large event may take longer, as long as it gets on.
            left = began + self.silence + (self._held + len(self._rest)) / (1 << 20) - time.monotonic()
            try:
                if left <= 0:
                    raise socket.timeout()
                if self.sock.fileno() >= 0:
                    self.sock.settimeout(left)
                chunk = self.answer.read1(1 << 16)
            except socket.timeout:
                raise _Broken(f"no event within {self.silence:.3g} s") from None
            except (*_TROUBLE, AttributeError) as error:  # the last one: closed by another thread
                raise _Broken(str(error) or type(error).__name__) from None
            if not chunk:
                raise _Broken("the stream has ended")
            self._take(chunk)
        return self._ready.pop(0)

    def _take(self, chunk: bytes) -> None:
        begin, looked = 0, len(self._rest)
        self._rest += chunk
        while True:
            end = self._rest.find(b"\n", looked)
            if end < 0:
                break
            line = bytes(self._rest[begin:end])
            begin = looked = end + 1
            self._line(line[:-1] if line.endswith(b"\r") else line)
        del self._rest[:begin]
        self._bound(self._held + len(self._rest))

    def _bound(self, size: int) -> None:
        if size > self.most:
            raise _Broken(f"an event is longer than {self.most} bytes (event_bytes_max)")

    def _line(self, line: bytes) -> None:
        if not line:
            if self._data:
                self._ready.append((self._name or "message", "\n".join(self._data)))
            self._name, self._data, self._held = "", [], 0
            return
        self._held += len(line)
        self._bound(self._held)
        name, _, value = line.partition(b":")
        text = (value[1:] if value.startswith(b" ") else value).decode("utf-8", "replace")
        if name == b"event":
            self._name = text
        elif name == b"data":
            self._data.append(text)


# ---------------------------------------------------------------------------------------------------------------------
# The router
# ---------------------------------------------------------------------------------------------------------------------

_NOT_DONE = frozenset({
    "not-owner", "epoch-old", "moving", "unavailable", "too-few-in-sync", "busy", "overloaded", "stopping", "not-formed",
})
"""Answers which promise that nothing was done, so that any request may be repeated."""

_FOLLOWED_MAX = 4
"""Answers that are followed without a pause in a row. More are a sign that nodes contradict each other."""

_FOLLOW_PAUSE_MAX = 5.0
"""Longest pause in seconds before another server is followed; the first is a twentieth of a second, and they double."""

_SERVERS_MAX = 256
_LEARNED_MAX = 1024


class _Elsewhere(Exception):
    """This server is left for another one."""


class _NoWatch(_Elsewhere):
    """This server has no ``GET /v1/watch``."""


class Router:
    """Keeps a cluster's table near, and sends requests to the primary of their key. For any number of threads.

    :param servers: HTTP addresses of any nodes: ``host:port``, ``:port``, ``http://…`` or ``https://…``. Once a table is
        known, the nodes in it are asked as well.
    :param token: sent with every request, unless one of yours carries its own ``Authorization``.
    :param ca: file of the authorities that a server's certificate is checked by; with it TLS is spoken.
    :param timeout: seconds a request may take in all, every attempt and pause included.
    :param attempt_timeout: seconds one attempt may take of a request that may be repeated.
    :param connect_timeout: seconds one connection attempt may take.
    :param attempts_max: attempts of a request.
    :param retries_per_second: attempts a second, of all requests together, that are made because one before failed;
        what is beyond waits its turn.
    :param silence: seconds without an event, or behind what others have said, after which the server that is followed is
        left. Heartbeats come at least every 5 s and may name where the server was 5 s before: more than 10.
    :param poll_every: seconds between two looks at the table where no server can be followed.
    :param answer_bytes_max: most bytes of an answer; the table's is as large as the cluster.
    :param event_bytes_max: most bytes of an event.
    """

    def __init__(self, servers: Iterable[str], *, token: Optional[str] = None, ca: Optional[str] = None,
                 timeout: float = 10.0, attempt_timeout: float = 2.0, connect_timeout: float = 1.0,
                 attempts_max: int = 100, retries_per_second: float = 500.0, silence: float = 12.0,
                 poll_every: float = 5.0, answer_bytes_max: int = 256 << 20, event_bytes_max: int = 256 << 20) -> None:
        given = list(servers)
        if not given:
            raise ValueError("no server is given; name at least one, such as '127.0.0.1:8080'")
        if len(given) > _SERVERS_MAX:
            raise ValueError(f"{len(given)} servers are too many; at most {_SERVERS_MAX} are allowed")
        positive = dict(timeout=timeout, attempt_timeout=attempt_timeout, connect_timeout=connect_timeout,
                        attempts_max=attempts_max, retries_per_second=retries_per_second, silence=silence,
                        poll_every=poll_every, answer_bytes_max=answer_bytes_max, event_bytes_max=event_bytes_max)
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"{name} is {value}; it has to be more than 0")
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token and token):
            raise ValueError("the token is empty, or has characters that no token has")
        schemes = {_split_scheme(server)[0] for server in given} - {""}
        secure = ca is not None or schemes == {"https"}
        if len(schemes) > 1 or (ca is not None and "http" in schemes):
            raise ValueError(f"servers of http and of https are mixed in {given}; a cluster speaks one of them")
        self._seeds = list(dict.fromkeys(_address(server) for server in given))
        self._wire = _Wire(ssl.create_default_context(cafile=ca) if secure else None, connect_timeout)
        self._token, self._timeout, self._attempt_timeout = token, timeout, attempt_timeout
        self._attempts_max, self._silence, self._poll_every = attempts_max, silence, poll_every
        self._answer_bytes_max, self._event_bytes_max = answer_bytes_max, event_bytes_max
        self._pace = _Pace(retries_per_second)
        self._table: Optional[_Table] = None
        self._changed = threading.Condition()
        """Held while the table is replaced; told of each one."""
        self._named: Tuple[int, int] = (0, 0)
        """The newest incarnation and version that an answer has named."""
        self._heard = 0.0
        self._cluster: Optional[Tuple[str, str]] = None
        """Name and id of the cluster of the first server that was heard; later, of what that was restored as."""
        self._etag: Optional[Tuple[Tuple[int, int], str]] = None
        """The tag of the last table that was asked for, and which one that was."""
        self._asking = threading.Lock()
        self._asked = 0.0
        self._preferred: Optional[str] = None
        self._verified: Set[str] = set()
        self._following: Optional[str] = None
        self._error: Optional[str] = None
        self._stream: Optional[socket.socket] = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow_for_ever, name="clusterkit-watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Router:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Ends the following and closes idle connections. Look-ups go on by the last table."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._wire.forget(set())
        if threading.current_thread() is not self._thread:
            self._thread.join(self._attempt_timeout)

    # Look-ups --------------------------------------------------------------------------------------------------------

    def partition(self, key: Key) -> int:
        """The number of the partition of ``key``. Waits for the first table, at most ``timeout``."""
        data = _key_bytes(key)
        if not data:
            raise ValueError("the key is empty; a key has at least one byte")
        return self._known().partition(data)

    def route(self, key: Key) -> Route:
        """Where ``key`` is, by the newest table known. Waits for the first table, at most ``timeout``."""
        return self.route_of(self.partition(key))

    def route_of(self, partition: int) -> Route:
        """Where a partition is, by the newest table known."""
        table = self._known()
        if not 0 <= partition < len(table.rows):
            raise ValueError(f"partition-{partition} does not exist; there are {len(table.rows)} partitions")
        return table.route(partition)

    def nodes(self) -> List[Node]:
        """The nodes of the newest table known."""
        return list(self._known().members.values())

    def status(self) -> Status:
        """What is known, and for how long no node has confirmed it."""
        table = self._known()
        return Status(table.incarnation, table.version, len(table.rows), time.monotonic() - self._heard,
                      self._following, self._error)

    def _known(self) -> _Table:
        table = self._table
        return table if table is not None else self._first_table(time.monotonic() + self._timeout)

    def _first_table(self, deadline: float) -> _Table:
        """Waits for the thread that follows, which asks for it."""
        with self._changed:
            while self._table is None:
                left = deadline - time.monotonic()
                if left <= 0 or self._closed.is_set():
                    raise NoTable(f"no table is known, and none of {', '.join(self._seeds)} gives one: "
                                  f"{self._error or 'not asked yet'}")
                self._changed.wait(min(left, 0.5))
            return self._table

    # Requests --------------------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, key: Key, body: Optional[bytes] = None,
                headers: Optional[Mapping[str, str]] = None, *, repeat: Optional[bool] = None,
                timeout: Optional[float] = None) -> Response:
        """Sends a request to the primary of ``key``, and gives its answer, whatever its status.

        ``path`` is sent as it is; quote what needs it (``urllib.parse.quote``). ``CK-Fence`` is added. Answers which say
        that nothing was done are followed, and repeated after a pause, within the time and the attempts of a request. A
        GET or HEAD is repeated after anything that may pass; any other request only when it certainly was not carried
        out, unless ``repeat`` says otherwise: ``True`` if twice is the same as once, ``False`` if never.

        Raises a ``ClusterKitError``, which knows whether the outcome is unknown.
        """
        if not path.startswith("/") or not path.isascii() or any(c <= " " for c in path):
            raise ValueError(f"{path!r} is no path; it starts with / and is percent-encoded")
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        safe = method in ("GET", "HEAD") if repeat is None else repeat
        data = _key_bytes(key)
        if not data:
            raise ValueError("the key is empty; a key has at least one byte")
        table = self._table or self._first_table(deadline)
        partition = table.partition(data)
        attempts = followed = retries = 0
        told: Optional[str] = None
        while True:
            attempts += 1
            to, fence = (told, None) if told else self._whither(partition)
            told = None
            sent = self._with_token(headers or {})
            if fence:
                sent["CK-Fence"] = fence
            follow, pause, failure = False, 0.0, None  # type: bool, float, Optional[ClusterKitError]
            if not to:
                failure = NoPrimary(f"no node acts on partition-{partition} at present, as looked up {attempts} times")
            else:
                left = deadline - time.monotonic()
                within = min(left, self._attempt_timeout) if safe else left
                try:
                    answer = self._wire.exchange(to, method, path, sent, body, within, self._answer_bytes_max)
                except _NotSent as error:
                    failure = Unreachable(f"{to} could not be connected to in {attempts} attempts ({error}); its "
                                          "partitions are served again once another node has taken them over")
                except _Broken as error:
                    if not safe:
                        raise OutcomeUnknown(f"{to} gave no whole answer: {error}; it may have taken effect, look "
                                             "before repeating it") from None
                    failure = Unreachable(f"{to} gave no whole answer: {error}; ask again")
                else:
                    problem = self._judge(answer, safe)
                    if problem is None:
                        return answer
                    code, newest = problem.get("code"), problem.get("newest")
                    follow, pause = code in ("not-owner", "epoch-old"), _milliseconds(problem.get("retry_after_ms"))
                    if code == "moving" and isinstance(newest, dict) and isinstance(newest.get("next_address"), str):
                        told = newest["next_address"]
                    failure = Refused(f"not done in {attempts} attempts; {to} answered last: {problem.get('detail')} "
                                      f"({code})", problem)
            if attempts >= self._attempts_max:
                raise failure
            if follow and followed < _FOLLOWED_MAX and self._whither(partition) != (to, fence):
                followed += 1
                continue
            followed = 0
            at = self._pace.next(retries, pause, deadline)
            if at is None:
                raise failure
            retries += 1
            self._pause(at, None if told else lambda: self._whither(partition) != (to, fence))

    def _whither(self, partition: int) -> Tuple[Optional[str], Optional[str]]:
        """Where a request about the partition goes, and the grant it names."""
        table = self._table
        route = table.route(partition) if table is not None and partition < len(table.rows) else None
        if route is None or route.primary is None or not route.primary.http:
            return None, None
        return route.primary.http, route.fence

    def _judge(self, answer: Response, safe: bool) -> Optional[Mapping[str, Any]]:
        """``None`` when it is the answer that was asked for; else the problem that says where to go."""
        self._note(_version(answer.headers.get("ck-version", "")))
        if answer.status not in (409, 421, 502, 503, 504) \
                or not answer.headers.get("content-type", "").startswith("application/problem+json"):
            return None
        try:
            problem = answer.json()
        except (ValueError, RecursionError):
            return None
        if not isinstance(problem, dict) \
                or not (problem.get("code") in _NOT_DONE or (safe and answer.status in (502, 503, 504))):
            return None
        newest = problem.get("newest")
        if isinstance(newest, dict):
            self._note((newest.get("incarnation"), newest.get("version")))
            if problem.get("code") in ("not-owner", "epoch-old"):
                self._learn(newest)
        return problem

    def _pause(self, at: float, is_moved: Optional[Callable[[], bool]]) -> None:
        """Waits until then, or until the table knows another place; asks for it meanwhile."""
        self._freshen(at)
        with self._changed:
            while not (is_moved is not None and is_moved()):
                left = at - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    # The table -------------------------------------------------------------------------------------------------------

    def _install(self, table: _Table) -> bool:
        """Takes a table in when it is newer than the one known. Never an older one."""
        with self._changed:
            if self._table is not None and table.age <= self._table.age:
                return False
            self._table = table.keeping(self._table)
            self._changed.notify_all()
            return True

    def _learn(self, newest: Mapping[str, Any]) -> None:
        with self._changed:
            table = self._table.with_learned(newest) if self._table is not None else None
            if table is not None and len(table.learned) <= _LEARNED_MAX:
                self._table = table
                self._changed.notify_all()

    def _note(self, named: Tuple[Any, Any]) -> None:
        if all(isinstance(one, int) for one in named) and named > self._named:
            with self._changed:
                self._named = max(self._named, named)

    def _is_up_to_date(self) -> bool:
        return self._table is not None and self._table.age >= self._named

    def refresh(self) -> None:
        """Asks for the table now. What is known stays when nobody answers: then this raises ``NoTable``."""
        with self._asking:
            self._ask_around(time.monotonic() + self._timeout)

    def _freshen(self, until: float) -> None:
        """Asks for the table where the stream does not bring it soon, and nobody else is asking."""
        gap = 0.5 if self._following else 0.05
        if self._closed.is_set() or time.monotonic() - self._asked < gap or not self._asking.acquire(blocking=False):
            return
        try:
            if self._following and self._is_up_to_date() and time.monotonic() - self._heard < 0.5:
                return
            self._ask_around(max(until, time.monotonic() + 0.2))
        except ClusterKitError:
            pass  # whoever sends sees what comes of it
        finally:
            self._asking.release()

    def _servers(self) -> List[str]:
        """Whom to ask, in order, each once: who answered last, the seeds, the nodes of the table."""
        table = self._table
        nodes = [node.http for node in table.members.values() if node.http] if table is not None else []
        return list(dict.fromkeys([*([self._preferred] if self._preferred else []), *self._seeds, *nodes]))[:_SERVERS_MAX]

    def _ask_around(self, deadline: float) -> None:
        answers, trouble = 0, []  # type: int, List[str]
        for server in self._servers():
            left = min(deadline - time.monotonic(), 0.7)  # one that hangs leaves time for others
            if left <= 0 or self._closed.is_set():
                break
            try:
                self._ask(server, left)
            except (_NotSent, _Broken, ClusterKitError) as error:
                self._verified.discard(server)  # whoever is there the next time may be somebody else
                trouble.append(f"{server} ({error})")
                continue
            answers += 1
            self._preferred = server
            if self._is_up_to_date() or answers == 3:
                break
        self._asked = time.monotonic()
        if not answers:
            raise NoTable(f"no server gives the table: {', '.join(trouble) or 'no time was left'}")

    def _ask(self, server: str, timeout: float) -> None:
        """Asks one server for the table, and takes in what it has that is newer."""
        is_asked = self._verify(server, timeout)
        tagged = self._etag
        answer = self._get(server, "/v1/table", timeout, {"If-None-Match": tagged[1]} if tagged else {})
        if answer.status == 304 and tagged:
            if self._table is not None and self._table.age == tagged[0]:
                self._heard = time.monotonic()
            return
        if answer.status == 404:  # a server without it
            listed = self._get(server, "/v1/partitions", timeout)
            table = _Table.listed(_json(listed), _json(self._get(server, "/v1/cluster", timeout)))
        else:
            table = _Table.whole(_json(answer))
        if not is_asked and (self._table is None or table.age > self._table.age):
            self._verified.discard(server)  # it may be another cluster's by now that was started in its place
            self._verify(server, timeout)
        if answer.status != 404:
            tag = answer.headers.get("etag")
            self._etag = (table.age, tag) if tag else None
        self._install(table)
        if self._table is not None and table.age >= self._table.age:
            self._heard = time.monotonic()

    def _verify(self, server: str, timeout: float) -> bool:
        """A server of another cluster teaches nothing, unless that is what this one was restored as. Says whether it was
        asked, or is remembered."""
        if server in self._verified:
            return False
        peer = _json(self._get(server, "/v1/peer", timeout))
        name, uuid = (peer.get("cluster"), peer.get("uuid")) if isinstance(peer, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(uuid, str) or not uuid:
            raise Malformed(f"{server} is part of no cluster yet")
        whole: Optional[_Table] = None
        ours = self._cluster
        if ours is not None and ours[1] != uuid and ours[0] == name:
            whole = _Table.whole(_json(self._get(server, "/v1/table", timeout)))
        with self._changed:
            ours, table = self._cluster, self._table
            later = whole is not None and table is not None and table.is_succeeded(server, whole)
            if ours is not None and ours[1] != uuid and not later:
                raise Malformed(f"{server} is in cluster {uuid}, this router is of {ours[1]}")
            if ours is None or ours[1] != uuid:
                self._cluster = (name, uuid)
                self._verified.clear()
            if len(self._verified) >= 4 * _SERVERS_MAX:
                self._verified.clear()
            self._verified.add(server)
            if whole is not None and later:
                self._install(whole)
        return True

    def _get(self, server: str, target: str, timeout: float, headers: Optional[Mapping[str, str]] = None) -> Response:
        return self._wire.exchange(server, "GET", target, self._with_token(headers or {}), None, timeout,
                                   self._answer_bytes_max)

    def _with_token(self, headers: Mapping[str, str]) -> Dict[str, str]:
        found = dict(headers)
        if self._token is not None and "authorization" not in (name.lower() for name in found):
            found["Authorization"] = f"Bearer {self._token}"
        return found

    # Following -------------------------------------------------------------------------------------------------------

    def _follow_for_ever(self) -> None:
        at, failures, whole = random.randrange(1 << 16), 0, False
        again: Optional[str] = None
        while not self._closed.is_set():
            servers = self._servers()
            server = again or servers[at % len(servers)]
            began, before = time.monotonic(), self._table
            try:
                self._follow(server, whole)
            except _Gap as gap:
                # Where the whole table was no help either, somebody else has one.
                again, whole = (None, False) if whole and self._table is before else (server, True)
                self._error = f"{server}: {gap}"
                at, failures = at + (again is None), failures + 1
            except (_NotSent, _Broken, _Elsewhere, ClusterKitError) as error:
                self._error, again, whole = f"{server}: {error}", None, False
                self._verified.discard(server)
                at += 1
                if not isinstance(error, _NoWatch) or failures % len(servers) == len(servers) - 1:
                    self._catch_up()
                failures += 1
            except Exception as error:  # nobody begins this thread anew: it goes on with another server
                self._error, again, whole = f"{server}: {type(error).__name__} {error}", None, False
                self._verified.discard(server)
                at, failures = at + 1, failures + 1
            finally:
                self._following = self._stream = None
            if time.monotonic() - began > 2.0:
                failures = 0
            if failures > 1 or self._table is None:
                self._closed.wait(min(_FOLLOW_PAUSE_MAX, 0.05 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))

    def _catch_up(self) -> None:
        """Nobody tells of changes: looks for itself, now and then."""
        if self._table is not None and time.monotonic() - max(self._heard, self._asked) < self._poll_every:
            return
        try:
            self.refresh()
        except ClusterKitError as error:
            self._error = str(error)
        except Exception as error:  # as whoever follows: nothing ends the thread
            self._error = f"{type(error).__name__} {error}"

    def _follow(self, server: str, whole: bool) -> None:
        """Takes in what a server tells, until it is of no use any more; always ends with an exception."""
        self._verified.discard(server)
        self._verify(server, self._attempt_timeout)
        known = self._table
        headers = self._with_token({"Accept": "text/event-stream"})
        since = (0, 0) if known is None or whole else known.age
        if since != (0, 0):
            headers["Last-Event-ID"] = "%d.%d" % since
        connection = self._wire.connect(server, self._attempt_timeout)
        sock = self._stream = connection.sock
        try:
            sock.settimeout(self._silence)
            connection.request("GET", "/v1/watch", headers=headers)
            answer = connection.getresponse()
            if answer.status == 410:
                raise _Gap("the changes since are not kept any more")
            if answer.status == 404:
                raise _NoWatch("it has no /v1/watch")
            if answer.status != 200:
                text = _read_whole(answer, sock, 1 << 16, time.monotonic() + self._attempt_timeout)
                raise _Elsewhere(f"{answer.status} {text[:200].decode('utf-8', 'replace')}")
            kind = answer.getheader("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise Malformed(f"it answers {kind!r} instead of events")
            self._following, self._error = server, None
            self._take_events(_Events(answer, sock, self._event_bytes_max, self._silence), since)
        except _TROUBLE as error:
            raise _Broken(str(error) or type(error).__name__) from None
        finally:
            connection.close()
            sock.close()

    def _take_events(self, events: _Events, since: Tuple[int, int]) -> None:
        behind: Optional[Tuple[float, Tuple[int, int]]] = None
        """What others have said that it has not come to, and since when it has not."""
        # Of the stream: heartbeats name the version alone.
        incarnation: Optional[int] = since[0]
        told = since
        """The newest that the changes so far lead to."""
        while not self._closed.is_set():
            name, text = events.next()
            if name not in ("table", "delta", "heartbeat", "lifecycle", "dropped"):
                continue
            data = _object(text)
            if name == "dropped":
                raise _Elsewhere(f"it gave up on this reader: {data.get('detail')}")
            incarnation = data.get("incarnation", incarnation)
            if name in ("table", "delta"):
                self._take_change(name, data, told)
            reached, table = (incarnation, data.get("version")), self._table
            if table is None or not all(isinstance(one, int) for one in reached):
                continue
            told = max(told, reached)
            if name == "heartbeat" and reached > table.age and incarnation == table.incarnation:
                table = table.at(reached[1])  # nothing has changed up to there
                self._install(table)
            if reached == table.age:
                self._heard = time.monotonic()
            # One that is cut off from the others tells nothing new, for as long as one listens.
            newest = max(table.age, self._named)
            if reached >= newest:
                behind = None
            elif behind is None or reached >= behind[1]:
                behind = (time.monotonic(), newest)
            elif time.monotonic() - behind[0] > self._silence:
                self._named = table.age  # whoever named it may have been wrong
                raise _Elsewhere("it is at %d.%d, behind %d.%d" % (*reached, *behind[1]))

    def _take_change(self, name: str, data: Mapping[str, Any], told: Tuple[int, int]) -> None:
        if name == "table":
            if data.get("rows"):  # else the partitions have not been created yet
                self._install(_Table.whole(data))
            return
        # An answer may teach something meanwhile.
        with self._changed:
            if self._table is None:
                raise _Gap("a change, and no table is known")
            after = self._table.after(data)
            if after is not None:
                if self._table.age > told:  # what was undone between the two is in no change of this server
                    raise _Gap("a change from %d.%d, past %d.%d that another server has told of"
                               % (*told, *self._table.age))
                self._install(after)


class _Pace:
    """The retries of all requests together, at a rate."""

    def __init__(self, per_second: float) -> None:
        self._every, self._due, self._lock = 1.0 / per_second, time.monotonic(), threading.Lock()

    def next(self, retries: int, asked_for: float, deadline: float) -> Optional[float]:
        """When a request may be retried that has had ``retries`` of them; ``None`` when that is past ``deadline``.

        Whoever gives up takes no place, or those that come after an outage would wait behind those that are gone.
        """
        now = time.monotonic()
        pause = min(0.5, max(asked_for, 0.01 * 2 ** min(retries, 16))) * random.uniform(0.5, 1.0)
        if now + pause >= deadline:
            return None
        with self._lock:
            # A second of quiet saves up a second's worth of places, no more.
            place = max(self._due, now - 1.0) + self._every
            if place >= deadline:
                return None
            self._due = place
        return max(now + pause, place)


def _milliseconds(value: Any) -> float:
    return value / 1000.0 if isinstance(value, (int, float)) and 0 <= value < 1e12 else 0.0


def _version(text: str) -> Tuple[Optional[int], Optional[int]]:
    incarnation, _, version = text.partition(".")
    return _number(incarnation), _number(version)


def _object(text: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the data of an event is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise Malformed("the data of an event is no object")
    return data


def _json(answer: Response) -> Any:
    if answer.status != 200:
        raise Malformed(f"{answer.server} answers {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}")
    try:
        return answer.json()
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{answer.server} answers no JSON: {error}") from None


def _split_scheme(server: str) -> Tuple[str, str]:
    scheme, mark, rest = server.strip().partition("://")
    if not mark:
        return "", scheme
    if scheme.lower() not in ("http", "https"):
        raise ValueError(f"{server!r} asks for {scheme}; write http:// or https://")
    return scheme.lower(), rest


def _address(server: str) -> str:
    """``host:port``, checked."""
    rest = _split_scheme(server)[1]
    text = f"127.0.0.1{rest}" if rest.startswith(":") else rest
    text = text[:-1] if text.endswith("/") else text
    try:
        parts = urlsplit(f"//{text}")
        wrong = not parts.hostname or parts.port == 0 or parts.netloc != text or "@" in text or any(c <= " " for c in text)
    except ValueError:
        wrong = True
    if wrong:
        raise ValueError(f"{server!r} is no server address; write 127.0.0.1:8080 or http://127.0.0.1:8080")
    return text
