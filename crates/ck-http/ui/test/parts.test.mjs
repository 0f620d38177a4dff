// Parts of the page that need no browser, bundled as the page is.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { build } from "esbuild";
import { fileURLToPath } from "node:url";

let parts;
before(async () => {
  const contents = 'export * from "./stream"; export * from "./table"; export * from "./paint"; export * from "./palette"; export * from "./format";';
  const resolveDir = fileURLToPath(new URL("../src/", import.meta.url));
  const { outputFiles } = await build({ stdin: { contents, resolveDir, loader: "ts" }, bundle: true, write: false, format: "esm", target: "es2022" });
  globalThis.document ??= { baseURI: "http://page/ui" };
  parts = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
});

test("events are read however their bytes are cut", () => {
  const text = ': \n\nevent: delta\r\nid: 1.2\r\ndata: {"a":\r\ndata: 1}\r\n\r\nid: 1.3\nevent: heartbeat\ndata:{}\n\nretry: 3\n\ndata: last\n\n';
  const whole = new parts.Parser().push(text);
  assert.deepEqual(whole, [
    { event: "delta", id: "1.2", data: '{"a":\n1}' },
    { event: "heartbeat", id: "1.3", data: "{}" },
    { event: "message", id: "1.3", data: "last" },
  ]);
  for (let size = 1; size < 9; size += 1) {
    const parser = new parts.Parser();
    const found = [];
    for (let at = 0; at < text.length; at += size) found.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(found, whole, `in pieces of ${size}`);
  }
});

const row = (primary, replicas, epoch = 1) => ({ epoch, state: "stable", primary, replicas });
const members = [1, 2, 3].map((member) => ({ member, id: `node-${member}`, http: "", domain: null, weight: 1, status: "active", services: {} }));
const table = () => parts.tableOf({ incarnation: 1, version: 30, replication_factor: 2, members, rows: [row(1, [2]), row(2, [3])] });

test("a delta changes what it names and leaves the table before as it was", () => {
  const first = table();
  const next = parts.changed(first, { incarnation: 1, from: 30, version: 32, rows: [{ partition: 1, ...row(3, [1], 2) }], members: [{ ...members[0], status: "down" }], gone: [2] });
  assert.deepEqual([next.version, next.rows[0], next.rows[1].primary, next.rows[1].epoch], [32, first.rows[0], 3, 2]);
  assert.deepEqual([next.members.get(1).status, next.members.has(2)], ["down", false]);
  assert.deepEqual([first.version, first.rows[1].primary, first.members.get(1).status], [30, 2, "active"]);
});

test("a delta that does not follow is refused, one that was taken already changes nothing", () => {
  const first = table();
  assert.equal(parts.changed(first, { incarnation: 1, from: 31, version: 32 }), null, "a gap");
  assert.equal(parts.changed(first, { incarnation: 2, from: 30, version: 31 }), null, "another incarnation");
  assert.equal(parts.changed(first, { incarnation: 1, from: 29, version: 30 }), first);
  assert.equal(parts.changed(first, { incarnation: 1, from: 28, version: 31, rows: [{ partition: 0, ...row(2, [1]) }] }).rows[0].primary, 2, "joined ones overlap");
});

test("what each member holds is counted, nobody's partitions too", () => {
  const counted = parts.held({ ...table(), rows: [row(1, [2]), row(null, [2, 3])] });
  assert.deepEqual([...counted], [[1, { copies: 1, primaries: 1 }], [2, { copies: 2, primaries: 0 }], [3, { copies: 1, primaries: 0 }]]);
});

test("every partition has a place of its own, at every size", () => {
  for (const count of [1, 16, 160, 161, 4096, 65_536]) {
    const large = { ...table(), rows: Array.from({ length: count }, (_, p) => row(1 + (p % 3), [])) };
    for (const order of ["number", "node"]) {
      for (const width of [368, 700]) {
        const plan = parts.layout(large, width, order);
        assert.equal(new Set(plan.at).size, count);
        assert.ok(plan.at.every((partition, where) => plan.place[partition] === where));
        assert.ok(plan.columns * plan.width <= width + plan.gap && plan.columns * plan.rows >= count, `${count} in ${width}`);
      }
    }
  }
});

test("a hundred nodes of five domains have colours by which domains are told apart", () => {
  const many = { ...table(), members: new Map(Array.from({ length: 100 }, (_, n) => [n + 1, { ...members[0], member: n + 1, id: `node-${n + 1}`, domain: `eu-${n % 5}` }])) };
  for (const theme of ["dark", "light"]) {
    const byDomain = parts.colours(many, "domain", theme);
    assert.equal(new Set(byDomain.values()).size, 5);
    const byOwner = parts.colours(many, "owner", theme);
    assert.ok(new Set(byOwner.values()).size >= 40);
  }
});

test("times and numbers are written as people read them", () => {
  assert.deepEqual([1000, 12_300, 400_000, 9e6, 1e9].map(parts.span), ["1.0 s", "12 s", "7 min", "3 h", "12 d"]);
  assert.deepEqual([parts.permille(1000), parts.permille(16_500, 1), parts.permille(16_000, 1)], ["1.000", "16.5", "16"]);
  assert.deepEqual([parts.plural(1, "copy", "copies"), parts.plural(4096, "copy", "copies")], ["1 copy", "4,096 copies"]);
});
