"""Writes to a key-value cluster and reads back, while its caller kills nodes; and says what it saw.

    python3 live.py SERVER...

Prints ``serving`` once it gets on, reads a line, gets on again, checks every look-up against the servers, and prints what
it did. Fails when an acknowledged write cannot be read back, or a look-up is not what the servers say.
"""

import json
import pathlib
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from clusterkit import Router

KEYS = [f"python-{number}" for number in range(48)]
BOUND = 60.0


def write_and_read(router, turn, written):
    for key in KEYS:
        value = f"{key} {turn}".encode()
        # The value is this key's alone, so that a repeated write is the same as one.
        answer = router.request("PUT", f"/kv/{key}", key, value, repeat=True)
        assert answer.status == 204, (key, answer)
        written[key] = value
    for key in KEYS:
        answer = router.request("GET", f"/kv/{key}", key)
        assert (answer.status, answer.body) == (200, written[key]), (key, answer, written[key])


def ask(server, path):
    with urllib.request.urlopen(f"http://{server}{path}", timeout=5) as answer:
        return json.load(answer)


def check_look_ups(router, server):
    """Every look-up is what the server says, of the same version."""
    deadline = time.monotonic() + BOUND
    while True:
        version = router.status().version
        wrong = None
        for key in KEYS:
            said, found = ask(server, f"/v1/partitions/key?key={key}"), router.route(key)
            primary = found.primary.id if found.primary else ""
            here = (f"partition-{found.partition}", primary, found.epoch, [node.id for node in found.replicas])
            there = (said["id"], said["primary_node"], said["epoch"], said["replica_nodes"])
            if here != there:
                wrong = (key, here, there)
        if wrong is None:
            return
        assert time.monotonic() < deadline, (version, router.status(), wrong)
        time.sleep(0.02)


def main():
    written = {}
    with Router(sys.argv[1:], timeout=30.0) as router:
        write_and_read(router, 0, written)
        before = router.status().version
        print("serving", flush=True)
        server = sys.stdin.readline().strip()
        write_and_read(router, 1, written)
        check_look_ups(router, server)
        assert router.status().version > before, (before, router.status())
        print("done", json.dumps({"keys": len(KEYS), "from": before, "to": router.status().version}), flush=True)


main()
