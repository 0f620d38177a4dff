// A real cluster: `ck dev`, and nodes that join it.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { until } from "./browser.mjs";

const CK = process.env.CK;
const TOKEN = "a-token-of-this-test";

async function isFree(port) {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
}

/** A port whose next ones are free as well, with the peers' 2,000 above. */
async function base(count) {
  for (let tries = 0; tries < 100; tries += 1) {
    const from = 20_000 + Math.floor(Math.random() * 10_000);
    const ports = Array.from({ length: count }, (_, n) => [from + n, from + n + 2000]).flat();
    const free = await Promise.all(ports.map(isFree));
    if (free.every(Boolean)) return from;
  }
  throw new Error("no free ports");
}

export class Cluster {
  static async start({ nodes, partitions }) {
    const cluster = new Cluster();
    cluster.directory = await mkdtemp(join(tmpdir(), "ck-dashboard-"));
    cluster.token = TOKEN;
    cluster.tokenFile = join(cluster.directory, "token");
    await writeFile(cluster.tokenFile, `${TOKEN}\n`, { mode: 0o600 });
    cluster.base = await base(nodes + 1);
    cluster.processes = [];
    const dev = cluster.#run(["dev", "--json", "--nodes", `${nodes}`, "--partitions", `${partitions}`, "--http-base", `${cluster.base}`, "--keep", join(cluster.directory, "data"), "--token-file", cluster.tokenFile]);
    let printed = "";
    cluster.ready = await new Promise((done, fail) => {
      createInterface({ input: dev.stdout }).on("line", (line) => {
        printed += line;
        try {
          done(JSON.parse(printed));
          printed = "";
        } catch {
          // More lines belong to it.
        }
      });
      dev.once("exit", (code) => fail(new Error(`ck dev ended with ${code}: ${dev.said}`)));
    });
    cluster.origin = `http://127.0.0.1:${cluster.base}`;
    return cluster;
  }

  #run(args) {
    const child = spawn(CK, args, { stdio: ["ignore", "pipe", "pipe"] });
    child.said = "";
    child.stderr.on("data", (bytes) => {
      child.said = (child.said + bytes).slice(-4000);
    });
    this.processes.push(child);
    return child;
  }

  /** Starts a node that was killed, over its data. */
  restart(id) {
    const at = this.ready.nodes.findIndex((node) => node.id === id);
    return this.join(id, at, this.ready.nodes[at].data);
  }

  /** One more node. */
  join(id, at, data = join(this.directory, id)) {
    const http = `127.0.0.1:${this.base + at}`;
    const child = this.#run(["serve", "--id", id, "--http", http, "--join", `127.0.0.1:${this.base}`, "--data", data, "--token-file", this.tokenFile]);
    child.stdout.resume();
    return child;
  }

  async get(path) {
    const reply = await fetch(this.origin + path);
    return reply.json();
  }

  async send(method, path, body) {
    const headers = { authorization: `Bearer ${this.token}`, "content-type": "application/json" };
    const reply = await fetch(this.origin + path, { method, headers, body: JSON.stringify(body) });
    if (!reply.ok) throw new Error(`${method} ${path}: ${await reply.text()}`);
    return reply.json();
  }

  kill(id) {
    const node = this.ready.nodes.find((one) => one.id === id);
    process.kill(node.pid, "SIGKILL");
  }

  async stop() {
    for (const child of this.processes.reverse()) {
      child.kill("SIGTERM");
      await until("the end of a process", () => child.exitCode ?? child.signalCode, (code) => code !== null, 15_000).catch(() => child.kill("SIGKILL"));
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}
