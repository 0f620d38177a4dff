// The page of a real node of a real cluster.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { figure, launch, open, until } from "./browser.mjs";
import { Cluster } from "./cluster.mjs";

let browser;
let cluster;
let view;
/** What had happened before the page was opened, newest first. */
let happened;
before(async () => {
  [browser, cluster] = await Promise.all([launch(), Cluster.start({ nodes: 3, partitions: 16 })]);
  happened = (await cluster.get("/v1/history?limit=200")).entries.reverse();
  view = await open(browser, cluster.origin);
});
after(async () => {
  await browser?.close();
  await cluster?.stop();
});

const text = (value) => value.toLocaleString("en-US");

/** Every figure of the page beside the API's, as pairs that are not equal. */
async function differences() {
  const { page } = view;
  const [stats, nodes, leader, list, transfers] = await Promise.all(["/v1/partitions/stats", "/v1/nodes", "/v1/consensus/leader", "/v1/partitions", "/v1/transfers"].map((path) => cluster.get(path)));
  const states = { stable: 0, moving: 0, degraded: 0, unavailable: 0 };
  for (const one of list.partitions) states[one.state] += 1;
  const up = nodes.nodes.filter((node) => !["down", "stopped"].includes(node.status)).length;
  const expected = {
    version: String(stats.version),
    partitions: text(stats.total_partitions),
    served: text(stats.total_partitions - stats.unavailable),
    "in-flight": text(stats.in_flight),
    "under-replicated": text(stats.under_replicated),
    "copies-min": text(stats.copies.min),
    "copies-max": text(stats.copies.max),
    "copies-ratio": (stats.copies.max_over_share_permille / 1000).toFixed(3),
    "primaries-min": text(stats.primaries.min),
    "primaries-max": text(stats.primaries.max),
    "primaries-ratio": (stats.primaries.max_over_share_permille / 1000).toFixed(3),
    leader: leader.leader_id,
    "nodes-up": text(up),
    nodes: text(nodes.total),
    transfers: text(transfers.count),
    ...Object.fromEntries(Object.entries(states).map(([state, count]) => [`state-${state}`, text(count)])),
  };
  const wrong = [];
  for (const [name, value] of Object.entries(expected)) {
    const shown = await figure(page, name);
    if (shown !== value) wrong.push(`${name}: shown ${shown}, is ${value}`);
  }
  for (const node of nodes.nodes) {
    const row = page.locator(`[data-node="${node.id}"]`);
    const primaries = stats.partitions_per_node[node.id];
    const held = { copies: primaries + stats.replicas_per_node[node.id], primaries };
    for (const [name, value] of Object.entries(held)) {
      const shown = await row.locator(`[data-figure="${name}"]`).innerText();
      if (shown !== text(value)) wrong.push(`${name} of ${node.id}: shown ${shown}, is ${value}`);
    }
    const { copies_permille, primaries_permille } = stats.shares[node.id];
    const due = [copies_permille, primaries_permille].map((one) => ` / ${(one / 1000).toFixed(1).replace(/\.0$/, "")}`).join();
    const shares = (await row.locator(".number > i").allTextContents()).join();
    if (shares !== due) wrong.push(`shares of ${node.id}: shown ${shares}, are ${due}`);
    const status = await row.locator("svg.status").getAttribute("aria-label");
    if (status !== node.status) wrong.push(`status of ${node.id}: shown ${status}, is ${node.status}`);
  }
  const again = await cluster.get("/v1/partitions/stats");
  return again.version === stats.version ? wrong : [`version ${stats.version} went by`];
}

const agrees = (when) => until(`the figures ${when}`, differences, (wrong) => wrong.length === 0);

async function row(id, name) {
  return Number((await view.page.locator(`[data-node="${id}"] [data-figure="${name}"]`).innerText()).replace(/,/g, ""));
}

test("events are the history's, with their reasons", async () => {
  // Of what came later the stream may have told in other words.
  const told = happened.slice(0, 10).map((entry) => [String(entry.version), `${entry.summary || entry.kind} ${entry.kind}${entry.actor && ` by ${entry.actor}`}`]);
  assert.ok(happened.some((entry) => entry.summary !== ""));
  const rows = () => view.page.locator(".events li").evaluateAll((all) => all.map((one) => [one.querySelector(".version").textContent, one.querySelector(".what").textContent]));
  const known = async () => (await rows()).filter(([version]) => Number(version) <= happened[0].version).slice(0, told.length);
  await until("the events", known, (shown) => JSON.stringify(shown) === JSON.stringify(told), 10_000);
});

