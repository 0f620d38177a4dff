"""Servers of a cluster that does not exist: they say what a test has them say."""

from __future__ import annotations

import json
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, Optional, Tuple

BOUND = 20.0
"""Most seconds anything may take, on a loaded machine."""

Answer = Tuple[int, Dict[str, str], bytes]


def wait_for(what: str, probe: Callable[[], Any]) -> Any:
    """Asks until it holds, or fails."""
    deadline = time.monotonic() + BOUND
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {BOUND} s: {what}")
        time.sleep(0.005)


def table(version: int, primaries: List[Optional[int]], servers: List[Server], incarnation: int = 1,
          epoch: int = 1) -> Dict[str, Any]:
    """A table whose rows have those primaries, of members that are those servers, numbered from 1."""
    return {
        "incarnation": incarnation, "version": version, "replication_factor": 2,
        "hash_config": {"algorithm": "xxh3", "encoding": "uint64", "format": "partition-%d", "modulo": len(primaries),
                        "hash": "xxh3", "seed": 0, "partitions": len(primaries)},
        "members": [member(number, server) for number, server in enumerate(servers, 1)],
        "rows": [{"epoch": epoch, "state": "stable", "primary": primary, "replicas": [1]} for primary in primaries],
    }


def member(number: int, server: Server) -> Dict[str, Any]:
    return {"member": number, "id": f"node-{number}", "http": server.address, "services": {"kv": "h:1"},
            "domain": None, "weight": 1, "status": "active"}


def delta(start: int, version: int, rows: Dict[int, Tuple[int, int]], **more: Any) -> Dict[str, Any]:
    """A change of rows: partition to epoch and primary."""
    return {
        "incarnation": 1, "from": start, "version": version, "members": [], "gone": [],
        "rows": [{"partition": partition, "epoch": epoch, "state": "stable", "primary": primary, "replicas": [1]}
                 for partition, (epoch, primary) in rows.items()],
        **more,
    }


def problem(status: int, code: str, **more: Any) -> Answer:
    body = {"type": f"urn:clusterkit:problem:{code}", "title": code, "status": status, "detail": "for the test",
            "code": code, **more}
    return status, {"Content-Type": "application/problem+json"}, json.dumps(body).encode()


class Stream:
    """One watcher of a server."""

    def __init__(self, last_event_id: Optional[str]) -> None:
        self.last_event_id = last_event_id
        self.frames: queue.Queue[Optional[bytes]] = queue.Queue(1000)

    def send(self, name: str, data: Any) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        self.raw(f"event: {name}\nid: 1.1\ndata: {text}\n\n".encode())

    def raw(self, frame: bytes) -> None:
        self.frames.put(frame, timeout=BOUND)

    def end(self) -> None:
        self.frames.put(None, timeout=BOUND)


class Server:
    """One server. Fields are what it says, and may be changed at any time."""

    def __init__(self) -> None:
        self.cluster, self.uuid = "shop", "c-1"
        self.table: Any = None
        """Answer of ``/v1/table``; none: 404."""
        self.listed: Any = None
        """Answers of ``/v1/partitions`` and ``/v1/cluster``."""
        self.watch: Callable[[Optional[str]], Optional[Answer]] = lambda last: None
        """An answer instead of a stream, by the id that the watcher resumes from."""
        self.answers: List[Optional[Answer]] = []
        """What the data plane answers, in turn; then 200. ``None``: it reads the request and hangs up."""
        self.streams: List[Stream] = []
        self.seen: List[Tuple[str, str, Dict[str, str], bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._answer(self)

            do_PUT = do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        class Http(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self._http = Http(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._http.server_address[1]}"
        self._alive = True
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuses connections from now on and ends the streams."""
        self._alive = False
        self._http.shutdown()
        self._http.server_close()
        for stream in self.streams:
            stream.end()

    def asked(self, path: str) -> int:
        return sum(1 for _, target, _, _ in self.seen if target.split("?")[0] == path)

    def stream(self, number: int = 0) -> Stream:
        return wait_for(f"watcher {number} comes", lambda: len(self.streams) > number and self.streams[number])

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.seen.append((handler.command, handler.path, headers, body))
        if not self._alive:
            handler.close_connection = True
            return
        path = handler.path.split("?")[0]
        if path == "/v1/watch":
            self._watch(handler, headers.get("last-event-id"))
            return
        answer = self._plain(path, headers)
        if answer is None:
            handler.close_connection = True
            return
        status, more, text = answer
        handler.send_response(status)
        for name, value in more.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def _plain(self, path: str, headers: Dict[str, str]) -> Optional[Answer]:
        if path == "/v1/peer":
            return _json({"node": "x", "cluster": self.cluster, "uuid": self.uuid, "formed": True})
        if path == "/v1/table" and self.table is not None:
            tag = f'"{self.table["incarnation"]}.{self.table["version"]}.1"'
            if headers.get("if-none-match") == tag:
                return 304, {"ETag": tag}, b""
            status, more, text = _json(self.table)
            return status, {**more, "ETag": tag}, text
        if path in ("/v1/partitions", "/v1/cluster") and self.listed is not None:
            return _json(self.listed[0 if path == "/v1/partitions" else 1])
        if path.startswith("/kv/"):
            return self.answers.pop(0) if self.answers else (200, {"CK-Version": "1.1"}, self.address.encode())
        return problem(404, "not-found")

    def _watch(self, handler: BaseHTTPRequestHandler, last: Optional[str]) -> None:
        instead = self.watch(last)
        handler.close_connection = True
        if instead is not None:
            status, more, text = instead
            handler.send_response(status)
            for name, value in {**more, "Content-Length": str(len(text))}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(text)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        stream = Stream(last)
        stream.raw(b": here\n\n")
        if last is None and self.table is not None:
            stream.send("table", self.table)
        self.streams.append(stream)
        while True:
            frame = stream.frames.get()
            chunk = frame or b""
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            handler.wfile.flush()
            if frame is None:
                return


def _json(value: Any) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()
