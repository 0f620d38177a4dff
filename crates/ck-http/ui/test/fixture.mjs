// A server that answers as a node of a cluster of any size does, for what takes long to bring about with a real one:
// a hundred nodes, every state at once, a stream that breaks off. Its figures are computed from its own table.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const assets = fileURLToPath(new URL("../../src/ui/assets/", import.meta.url));

/** The policy the real server sends, read from its source so that it is the same one. */
async function policy() {
  const source = await readFile(fileURLToPath(new URL("../../src/ui/mod.rs", import.meta.url)), "utf8");
  const text = source.match(/const POLICY[^"]*"([^"]*)"/)[1];
  return text.replace(/\\\n\s*/g, "");
}

const NOW = Date.now();
const AT = ["prepare", "catch-up", "release", "commit", "activate", "clean-up"];

/** Numbers that look drawn and are the same each time. */
function drawn(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
}

export class Fixture {
  constructor({ nodes = 3, partitions = 16, domains = 0, factor = 3, busy = false, token = "" } = {}) {
    this.token = token;
    this.incarnation = 1795476483;
    this.version = 31;
    this.factor = factor;
    this.streams = new Set();
    this.past = new Map();
    this.broken = false;
    const name = (n) => `node-${n + 1}`;
    this.members = Array.from({ length: nodes }, (_, n) => ({
      member: n + 1,
      id: name(n),
      http: `127.0.0.1:${8080 + n}`,
      services: nodes <= 3 ? { kv: `127.0.0.1:${9080 + n}` } : {},
      domain: domains > 0 ? `eu-${1 + (n % domains)}${"abc"[n % 3]}` : null,
      weight: 1,
      status: "active",
    }));
    const random = drawn(7);
    this.rows = Array.from({ length: partitions }, (_, p) => {
      const first = (p * 7 + Math.floor(p / nodes)) % nodes;
      const spread = (k) => ((first + k * (nodes > 9 ? 1 + (p % 3) * domains + k : 1)) % nodes) + 1;
      const copies = [...new Set([first + 1, spread(1), spread(2), spread(3), spread(4)])].slice(0, factor);
      return { epoch: 1 + random(5), state: "stable", primary: copies[0], replicas: copies.slice(1) };
    });
    this.transfers = [];
    if (busy) this.trouble(random);
    this.history = this.#story();
    this.#remember();
  }

  trouble(random) {
    const down = this.members[Math.min(this.members.length - 1, 41)];
    down.status = "down";
    const cordoned = this.members[Math.min(this.members.length - 1, 17)];
    if (cordoned !== down) cordoned.status = "cordoned";
    if (this.members.length > 60) this.members[58].status = "draining";
    this.rows.forEach((row, p) => {
      if (row.primary === down.member && p % 5 === 0 && this.members.length > 3) {
        row.state = "unavailable";
        row.primary = null;
      } else if (row.primary === down.member) {
        [row.primary, ...row.replicas] = [...row.replicas, down.member];
        row.epoch += 1;
        row.state = "degraded";
      } else if (row.replicas.includes(down.member)) {
        row.state = "degraded";
      } else if (random(24) === 0 && this.transfers.length < 40) {
        row.state = "moving";
        const stage = AT[random(6)];
        this.transfers.push({
          id: 100 + p, stage, from: this.id(row.primary), to: this.members[random(this.members.length)].id, partition: `partition-${p}`,
          handoff: random(3) === 0, waits_for: stage === "release" ? "release" : "copy", reason: "drain", done: 10 + random(900), total: stage === "catch-up" ? 1000 : 0,
          attempt: 1, paused: false, opened_at_ms: NOW - random(9000), stage_at_ms: NOW - random(2000),
        });
      }
    });
  }

  id(number) {
    return this.members.find((one) => one.member === number)?.id ?? "";
  }

  #story() {
    const told = [
      ["genesis", "node-1", "formed demo as 0b3c5c0e"], ["office", "node-1", "node-1 leads in term 1"], ["register", "node-2", "node-2 joined as member 2"],
      ["register", "node-3", "node-3 joined as member 3"], ["create-partitions", "node-1", `${this.rows.length} partitions created`], ["rebalance-begin", "node-1", "join: 16 partitions to change"],
      ["transfer-open", "node-1", "partition-3: a copy for node-3 from node-1"], ["transfer-commit", "node-1", "partition-3: node-3 is the primary"], ["rebalance-finish", "node-1", "join: rebalance-finish"],
      ["configure", "operator", "max_transfers_per_node 4"], ["expire", "node-1", "1 sessions expired"], ["register", "node-2", "node-2 came back and was granted 5 partitions"],
      ["set-custom", "operator", "greeting: 5 bytes"], ["update", "operator", "node-3 changed"],
    ];
    return Array.from({ length: 31 }, (_, at) => {
      const [kind, actor, summary] = told[at % told.length];
      return { version: at + 1, position: at + 1, at_ms: NOW - (31 - at) * 7000, at: "", actor, kind, summary };
    });
  }

  table() {
    return { incarnation: this.incarnation, version: this.version, replication_factor: this.factor, members: this.members, rows: this.rows };
  }

  #remember() {
    this.past.set(this.version, JSON.stringify(this.table()));
    // Older versions, in which the first partitions were elsewhere.
    for (let version = this.version - 1; version >= 5 && !this.past.has(version); version -= 1) {
      const rows = this.rows.map((row, p) => (p < this.version - version && row.primary ? { ...row, primary: (row.primary % this.members.length) + 1, epoch: 1 } : row));
      this.past.set(version, JSON.stringify({ ...this.table(), version, rows }));
    }
  }

  /** Changes rows, and tells whoever follows. */
  change(rows, members = []) {
    const from = this.version;
    this.version += 1;
    for (const { partition, ...row } of rows) this.rows[partition] = row;
    for (const one of members) this.members = this.members.map((known) => (known.member === one.member ? one : known));
    this.history.push({ version: this.version, position: this.version, at_ms: Date.now(), at: "", actor: "operator", kind: "update", summary: `change ${this.version}` });
    this.past.set(this.version, JSON.stringify(this.table()));
    this.send("delta", { incarnation: this.incarnation, from, version: this.version, rows, members, gone: [] });
  }

  send(event, data) {
    for (const stream of this.streams) stream.write(`event: ${event}\nid: ${this.incarnation}.${this.version}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  stats() {
    const zero = () => Object.fromEntries(this.members.map((one) => [one.id, 0]));
    const [primaries, replicas, shares] = [zero(), zero(), {}];
    for (const row of this.rows) {
      if (row.primary) primaries[this.id(row.primary)] += 1;
      for (const number of row.replicas) replicas[this.id(number)] += 1;
    }
    const usable = this.members.filter((one) => ["active", "cordoned"].includes(one.status));
    for (const one of this.members) {
      const due = usable.includes(one) ? 1 : 0;
      shares[one.id] = {
        copies_permille: Math.floor((1000 * due * this.rows.length * this.factor) / usable.length),
        primaries_permille: Math.floor((1000 * due * this.rows.length) / usable.length),
      };
    }
    const balance = (counts, share) => {
      const all = Object.entries(counts);
      const over = all.map(([id, n]) => (shares[id][share] === 0 ? 0 : Math.floor((n * 1e6) / shares[id][share])));
      const off = all.filter(([id, n]) => n < Math.floor(shares[id][share] / 1000) || n > Math.ceil(shares[id][share] / 1000));
      return { min: Math.min(...all.map(([, n]) => n)), max: Math.max(...all.map(([, n]) => n)), max_over_share_permille: Math.max(...over), off_share: off.length };
    };
    const copies = Object.fromEntries(Object.keys(primaries).map((id) => [id, primaries[id] + replicas[id]]));
    const of = (state) => this.rows.filter((row) => row.state === state).length;
    return {
      total_partitions: this.rows.length, partitions_per_node: primaries, replicas_per_node: replicas, shares,
      copies: balance(copies, "copies_permille"), primaries: balance(primaries, "primaries_permille"), domains: {},
      in_flight: of("moving"), unavailable: of("unavailable"), under_replicated: 0, spread_violations: 0, incarnation: this.incarnation, version: this.version,
    };
  }

  nodes() {
    return this.members.map((one) => ({
      ...one, ip: one.http, port: 0, name: one.id, generation: 2, labels: {}, session: one.status === "down" ? null : 100 + one.member, leader: one.member === 1, joined_at_ms: NOW - 86_400_000, peer_address: "",
    }));
  }

  route(key) {
    const partition = [...key].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 65_521, 7) % this.rows.length;
    const row = this.rows[partition];
    const http = (number) => this.members.find((one) => one.member === number)?.http ?? "";
    return {
      id: `partition-${partition}`, primary_node: this.id(row.primary), replica_nodes: row.replicas.map((n) => this.id(n)), epoch: row.epoch, state: row.state, version: this.version,
      primary_address: http(row.primary), replica_addresses: row.replicas.map(http), primary_services: this.members[row.primary - 1]?.services ?? {},
    };
  }

  plan() {
    const moves = this.rows.slice(0, 40).map((row, p) => ({
      partition: `partition-${p}`, copy_to: [this.id((row.primary % this.members.length) + 1)], drop_from: [this.id(row.replicas[0])], old_primary: this.id(row.primary), new_primary: p % 4 === 0 ? this.id(row.replicas[0]) : this.id(row.primary),
      round: 1 + (p % 5), why: ["node-4: takes its share"],
    }));
    return {
      id: "plan-1", node: "node-1", status: "preview", incarnation: this.incarnation, base: this.version, trigger: "manual", partitions_changed: 40, copies_moved: 48, primaries_changed: 10, lower_bound: 48, optimal: true, gap: 0, degraded: false,
      rounds: 12, rounds_bound: "node-4 receives 48 copies", transfers_per_node: 4, partitions_lost: [], moves, moves_left_out: 0,
    };
  }

  /** The answer to a look or an operation, as status and body. */
  answer(method, path, query, headers) {
    const stamp = { incarnation: this.incarnation, version: this.version };
    const changing = method !== "GET";
    if (changing && this.token !== "" && headers.authorization !== `Bearer ${this.token}`) {
      return [401, { status: 401, code: "unauthorized", title: "A token is required", detail: "this path needs the role operate; send `Authorization: Bearer <token>`" }];
    }
    const table = {
      "GET /v1/partitions/stats": () => this.stats(),
      "GET /v1/nodes": () => ({ nodes: this.nodes(), has_more: false }),
      "GET /v1/transfers": () => ({ transfers: this.transfers, count: this.transfers.length, braked: false, ...stamp, ...(this.transfers.length > 0 ? { plan: { trigger: "drain", actor: "operator", total: 123, done: this.done ?? 47, paused: false, started_at_ms: NOW - 60_000 } } : {}) }),
      "GET /v1/consensus/leader": () => ({ leader_id: "node-1", leader_name: "node-1", leader_ip: "", term: 3, elected_at: new Date(NOW - 4_000_000).toISOString() }),
      "GET /v1/health/detailed": () => ({ healthy: true, node_id: "node-1", is_leader: true, raft_state: "Leader", uptime: "1s", reasons: [], software: "clusterkit 0.1.0", handler: [] }),
      "GET /v1/config": () => ({ config: { cluster_name: "demo", partition_count: this.rows.length, replication_factor: this.factor, spread: 1, hash: "xxh3", mode: "fenced", profile: "lan", min_in_sync: 2, lease_ms: 2000, rho_ppm: 50_000, max_transfers_per_node: 4, auto_rebalance: true } }),
      "GET /v1/owned": () => ({ owned: [], lease_remaining_ms: 1500 + (Date.now() % 400), node: "node-1", session: 101, ...stamp }),
      "GET /v1/history": () => {
        const from = Number(query.get("from") ?? 0);
        return { entries: this.history.filter((entry) => entry.version >= from), count: 0, has_more: false, oldest: 5, ...stamp };
      },
      "GET /v1/partitions/key": () => this.route(query.get("key") ?? ""),
      "POST /v1/plans": () => this.plan(),
    };
    const known = table[`${method} ${path}`];
    if (known) return [200, known()];
    if (path === "/v1/table") {
      const at = query.get("at");
      if (at === null) return [200, this.table()];
      const body = this.past.get(Number(at));
      return body ? [200, JSON.parse(body)] : [410, { status: 410, code: "compacted", title: "", detail: `version ${at} is not kept any more` }];
    }
    const explained = path.match(/^\/v1\/explain\/(\d+)$/);
    if (explained) {
      const row = this.rows[Number(explained[1])];
      const all = [row.primary, ...row.replicas].filter(Boolean);
      return [200, { id: `partition-${explained[1]}`, state: row.state, epoch: row.epoch, reasons: row.state === "stable" ? [] : ["node-42 has no session, so its copy is not counted"], copies: all.map((n, at) => ({ node: this.id(n), role: at ? "replica" : "primary", in_sync: true, unproven: false, status: "active" })), last_known: false }];
    }
    const deed = path.match(/^\/v1\/nodes\/([^/]+)\/(drain|cordon|uncordon)$/);
    if (deed) {
      const member = this.members.find((one) => one.id === deed[1]);
      this.change([], [{ ...member, status: { drain: "draining", cordon: "cordoned", uncordon: "active" }[deed[2]] }]);
      return [200, {}];
    }
    if (path.endsWith("/may-stop")) return [200, { allowed: true, reasons: [] }];
    if (path.endsWith("/apply")) return headers["if-match"] === `"${this.incarnation}.${this.version}"` ? [202, { ...this.plan(), status: "under-way" }] : [412, { status: 412, code: "precondition-failed", title: "", detail: "the plan was made for another version; look at it again" }];
    return [404, { status: 404, code: "not-found", title: "", detail: `there is no path ${path}` }];
  }

  async #file(path, reply) {
    const names = { "/ui": ["index.html", "text/html"], "/ui/app.js": ["app.js", "text/javascript"], "/ui/app.css": ["app.css", "text/css"], "/ui/icon.svg": ["icon.svg", "image/svg+xml"] };
    const [name, kind] = names[path] ?? [];
    if (!name) return false;
    reply.writeHead(200, { "content-type": `${kind}; charset=utf-8`, "content-security-policy": this.policy });
    reply.end(await readFile(assets + name));
    return true;
  }

  async handle(request, reply) {
    const { pathname, searchParams } = new URL(request.url, "http://fixture");
    if (await this.#file(pathname, reply)) return;
    if (pathname === "/v1/watch") {
      reply.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
      reply.write(": \n\n");
      this.streams.add(reply);
      request.on("close", () => this.streams.delete(reply));
      const from = Number(searchParams.get("from") ?? -1);
      if (from !== this.version) reply.write(`event: table\nid: ${this.incarnation}.${this.version}\ndata: ${JSON.stringify(this.table())}\n\n`);
      return;
    }
    const [status, body] = this.answer(request.method, pathname, searchParams, request.headers);
    reply.writeHead(status, { "content-type": status < 400 ? "application/json" : "application/problem+json", "cache-control": "no-cache" });
    reply.end(JSON.stringify(body));
  }

  async start(port = 0) {
    this.policy ??= await policy();
    this.server = createServer((request, reply) => void this.handle(request, reply));
    await new Promise((done) => this.server.listen(port, "127.0.0.1", done));
    this.port = this.server.address().port;
    this.heartbeat = setInterval(() => this.send("heartbeat", { version: this.version }), 1000);
    return `http://127.0.0.1:${this.port}`;
  }

  /** Ends every connection at once, as a crash does. */
  async stop() {
    clearInterval(this.heartbeat);
    if (!this.server.listening) return;
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    await closed;
  }
}
