// What the page does with whatever a node answers: sizes, themes, keys, breaks, the past.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { figure, launch, open, until } from "./browser.mjs";
import { Fixture } from "./fixture.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A page of a server that answers as told; both are gone after the test, however it ends. */
async function served(t, options, look = {}) {
  const fixture = new Fixture(options);
  const origin = await fixture.start();
  t.after(() => fixture.stop());
  const view = await open(browser, origin, look);
  t.after(() => view.close());
  return { fixture, origin, ...view };
}

/** What axe finds wrong with the page as it is. */
async function faults(page) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} (${node.any.map((any) => any.message).join()})`).slice(0, 3).join(", ")}`);
}

for (const [name, options] of [
  ["3 nodes with 16 partitions", { nodes: 3, partitions: 16 }],
  ["100 nodes with 4,096 partitions, some in every state", { nodes: 100, partitions: 4096, domains: 5, busy: true }],
]) {
  test(`${name} fit at 1280 and at 400 pixels, dark and light`, async (t) => {
    const view = await served(t, options);
    const { page, fixture } = view;
    for (const scheme of ["light", "dark"]) {
      for (const width of [1280, 400]) {
        await page.emulateMedia({ colorScheme: scheme });
        await page.setViewportSize({ width, height: 900 });
        await page.waitForFunction((wanted) => document.documentElement.dataset.theme === wanted, scheme);
        // What is painted follows a frame after the window.
        const fits = () => page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
        await until(`fits ${width} pixels, ${scheme}`, fits, ([wide, shown]) => shown === width && wide <= shown, 5_000);
        assert.deepEqual(await faults(page), [], `${width} pixels, ${scheme}`);
      }
    }
    const states = {};
    for (const row of fixture.rows) states[row.state] = (states[row.state] ?? 0) + 1;
    for (const state of ["stable", "moving", "degraded", "unavailable"]) {
      assert.equal(await figure(page, `state-${state}`), (states[state] ?? 0).toLocaleString("en-US"));
    }
    view.clean();
    });
}

test("nothing is too faint, nameless or out of place for those who see or hear it otherwise", async (t) => {
  const view = await served(t, { nodes: 7, partitions: 256, domains: 3, busy: true });
  const { page } = view;
  const check = async (what) => assert.deepEqual(await faults(page), [], what);
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.waitForFunction((wanted) => document.documentElement.dataset.theme === wanted, scheme);
    await check(`the page, ${scheme}`);
    await page.locator('[data-node="node-2"] .node-row').click();
    await page.locator("canvas[role=application]").click({ position: { x: 4, y: 4 } });
    await page.waitForSelector(".why-not");
    await page.getByLabel("Key to look up").fill("user:1001");
    await page.waitForSelector(".route li");
    await check(`with what can be opened, ${scheme}`);
    await page.setViewportSize({ width: 400, height: 900 });
    await until("the narrow page", () => page.evaluate(() => document.documentElement.clientWidth), (wide) => wide <= 400);
    await check(`with what can be opened, ${scheme}, 400 pixels`);
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.getByLabel("Key to look up").fill("");
    await page.getByRole("button", { name: "Preview a plan…" }).click();
    await page.waitForSelector(".plan-moves td");
    await check(`a plan, ${scheme}`);
    await page.keyboard.press("Escape");
    await page.locator('[data-node="node-2"] .node-row').click();
    await page.locator("canvas[role=application]").click({ position: { x: 4, y: 4 } });
  }
  view.clean();
});

test("a change that is pushed is shown without being asked for", async (t) => {
  const view = await served(t, { nodes: 3, partitions: 16 });
  view.fixture.change([{ partition: 3, epoch: 9, state: "unavailable", primary: null, replicas: [1, 2, 3] }]);
  await until("the version", () => figure(view.page, "version"), (text) => text === "32");
  await until("the figure", () => figure(view.page, "served"), (text) => text === "15");
  assert.match(await view.page.locator(".verdict").innerText(), /1 partition of 16 is served by nobody/);
  assert.match(await view.page.title(), /^! /);
  view.clean();
});

