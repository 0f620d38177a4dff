"""What the client promises, against frozen vectors and against servers that misbehave.

    python3 -m unittest discover clients/python/tests
"""

from __future__ import annotations

import json
import pathlib
import sys
import threading
import time
import unittest
from typing import Any, List, Optional

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import clusterkit
from clusterkit import Malformed, NoTable, OutcomeUnknown, Refused, Router, partition_of, xxh3_64
from fake import BOUND, Server, delta, member, problem, table, wait_for

KEY = "user:1001"

clusterkit._FOLLOW_PAUSE_MAX = 0.05


def pattern(length: int, state: int) -> bytes:
    key = bytearray()
    for _ in range(length):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        key.append((state >> 16) & 255)
    return bytes(key)


class Vectors(unittest.TestCase):
    def test_every_key_falls_where_the_vectors_say(self) -> None:
        file = json.loads((HERE / "vectors.json").read_text())
        self.assertEqual(file["partitions"], [64, 4096, 65536])
        for vector in file["vectors"]:
            key = bytes.fromhex(vector["key"]) if "key" in vector else pattern(vector["length"], vector["start"])
            self.check(file["partitions"], key, vector)
            self.assertEqual(f"{xxh3_64(key, int(file['seed'], 16)):016x}", vector["seeded"], vector)
        self.assertGreater(len(file["vectors"]), 301)

    def test_every_key_falls_where_the_vectors_of_the_library_say(self) -> None:
        file = json.loads((HERE.parents[2] / "crates/ck-core/vectors/keys.json").read_text())
        for vector in file["vectors"]:
            self.check(file["partitions"], bytes.fromhex(vector["key"]), vector)

    def check(self, partitions: List[int], key: bytes, vector: Any) -> None:
        self.assertEqual(f"{xxh3_64(key):016x}", vector["xxh3_64"], vector)
        for name in ("xxh3", "md5-mod"):
            self.assertEqual([partition_of(key, count, name) for count in partitions], vector[name], vector)

    def test_text_is_taken_as_utf_8(self) -> None:
        self.assertEqual(partition_of("é", 65536), partition_of(b"\xc3\xa9", 65536))

    def test_what_cannot_be_hashed_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "crc32.*xxh3"):
            partition_of(b"a", 64, "crc32")
        with self.assertRaisesRegex(ValueError, "0 partitions"):
            partition_of(b"a", 0)


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.servers = [Server(), Server(), Server()]
        for server in self.servers:
            self.addCleanup(lambda one=server: one._alive and one.stop())
            server.table = table(30, [2] * 64, self.servers)

    def router(self, servers: Optional[List[Server]] = None, **more: Any) -> Router:
        given = self.servers[:1] if servers is None else servers
        router = Router([server.address for server in given], **{"timeout": 10.0, **more})
        self.addCleanup(router.close)
        return router

    def version_is(self, router: Router, version: int, incarnation: int = 1) -> None:
        wait_for(f"{incarnation}.{version} is known",
                 lambda: (router.status().incarnation, router.status().version) == (incarnation, version))

    def restricted_to(self, server: Server) -> None:
        """Nobody else tells of changes; the nodes of a table are asked as well."""
        for other in self.servers:
            if other is not server:
                other.watch = lambda last: problem(503, "too-many-watchers")
                other.table = None