test("every figure is the API's, before and after a kill -9, without a reload", async () => {
  const { page } = view;
  await agrees("at first");
  await page.evaluate(() => {
    window.unreloaded = true;
  });
  const others = cluster.ready.nodes.map((node) => node.id).filter((id) => id !== "node-1");
  const killed = others.at(-1);
  cluster.kill(killed);
  await until("the failover", () => page.locator(".verdict").innerText(), (said) => said.includes(`${killed} is not up`) && said.startsWith("All 16"));
  assert.equal(await row(killed, "primaries"), 0);
  await agrees("after the kill");
  assert.equal(await page.evaluate(() => window.unreloaded), true);
  assert.match(await page.locator(".events").innerText(), /expire/);
  cluster.restart(killed);
});

test("a key is looked up as the node routes it", async () => {
  const { page } = view;
  await page.getByLabel("Key to look up").fill("user:1001");
  const route = await cluster.get("/v1/partitions/key?key=user:1001");
  const told = () => page.locator('[data-figure="route"]').innerText();
  await until("the route", told, (said) => [route.id, route.primary_node, route.primary_address].every((word) => said.includes(word)));
  await page.getByLabel("Key to look up").fill("");
});

test("a plan is previewed with its cost, applied with a token, and followed to its end", async () => {
  const { page } = view;
  await until("the return of the killed node", () => cluster.get("/v1/nodes"), (list) => list.nodes.every((node) => node.status === "active"));
  await cluster.send("PATCH", "/v1/config", { auto_rebalance: false });
  cluster.join("node-4", 3);
  await until("the fourth node", () => figure(page, "nodes-up"), (up) => up === "4");
  assert.equal(await row("node-4", "copies"), 0);
  await page.getByRole("button", { name: "Preview a plan…" }).click();
  await page.getByLabel(/^Token of this cluster/).fill(cluster.token);
  await page.getByRole("button", { name: "Use this token" }).click();
  await until("the cost", () => figure(page, "plan-copies"), (copies) => copies === "12");
  assert.equal(await row("node-4", "copies"), 0, "a preview changes nothing");
  await page.getByRole("button", { name: /^Apply: move 12 copies/ }).click();
  await page.waitForSelector("dialog", { state: "detached" });
  await until("the end of the plan", () => row("node-4", "copies"), (copies) => copies === 12);
  await agrees("after the plan");
  await cluster.send("PATCH", "/v1/config", { auto_rebalance: true, settle_ms: 100 });
});

test("a node is cordoned, uncordoned and drained after it was confirmed", async () => {
  const { page } = view;
  const status = async () => (await cluster.get("/v1/nodes")).nodes.find((node) => node.id === "node-4").status;
  await page.locator('[data-node="node-4"] .node-row').click();
  await page.getByRole("button", { name: "Cordon…", exact: true }).click();
  assert.equal(await status(), "active", "nothing was asked for");
  await page.getByRole("button", { name: "Cordon the node" }).click();
  await page.waitForSelector('[data-node="node-4"] .word.is-cordoned');
  assert.equal(await status(), "cordoned");
  await page.getByRole("button", { name: "Uncordon…" }).click();
  assert.equal(await status(), "cordoned", "nothing was asked for");
  await page.getByRole("button", { name: "Uncordon the node" }).click();
  await page.waitForSelector('[data-node="node-4"] .word', { state: "detached" });
  assert.equal(await status(), "active");
  await page.getByRole("button", { name: "Drain…" }).click();
  await page.getByRole("button", { name: "Drain the node" }).click();
  await page.waitForSelector('[data-node="node-4"] .word.is-draining');
  await until("the drain", () => row("node-4", "copies"), (copies) => copies === 0);
  await agrees("after the drain");
});

test("older versions of the table are shown", async () => {
  const { page } = view;
  await page.getByLabel("Version of the table").focus();
  for (let press = 0; press < 3; press += 1) await page.keyboard.press("ArrowLeft");
  await page.waitForSelector(".banner.is-past");
  const said = await page.locator(".banner.is-past").innerText();
  const version = Number(said.match(/version (\d+)/)[1]);
  const was = await cluster.get(`/v1/table?at=${version}`);
  const four = was.members.find((member) => member.id === "node-4").member;
  const copies = was.rows.filter((one) => one.primary === four || one.replicas.includes(four)).length;
  await until("the past", () => row("node-4", "copies"), (shown) => shown === copies);
  await page.getByRole("button", { name: "Back to now" }).first().click();
  await agrees("of now");
});

test("nothing went wrong in the browser, and it asked nobody else", () => {
  // The preview was asked for before the token was entered.
  view.clean(/status of 401/);
});