test("a page that is cut off says so and how old it is, and recovers by itself", async (t) => {
  const view = await served(t, { nodes: 3, partitions: 16 });
  const { page, fixture } = view;
  await fixture.stop();
  await page.waitForSelector(".banner.is-bad");
  assert.match(await page.locator(".banner.is-bad").innerText(), /cut off from node-1.*version 31, [\d.]+ s old/s);
  assert.match(await page.locator(".fresh").innerText(), /cut off/);
  assert.match(await page.title(), /^✕ /);
  assert.equal(await page.locator(".elsewhere a").first().getAttribute("href"), "http://127.0.0.1:8081/ui");
  await fixture.start(fixture.port);
  await page.waitForSelector(".banner.is-bad", { state: "detached" });
  fixture.change([{ partition: 0, epoch: 7, state: "moving", primary: 2, replicas: [1, 3] }]);
  await until("the version", () => figure(page, "version"), (text) => text === "32");
  view.clean(/ERR_(CONNECTION|EMPTY|INCOMPLETE|SOCKET|NETWORK)/);
});

test("everything is reached by keys alone", async (t) => {
  const view = await served(t, { nodes: 3, partitions: 64 });
  const { page } = view;
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "");
  await page.keyboard.press("/");
  assert.equal(await focused(), "Key to look up");
  await page.keyboard.type("user:1001");
  await page.waitForSelector('[data-figure="route"]');
  const route = view.fixture.route("user:1001");
  const told = await page.locator('[data-figure="route"]').innerText();
  for (const word of [route.id, route.primary_node, route.primary_address, ...route.replica_nodes]) assert.ok(told.includes(word), `${word} in ${told}`);
  await page.keyboard.press("Enter");
  await page.waitForSelector(`.detail[aria-label="${route.id}"]`);
  await page.keyboard.press("Escape");
  await page.waitForSelector(".route", { state: "detached" });
  // Through the whole page, and back to its beginning: every stop can be seen.
  const stops = new Set();
  for (let press = 0; press < 60; press += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const at = document.activeElement;
      if (!at || at === document.body) return null;
      const style = getComputedStyle(at);
      const around = at.closest(".choice label") ?? at;
      return { what: at.getAttribute("aria-label") ?? at.textContent ?? at.tagName, outlined: style.outlineStyle !== "none" || getComputedStyle(around).outlineStyle !== "none" };
    });
    if (!stop) break;
    assert.ok(stop.outlined, `the focus on ${stop.what} cannot be seen`);
    stops.add(stop.what);
  }
  for (const part of ["partition grid", "Version of the table", "Preview a plan", "Events, newest first"]) {
    const found = [...stops].some((stop) => stop.includes(part) || (part === "partition grid" && stop.includes("arrow keys")));
    assert.ok(found, `${part} is not among ${[...stops].join(" | ")}`);
  }
  await page.locator("canvas[role=application]").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  assert.match(await page.locator("[aria-live=polite]").innerText(), /^partition-2, stable, primary node-/);
  await page.keyboard.press("Enter");
  await page.waitForSelector('.detail[aria-label="partition-2"]');
  await page.keyboard.press("Escape");
  await page.waitForSelector(".detail", { state: "detached" });
  await page.locator('[data-node="node-2"] .node-row').focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.waitForSelector('[data-node="node-2"] .node-more');
  view.clean();
});