class Following(Case):
    def test_look_ups_are_answered_here(self) -> None:
        router = self.router()
        route = router.route(KEY)
        self.assertEqual(route.partition, partition_of(KEY, 64))
        assert route.primary is not None
        self.assertEqual((route.primary.id, route.primary.http), ("node-2", self.servers[1].address))
        self.assertEqual((route.fence, route.primary.services), (f"1.{route.partition}.1", {"kv": "h:1"}))
        self.assertEqual([node.id for node in route.replicas], ["node-1"])
        asked = len(self.servers[0].seen)
        for number in range(1000):
            router.route(f"key-{number}")
        self.assertLessEqual(len(self.servers[0].seen), asked + 1)

    def test_changes_are_taken_in_order_and_never_twice(self) -> None:
        router = self.router()
        at = router.partition(KEY)
        stream = self.servers[0].stream()
        stream.send("delta", delta(30, 31, {at: (2, 1)}))
        self.version_is(router, 31)
        self.assertEqual(router.route(KEY).epoch, 2)
        stream.send("delta", delta(30, 31, {at: (1, 3)}))
        stream.send("delta", delta(29, 30, {at: (1, 3)}))
        stream.send("table", table(29, [3] * 64, self.servers))
        stream.send("lifecycle", {"version": 31, "kind": "transfer", "text": "for people"})
        stream.send("something-new", "not even JSON")
        stream.send("delta", delta(31, 35, {0: (7, 3)}, members=[member(4, self.servers[2])]))
        self.version_is(router, 35)
        self.assertEqual(router.route(KEY).primary.id, "node-1")  # type: ignore[union-attr]
        self.assertEqual(router.route_of(0).epoch, 7)
        self.assertEqual(len(router.nodes()), 4)
        self.assertEqual(len(self.servers[0].streams), 1)

    def test_a_gap_is_filled_by_the_whole_table(self) -> None:
        router = self.router()
        self.restricted_to(self.servers[0])
        router.route(KEY)
        self.servers[0].table = table(33, [1] * 64, self.servers)
        self.servers[0].stream().send("delta", delta(31, 34, {0: (2, 1)}))
        again = self.servers[0].stream(1)
        self.assertIsNone(again.last_event_id)
        self.version_is(router, 33)
        # One that begins before what is known is none.
        again.send("delta", delta(30, 36, {0: (2, 3)}))
        self.version_is(router, 36)
        self.assertEqual(len(self.servers[0].streams), 2)

    def test_a_change_past_what_another_server_has_told_is_a_gap(self) -> None:
        first, other, _ = self.servers
        router = self.router(self.servers[:2])
        self.restricted_to(first)
        router.route(KEY)
        for stream in other.streams + self.servers[2].streams:
            stream.end()
        wait_for("it is followed", lambda: router.status().following == first.address)
        stream = first.streams[-1]
        # Partition 0 is elsewhere at 33, as the other one alone has seen, and back at 35.
        first.table, other.table = None, table(33, [3] * 64, self.servers)
        router.refresh()
        self.version_is(router, 33)
        stream.send("heartbeat", {"version": 33})
        stream.send("delta", delta(33, 34, {1: (2, 3)}))
        self.version_is(router, 34)
        other.table = table(36, [3] * 64, self.servers)
        router.refresh()
        self.version_is(router, 36)
        first.table = table(38, [2] * 64, self.servers)
        before = len(first.streams)
        stream.send("delta", delta(34, 38, {}))
        self.assertIsNone(first.stream(before).last_event_id)
        self.version_is(router, 38)
        self.assertEqual(router.route_of(0).primary.id, "node-2")  # type: ignore[union-attr]

    def test_a_stream_that_ends_is_resumed_where_it_was(self) -> None:
        router = self.router()
        self.restricted_to(self.servers[0])
        stream = self.servers[0].stream()
        stream.send("delta", delta(30, 31, {0: (2, 1)}))
        self.version_is(router, 31)
        stream.end()
        again = self.servers[0].stream(1)
        self.assertEqual(again.last_event_id, "1.31")
        again.send("delta", delta(31, 32, {0: (3, 2)}))
        self.version_is(router, 32)

    def test_the_loss_of_any_server_is_survived(self) -> None:
        router = self.router(self.servers)
        router.route(KEY)
        version = 30
        for left in (3, 2, 1):
            followed = wait_for("one is followed", lambda: self.live_stream())
            followed.send("delta", delta(version, version + 1, {0: (version, 1)}))
            version += 1
            self.version_is(router, version)
            [server] = [one for one in self.servers if followed in one.streams]
            server.stop()
        before = router.route(KEY)
        wait_for("it says why", lambda: router.status().error)
        self.assertEqual(router.route(KEY), before)
        age = router.status().age
        wait_for("it says how old the table is", lambda: router.status().age > age + 0.05)
        with self.assertRaisesRegex(NoTable, "no server gives the table"):
            router.refresh()

    def live_stream(self) -> Any:
        live = [one.streams[-1] for one in self.servers if one._alive and one.streams]
        return live[0] if live else None

    def test_compacted_changes_are_replaced_by_the_whole_table(self) -> None:
        first = self.servers[0]
        router = self.router()
        self.restricted_to(first)
        stream = first.stream()
        first.watch = lambda last: problem(410, "compacted") if last else None
        first.table = table(90, [1] * 64, self.servers)
        stream.end()
        self.assertIsNone(first.stream(1).last_event_id)
        self.version_is(router, 90)

    def test_a_later_incarnation_is_taken_and_an_earlier_one_is_not(self) -> None:
        router = self.router()
        self.restricted_to(self.servers[0])
        router.route(KEY)
        stream = self.servers[0].stream()
        stream.send("table", table(3, [1] * 64, self.servers, incarnation=2))
        self.version_is(router, 3, incarnation=2)
        stream.send("table", table(99, [3] * 64, self.servers, incarnation=1))
        stream.send("delta", delta(3, 4, {0: (9, 3)}))
        stream.send("delta", delta(3, 4, {0: (9, 2)}, incarnation=2))
        self.version_is(router, 4, incarnation=2)
        self.assertEqual(router.route(KEY).primary.id, "node-1")  # type: ignore[union-attr]

    def test_garbage_teaches_nothing(self) -> None:
        router = self.router()
        self.restricted_to(self.servers[0])
        route = router.route(KEY)
        for number, (name, data) in enumerate([
            ("delta", "{"), ("delta", "[]"), ("table", "[" * 100_000), ("table", {"rows": [1]}),
            ("delta", delta(30, 31, {64: (2, 1)})), ("delta", delta(30, 31, {0: (2, 9)})),
            ("delta", delta(30, 31, {}, gone=[2])), ("delta", {**delta(30, 31, {}), "version": None}),
            ("table", {**table(31, [1], self.servers), "hash_config": {"hash": "crc32"}}),
            ("table", {**table(31, [1], self.servers), "members": []}),
            ("table", {**table(31, [1], self.servers), "version": float("inf")}),
            ("table", {**table(31, [1], self.servers), "members": [{"member": 1, "id": "node-1", "http": ["h:1"]}]}),
            ("delta", {**delta(30, 31, {}), "from": float("inf")}),
        ]):
            self.servers[0].stream(number).send(name, data)
            self.servers[0].stream(number + 1)
            self.assertEqual(router.route(KEY), route)
        self.assertEqual(router.status().version, 30)

    def test_nothing_ends_the_following(self) -> None:
        router = self.router()
        self.restricted_to(self.servers[0])
        stream = self.servers[0].stream()
        taken, router._take_events = router._take_events, {}.__getitem__  # type: ignore[method-assign, assignment]
        stream.end()
        wait_for("it says why", lambda: "TypeError" in (router.status().error or ""))
        router.refresh, refresh = {}.__getitem__, router.refresh  # type: ignore[method-assign, assignment]
        router._poll_every = 0.0
        self.servers[0].watch = lambda last: problem(503, "too-many-watchers")
        wait_for("nor does asking", lambda: (router.status().error or "").startswith("TypeError"))
        router._take_events, router.refresh = taken, refresh  # type: ignore[method-assign]
        self.servers[0].watch = lambda last: None
        before = len(self.servers[0].streams)
        self.servers[0].stream(before).send("delta", delta(30, 31, {0: (2, 1)}))
        self.version_is(router, 31)

    def test_an_event_over_the_limit_is_an_error_that_names_it(self) -> None:
        router = self.router(event_bytes_max=30_000)
        self.restricted_to(self.servers[0])
        router.route(KEY)
        for number, frame in enumerate([b"data: " + b"x" * 30_001, b"data: x\n" * 5_000, b"x" * 40_000 + b"\n\n"]):
            self.servers[0].stream(number).raw(frame)
            wait_for("it is left", lambda: "longer than 30000 bytes" in (router.status().error or "")
                     or len(self.servers[0].streams) > number + 1)
            self.servers[0].stream(number + 1)

    def test_a_silent_server_is_left(self) -> None:
        router = self.router(self.servers[:2], silence=0.3)
        router.route(KEY)
        wait_for("both have been followed", lambda: all(one.streams for one in self.servers[:2]))
        self.assertEqual(router.status().version, 30)

    def test_a_server_that_gives_up_on_a_slow_reader_is_resumed(self) -> None:
        router = self.router()
        self.restricted_to(self.servers[0])
        router.route(KEY)
        self.servers[0].stream().send("dropped", {"detail": "too slow", "code": "too-slow"})
        self.assertEqual(self.servers[0].stream(1).last_event_id, "1.30")

    def test_a_server_that_stays_behind_is_left(self) -> None:
        self.servers[2].watch = lambda last: problem(503, "too-many-watchers")
        router = self.router(self.servers[:2], silence=1.0)
        followed = wait_for("one is followed", self.live_stream)
        [server] = [one for one in self.servers if followed in one.streams]
        other = self.servers[1 - self.servers.index(server)]
        for one in self.servers:
            one.table = None
        other.table = table(40, [1] * 64, self.servers)
        router.refresh()
        self.version_is(router, 40)
        deadline = time.monotonic() + 15
        while not other.streams and time.monotonic() < deadline:
            server.streams[-1].send("heartbeat", {"version": 30})
            time.sleep(0.2)
        self.assertEqual(other.stream().last_event_id, "1.40")

    def test_a_heartbeat_that_is_ahead_says_that_nothing_has_changed(self) -> None:
        router = self.router()
        self.restricted_to(self.servers[0])
        route = router.route(KEY)
        stream = self.servers[0].stream()
        stream.send("heartbeat", {"version": 35})
        self.version_is(router, 35)
        self.assertEqual((router.route(KEY).primary, router.route(KEY).version), (route.primary, 35))
        stream.send("delta", delta(30, 36, {0: (2, 1)}))  # from the last one that changed anything
        self.version_is(router, 36)
        stream.end()
        self.assertEqual(self.servers[0].stream(1).last_event_id, "1.36")

    def test_a_heartbeat_counts_for_the_incarnation_that_its_stream_resumes(self) -> None:
        first, other, _ = self.servers
        self.restricted_to(first)
        asked, answer = threading.Event(), threading.Event()

        def slowly(last: Optional[str]) -> None:
            if last:
                asked.set()
                answer.wait(BOUND)

        router = self.router(self.servers[:2])
        stream = first.stream()
        first.watch = slowly
        stream.end()
        self.assertTrue(asked.wait(BOUND))
        # Before it answers, somebody else tells of a later incarnation.
        first.table, other.table = None, table(3, [1] * 64, self.servers, incarnation=2)
        router.refresh()
        self.version_is(router, 3, incarnation=2)
        answer.set()
        again = first.stream(1)
        self.assertEqual(again.last_event_id, "1.30")
        again.send("heartbeat", {"version": 40})
        again.send("dropped", {"detail": "the end of it"})
        wait_for("it is left", lambda: first.asked("/v1/watch") > 2 or "the end of it" in (router.status().error or ""))
        self.assertEqual((router.status().incarnation, router.status().version), (2, 3))

    def test_a_server_of_another_cluster_teaches_nothing(self) -> None:
        router = self.router(self.servers[:1])
        router.route(KEY)
        stranger = self.servers[1]
        stranger.uuid, stranger.table = "c-2", table(99, [3] * 64, self.servers)
        for server in (self.servers[0], self.servers[2]):
            server.stop()
        with self.assertRaisesRegex(NoTable, "c-2.*c-1"):
            router.refresh()
        self.assertEqual(router.status().version, 30)

    def test_a_server_that_is_another_cluster_s_by_now_teaches_nothing_newer(self) -> None:
        server = self.servers[0]
        self.restricted_to(server)
        server.table = table(30, [1] * 64, [server])
        router = self.router()
        server.stream()
        router.refresh()
        server.table = table(31, [1] * 64, [server])
        router.refresh()
        self.assertEqual(router.status().version, 31)
        # Neither its address nor the incarnation tells, and nothing has failed since it was asked.
        self.assertIn(server.address, router._verified)
        server.uuid, server.table = "c-2", table(99, [1] * 64, [server])
        with self.assertRaisesRegex(NoTable, "c-2"):
            router.refresh()
        self.assertEqual(router.status().version, 31)

    def test_whoever_is_followed_says_first_which_cluster_it_is_of(self) -> None:
        server = self.servers[0]
        self.restricted_to(server)
        router = self.router()
        stream = server.stream()
        server.uuid = "c-2"
        router._verified.add(server.address)
        stream.send("delta", delta(31, 34, {0: (2, 1)}))  # a gap: the same server is asked again
        wait_for("it is refused", lambda: "c-2" in (router.status().error or ""))
        self.assertEqual(len(server.streams), 1)

    def test_a_cluster_that_was_restored_is_taken_and_what_is_left_of_it_is_not(self) -> None:
        old, new, other = self.servers
        self.restricted_to(old)
        router = self.router(self.servers)
        router.route(KEY)
        # Of the same name, and later; but no node of the cluster.
        other.uuid, other.table = "c-7", table(99, [1] * 64, [other], incarnation=7)
        new.uuid, new.table, new.watch = "c-2", table(3, [1] * 64, self.servers, incarnation=2), lambda last: None
        old.watch = lambda last: problem(503, "too-many-watchers")
        for stream in old.streams:
            stream.end()
        self.version_is(router, 3, incarnation=2)
        wait_for("it is followed", lambda: router.status().following == new.address)
        old.table = table(99, [3] * 64, self.servers)
        new.stop()
        with self.assertRaisesRegex(NoTable, "c-1, this router is of c-2"):
            router.refresh()
        self.assertEqual((router.status().incarnation, router.status().version), (2, 3))

    def test_servers_without_a_stream_are_polled(self) -> None:
        for server in self.servers:
            server.watch = lambda last: problem(404, "not-found")
        router = self.router(poll_every=0.05)
        router.route(KEY)
        for server in self.servers:
            server.table = table(31, [3] * 64, self.servers)
        self.version_is(router, 31)
        asked = sum(server.asked("/v1/table") for server in self.servers)
        wait_for("it is asked for again", lambda: sum(one.asked("/v1/table") for one in self.servers) > asked)

    def test_servers_of_before_the_table_are_asked_for_lists(self) -> None:
        for server in self.servers:
            server.watch, server.table = lambda last: problem(404, "not-found"), None
            rows = [{"id": f"partition-{at}", "primary_node": "node-2", "replica_nodes": ["node-1"], "epoch": 4,
                     "state": "stable"} for at in range(16)]
            nodes = [{"id": f"node-{number}", "ip": one.address, "member": number, "services": {}}
                     for number, one in enumerate(self.servers, 1)]
            server.listed = ({"partitions": rows, "count": 16, "incarnation": 1, "version": 12},
                             {"cluster": {"nodes": nodes}, "hash_config": {"hash": "md5-mod", "seed": 0}})
        route = self.router().route(KEY)
        self.assertEqual((route.partition, route.epoch), (partition_of(KEY, 16, "md5-mod"), 4))
        self.assertEqual(route.primary.http, self.servers[1].address)  # type: ignore[union-attr]

    def test_a_token_goes_with_every_request_that_has_none(self) -> None:
        router = self.router(token="s3cret")
        router.request("GET", "/kv/a", KEY)
        router.request("GET", "/kv/b", KEY, headers={"authorization": "mine"})
        router.refresh()
        self.servers[0].stream()
        shown = {(path, headers.get("authorization")) for one in self.servers for _, path, headers, _ in one.seen}
        self.assertEqual(shown, {(path, "Bearer s3cret") for path in ("/v1/peer", "/v1/watch", "/v1/table", "/kv/a")}
                         | {("/kv/b", "mine")})

    def test_a_table_that_was_asked_for_is_not_sent_again(self) -> None:
        router = self.router()
        router.refresh()
        router.refresh()
        asked = [one for one in self.servers[0].seen if one[1] == "/v1/table"]
        self.assertEqual([one[2].get("if-none-match") for one in asked], [None, '"1.30.1"'])

    def test_without_a_table_the_reason_is_named(self) -> None:
        for server in self.servers:
            server.stop()
        router = self.router(timeout=0.3)
        with self.assertRaisesRegex(NoTable, self.servers[0].address):
            router.route(KEY)

    def test_what_makes_no_sense_is_refused(self) -> None:
        for given, more, text in [
            ([], {}, "no server"), (["h:x"], {}, "no server address"), (["ftp://h"], {}, "ftp"),
            (["http://h:1", "https://h:2"], {}, "mixed"), (["h:1"], {"timeout": 0}, "timeout"),
            (["h:1"], {"token": "a b"}, "token"), (["h:1/path"], {}, "no server address"),
        ]:
            with self.assertRaisesRegex(ValueError, text):
                Router(given, **more)  # type: ignore[arg-type]
        with self.assertRaisesRegex(ValueError, "empty"):
            self.router().route(b"")