test("a node is drained, cordoned and uncordoned only after it was confirmed, and with the token that was entered", async (t) => {
  const view = await served(t, { nodes: 3, partitions: 16, token: "s3cret" });
  const { page, fixture } = view;
  const status = () => fixture.members[1].status;
  await page.locator('[data-node="node-2"] .node-row').click();
  await page.getByRole("button", { name: "Drain…" }).click();
  // A key that is pressed before the dialog is there is not the dialog's.
  await page.waitForFunction(() => document.activeElement?.closest("dialog[open]"));
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  assert.equal(status(), "active", "nothing was asked for");
  await page.getByRole("button", { name: "Drain…" }).click();
  await page.getByRole("button", { name: "Drain the node" }).click();
  await page.getByLabel(/^Token of this cluster/).fill("s3cret");
  await page.getByRole("button", { name: "Use this token" }).click();
  await until("the drain", () => status(), (now) => now === "draining");
  await page.waitForSelector('[data-node="node-2"] .word.is-draining');
  await page.getByRole("button", { name: "Uncordon…" }).click();
  await page.getByRole("button", { name: "Leave it" }).click();
  await page.waitForSelector("dialog", { state: "detached" });
  assert.equal(status(), "draining", "nothing was asked for");
  await page.getByRole("button", { name: "Uncordon…" }).click();
  await page.getByRole("button", { name: "Uncordon the node" }).click();
  await page.waitForSelector('[data-node="node-2"] .word', { state: "detached" });
  assert.equal(status(), "active");
  await page.getByRole("button", { name: "Cordon…", exact: true }).click();
  await page.getByRole("button", { name: "Leave it" }).click();
  await page.waitForSelector("dialog", { state: "detached" });
  assert.equal(status(), "active", "nothing was asked for");
  await page.getByRole("button", { name: "Cordon…", exact: true }).click();
  await page.getByRole("button", { name: "Cordon the node" }).click();
  await page.waitForSelector('[data-node="node-2"] .word.is-cordoned');
  assert.equal(status(), "cordoned");
  const kept = await page.evaluate(() => [JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage }), document.cookie, document.documentElement.outerHTML]);
  assert.ok(!kept.join().includes("s3cret"), "the token is in memory alone");
  view.clean(/status of 401/);
});

test("a plan that is too old is refused in words, and can be made again", async (t) => {
  const view = await served(t, { nodes: 3, partitions: 64 });
  const { page, fixture } = view;
  await page.getByRole("button", { name: "Preview a plan…" }).click();
  await until("the cost", () => figure(page, "plan-copies"), (text) => text === "48");
  fixture.change([{ partition: 0, epoch: 7, state: "stable", primary: 2, replicas: [1, 3] }]);
  await page.getByRole("button", { name: /^Apply/ }).click();
  await page.getByText("made for another version").waitFor();
  await page.getByRole("button", { name: "Plan again" }).click();
  await page.getByRole("button", { name: /^Apply/ }).click();
  await page.waitForSelector("dialog", { state: "detached" });
  view.clean(/status of 412/);
});

test("the slider shows the table as it was, says so, and comes back", async (t) => {
  const view = await served(t, { nodes: 3, partitions: 16 });
  const { page, fixture } = view;
  const slider = page.getByLabel("Version of the table");
  await slider.focus();
  for (let press = 0; press < 6; press += 1) await page.keyboard.press("ArrowLeft");
  await page.waitForSelector(".banner.is-past");
  assert.match(await page.locator(".banner.is-past").innerText(), /as of version 25/);
  const was = JSON.parse(fixture.past.get(25));
  const primaries = was.rows.filter((row) => row.primary === 1).length;
  const told = page.locator('[data-node="node-1"] [data-figure="primaries"]');
  await until("the past", () => told.innerText(), (text) => text === String(primaries));
  await page.getByRole("button", { name: "Back to now" }).first().click();
  await page.waitForSelector(".banner.is-past", { state: "detached" });
  view.clean();
});

test("the theme follows the system until one is chosen, which is kept", async (t) => {
  const view = await served(t, { nodes: 3, partitions: 16 }, { scheme: "dark" });
  const { page } = view;
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  assert.equal(await theme(), "dark");
  await page.getByRole("button", { name: "Light theme" }).click();
  assert.equal(await theme(), "light");
  await page.reload();
  await page.waitForSelector('[data-figure="version"]');
  assert.equal(await theme(), "light");
  view.clean(/ERR_INCOMPLETE|ERR_ABORTED/);
});