class Requests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.first, self.second, self.third = self.servers
        self.made = self.router()
        self.at = self.made.partition(KEY)

    def newest(self, server: Server, epoch: int, **more: Any) -> Any:
        return {"incarnation": 1, "version": 31, "partition": f"partition-{self.at}", "primary_address": server.address,
                "primary_node": f"node-{self.servers.index(server) + 1}", "epoch": epoch, **more}

    def fences(self, server: Server) -> List[Optional[str]]:
        return [headers.get("ck-fence") for _, path, headers, _ in server.seen if path.startswith("/kv/")]

    def test_a_request_goes_to_the_primary_with_the_grant_that_is_known(self) -> None:
        answer = self.made.request("PUT", "/kv/a", KEY, b"value", {"X-Mine": "1"})
        self.assertEqual((answer.status, answer.body), (200, self.second.address.encode()))
        [(method, _, headers, body)] = [one for one in self.second.seen if one[1] == "/kv/a"]
        self.assertEqual((method, body, headers["x-mine"]), ("PUT", b"value", "1"))
        self.assertEqual(self.fences(self.second), [f"1.{self.at}.1"])

    def test_a_redirect_is_followed_at_once_and_remembered(self) -> None:
        self.second.answers = [problem(421, "not-owner", newest=self.newest(self.third, 2))]
        for _ in range(2):
            self.assertEqual(self.made.request("PUT", "/kv/a", KEY, b"v").body, self.third.address.encode())
        self.assertEqual(self.fences(self.third), [f"1.{self.at}.2"] * 2)
        self.assertEqual(len(self.fences(self.second)), 1)
        # What is older moves nothing back.
        self.third.answers = [problem(421, "not-owner", newest=self.newest(self.second, 1))]
        self.made.request("PUT", "/kv/a", KEY, b"v")
        self.assertEqual(self.made.route(KEY).epoch, 2)

    def test_a_later_grant_of_the_same_node_is_taken(self) -> None:
        self.second.answers = [problem(409, "epoch-old", newest=self.newest(self.second, 9))]
        self.made.request("PUT", "/kv/a", KEY, b"v")
        self.assertEqual(self.fences(self.second), [f"1.{self.at}.1", f"1.{self.at}.9"])

    def test_nothing_is_learned_of_a_node_or_an_incarnation_that_is_not_known(self) -> None:
        router = self.router(attempts_max=1)
        route = router.route(KEY)
        for more in ({"primary_node": "node-9"}, {"incarnation": 2, "version": 1}):
            self.second.answers = [problem(421, "not-owner", newest=self.newest(self.third, 2, **more))]
            with self.assertRaises(Refused):
                router.request("PUT", "/kv/a", KEY, b"v")
            self.assertEqual(router.route(KEY), route)
        self.assertEqual(router._named, (2, 1))  # the table is asked for

    def test_what_was_learned_gives_way_to_a_table_as_new(self) -> None:
        self.second.answers = [problem(421, "not-owner", newest=self.newest(self.third, 5))]
        self.made.request("PUT", "/kv/a", KEY, b"v")
        stream = self.first.stream()
        stream.send("delta", delta(30, 31, {self.at: (6, 1)}))
        self.version_is(self.made, 31)
        self.assertEqual(self.made.route(KEY).epoch, 6)

    def test_the_next_owner_is_asked_after_the_pause(self) -> None:
        self.second.answers = [problem(503, "moving", retry_after_ms=100,
                                       newest=self.newest(self.second, 1, next_address=self.third.address))]
        began = time.monotonic()
        self.assertEqual(self.made.request("PUT", "/kv/a", KEY, b"v").body, self.third.address.encode())
        self.assertGreaterEqual(time.monotonic() - began, 0.05)
        self.assertEqual(self.fences(self.third), [None])

    def test_a_change_is_not_repeated_once_it_may_have_arrived(self) -> None:
        self.second.answers = [None] * 3
        with self.assertRaises(OutcomeUnknown) as caught:
            self.made.request("PUT", "/kv/a", KEY, b"v")
        self.assertTrue(caught.exception.outcome_unknown)
        self.assertEqual(len(self.fences(self.second)), 1)
        # One that may be repeated is.
        self.assertEqual(self.made.request("GET", "/kv/a", KEY).status, 200)
        self.second.answers = [None, None]
        self.assertEqual(self.made.request("PUT", "/kv/a", KEY, b"v", repeat=True).status, 200)
        self.second.answers = [None]
        with self.assertRaises(OutcomeUnknown):
            self.made.request("GET", "/kv/a", KEY, repeat=False)

    def test_only_what_was_certainly_not_done_is_done_again(self) -> None:
        for code in sorted(clusterkit._NOT_DONE):
            self.second.answers = [problem(503, code)]
            self.assertEqual(self.made.request("PUT", "/kv/a", KEY, b"v").status, 200, code)
        for status, code in [(503, "no-leader"), (504, "outcome-unknown"), (409, "conflict")]:
            self.second.answers = [problem(status, code)]
            self.assertEqual(self.made.request("PUT", "/kv/a", KEY, b"v").status, status)
        for kind, body in [("text/html", b"<html>"), ("application/problem+json", b"["),
                           ("application/problem+json", b"[" * 100_000)]:
            self.second.answers = [(503, {"Content-Type": kind, "CK-Version": "1." + "9" * 5_000}, body)]
            self.assertEqual(self.made.request("PUT", "/kv/a", KEY, b"v").status, 503)

    def test_attempts_have_an_end(self) -> None:
        router = self.router(attempts_max=3)
        self.second.answers = [problem(503, "busy")] * 10
        with self.assertRaisesRegex(Refused, "3 attempts.*busy"):
            router.request("PUT", "/kv/a", KEY, b"v")
        self.assertEqual(len(self.fences(self.second)), 3)

    def test_a_dead_primary_is_waited_for_until_the_stream_names_another(self) -> None:
        self.second.stop()
        began = time.monotonic()
        stream = self.first.stream()
        stream.send("delta", delta(30, 31, {self.at: (2, 3)}))
        self.assertEqual(self.made.request("PUT", "/kv/a", KEY, b"v").body, self.third.address.encode())
        self.assertLess(time.monotonic() - began, 10)

    def test_answers_have_a_limit(self) -> None:
        router = self.router(answer_bytes_max=1 << 16)
        router.route(KEY)
        self.second.answers = [(200, {}, b"x" * (1 << 16)), (200, {}, b"x" * ((1 << 16) + 1))]
        self.assertEqual(len(router.request("GET", "/kv/a", KEY).body), 1 << 16)
        with self.assertRaisesRegex(OutcomeUnknown, "longer than 65536 bytes"):
            router.request("PUT", "/kv/a", KEY, b"v")

    def test_what_is_no_path_is_refused(self) -> None:
        for path in ("kv/a", "/kv/a b", "/kv/é", "/kv/a\r\nX: 1"):
            with self.assertRaisesRegex(ValueError, "no path"):
                self.made.request("GET", path, KEY)
        self.assertEqual(self.fences(self.second), [])


class Rate(unittest.TestCase):
    def test_retries_of_all_together_keep_to_their_rate(self) -> None:
        pace = clusterkit._Pace(100)
        pace._due -= 60
        now = time.monotonic()
        last = max(pace.next(0, 0.0, now + 600) or 0.0 for _ in range(300)) - now
        self.assertTrue(1.8 <= last <= 2.2, last)  # 100 were saved up
        self.assertIsNone(pace.next(0, 0.0, now + 0.5))


if __name__ == "__main__":
    unittest.main()
