// What the page draws and lists, beside what its node answers.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { figure, launch, open, until } from "./browser.mjs";
import { Fixture } from "./fixture.mjs";

let browser;
let fixture;
let view;
before(async () => {
  browser = await launch();
  fixture = new Fixture({ nodes: 7, partitions: 256, domains: 3, busy: true });
  view = await open(browser, await fixture.start());
});
after(async () => {
  await browser?.close();
  await fixture?.stop();
});

const text = (value) => value.toLocaleString("en-US");
const share = (permille) => (permille / 1000).toFixed(1).replace(/\.0$/, "");
const sum = (all) => all.reduce((total, one) => total + one, 0);
const equal = (wanted) => (shown) => JSON.stringify(shown) === JSON.stringify(wanted);
const near = (shown, wanted) => Math.abs(Number.parseFloat(shown) - wanted) < 0.01;

test("nodes stand in their failure domains, each with its load against its share", async () => {
  const { page } = view;
  const stats = fixture.stats();
  const lines = fixture.members.map(({ id, domain, status }) => {
    const primaries = stats.partitions_per_node[id];
    return { id, domain, status, primaries, copies: primaries + stats.replicas_per_node[id], ...stats.shares[id] };
  });
  const heads = [...new Set(lines.map((line) => line.domain))].sort().map((domain) => {
    const group = lines.filter((line) => line.domain === domain);
    const away = group.filter((line) => line.status === "down").length;
    return [
      domain, `${group.length} nodes${away > 0 ? `, ${away} not up` : ""}`, `${text(sum(group.map((line) => line.copies)))} / ${share(sum(group.map((line) => line.copies_permille)))}`, text(sum(group.map((line) => line.primaries))),
      ...group.map((line) => line.id),
    ];
  });
  const groups = () => page.locator(".node-group").evaluateAll((all) => all.map((group) => [...group.querySelectorAll(".domain-head > *, [data-node] .name")].map((one) => one.textContent)));
  await until("the domains", groups, equal(heads), 5_000);
  const most = Math.max(...lines.map((line) => Math.max(line.copies, line.copies_permille / 1000)));
  for (const line of lines) {
    const shown = await page.locator(`[data-node="${line.id}"]`).evaluate((row) => ({
      shares: [...row.querySelectorAll(".number > i")].map((one) => one.textContent),
      off: [...row.querySelectorAll(".node-row > .number")].map((one) => one.classList.contains("is-off")),
      mark: row.querySelector(".share")?.style.left ?? null,
      load: [...row.querySelectorAll(".load .primaries, .load .replicas")].map((one) => one.style.width),
    }));
    const due = [line.copies_permille, line.primaries_permille];
    assert.deepEqual(shown.shares, due.map((one) => ` / ${share(one)}`), line.id);
    assert.deepEqual(shown.off, [line.copies, line.primaries].map((held, at) => held < Math.floor(due[at] / 1000) || held > Math.ceil(due[at] / 1000)), line.id);
    if (line.status === "down") assert.equal(shown.mark, null, `${line.id} has no share`);
    else assert.ok(near(shown.mark, line.copies_permille / 10 / most), `the share of ${line.id}: ${shown.mark}`);
    assert.ok(near(shown.load[0], (100 * line.primaries) / most) && near(shown.load[1], (100 * (line.copies - line.primaries)) / most), `the load of ${line.id}: ${shown.load}`);
  }
});

test("moves under way tell their stage and how far they are, and the plan how much is done", async () => {
  const { page } = view;
  const waits = { copy: "being copied", release: "waits for the old primary to let go" };
  const told = () => fixture.transfers.map((one) => [one.partition, one.stage, one.total > 0 ? `${text(one.done)} of ${text(one.total)}` : waits[one.waits_for], one.total > 0 ? Math.round((100 * one.done) / one.total) : null]);
  const moves = () => page.locator(".move").evaluateAll((all) => all.map((move) => {
    const bar = move.querySelector(".stages .is-now b");
    return [move.querySelector(".move-what b"), ...move.querySelectorAll(".move-how > :not(.number)")].map((one) => one.textContent).concat(bar ? [Math.round(Number.parseFloat(bar.style.width))] : [null]);
  }));
  assert.ok(fixture.transfers.some((one) => one.total > 0) && fixture.transfers.some((one) => one.total === 0), "moves of both kinds");
  const plan = async () => [await figure(page, "plan-done"), await figure(page, "plan-total"), await page.getByRole("progressbar", { name: "Plan" }).getAttribute("aria-valuenow")];
  await until("the moves", moves, equal(told()), 5_000);
  await until("the plan", plan, equal(["47", "123", "47"]), 5_000);
  fixture.transfers.find((one) => one.total > 0).done = 987;
  fixture.done = 61;
  fixture.change([]);
  await until("the moves, later", moves, equal(told()), 5_000);
  await until("the plan, later", plan, equal(["61", "123", "61"]), 5_000);
  await page.getByRole("button", { name: "Preview a plan…" }).click();
  const made = fixture.plan();
  const cost = () => Promise.all(["plan-copies", "plan-primaries", "plan-rounds"].map((name) => figure(page, name)));
  await until("the cost", cost, equal([made.copies_moved, made.primaries_changed, made.rounds].map(text)), 5_000);
  const first = await page.locator(".plan-moves tbody tr").first().locator("td").allInnerTexts();
  const [move] = made.moves;
  assert.deepEqual(first, [move.partition, move.copy_to[0], move.drop_from[0], `${move.old_primary} → ${move.new_primary}`, text(move.round), move.why[0]]);
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
});

test("events tell what happened, of what kind, and by whom, newest first", async () => {
  const told = fixture.history.map((entry) => `${entry.summary} ${entry.kind} by ${entry.actor}`).reverse();
  await until("the events", () => view.page.locator(".events .what").allTextContents(), equal(told), 5_000);
});

test("the lease runs down", async () => {
  const { page } = view;
  assert.match(await page.locator(".figure", { has: page.locator(".lease-bar") }).innerText(), /Lease of node-1\s+1\.[5-9] s/);
  // Falls from one frame to the next, which a renewal in between begins anew.
  const widths = await page.locator(".lease-bar i").evaluate((bar) => new Promise((done, fail) => {
    const seen = [];
    const end = performance.now() + 5_000;
    const look = () => {
      const part = bar.getBoundingClientRect().width / bar.parentElement.getBoundingClientRect().width;
      if (seen.length > 0 && part >= seen.at(-1)) seen.length = 0;
      seen.push(part);
      if (seen.length === 8) done(seen);
      else if (performance.now() > end) fail(new Error(`it stays at ${part}`));
      else requestAnimationFrame(look);
    };
    look();
  }));
  assert.ok(widths[0] <= 1 && widths.at(-1) > 0, widths.join());
});

const rgb = (colour) => (colour.startsWith("#") ? colour.match(/[0-9a-f]{2}/gi).map((part) => Number.parseInt(part, 16)) : colour.match(/\d+/g).slice(0, 3).map(Number));
const over = (colour, ground, part) => colour.map((value, at) => Math.round(value * part + ground[at] * (1 - part)));

test("cells are painted by state and by owner", async () => {
  const { page } = view;
  const row = (partition, state, primary) => ({ partition, epoch: 9, state, primary, replicas: [4, 5] });
  fixture.change([row(0, "stable", 1), row(1, "stable", 2), row(2, "unavailable", null), row(3, "degraded", 1), row(4, "moving", 2)]);
  const ink = await page.evaluate(() => {
    const style = getComputedStyle(document.documentElement);
    return Object.fromEntries(["surface", "muted", "bad", "warn", "accent"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  });
  const [surface, muted, bad, warn, accent] = Object.values(ink).map(rgb);
  // Cells of 22 pixels and a gap of 2: where a cell of each state shows its ink, and the inside of a frame.
  const places = [[11, 2], [24 + 11, 2], [48 + 11, 2], [72 + 1, 11], [72 + 11, 11], [96 + 3, 18]];
  const pixels = () => page.locator("canvas.cells").evaluate((canvas, at) => {
    const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    pen.drawImage(canvas, 0, 0);
    return at.map(([x, y]) => [...pen.getImageData(x, y, 1, 1).data]);
  }, places);
  const opaque = (colour) => [...colour, 255];
  const none = [0, 0, 0, 0];
  const choose = (name) => page.getByRole("radiogroup", { name: "Colour of partitions" }).getByText(name, { exact: true }).click();
  const rest = over(over(muted, surface, 0.45), surface, 0.66);
  await choose("State");
  await until("the states", pixels, equal([opaque(rest), opaque(rest), opaque(bad), opaque(warn), none, opaque(accent)]), 5_000);
  await choose("Primary");
  const [one, two] = await Promise.all(["node-1", "node-2"].map(async (id) => rgb(await page.locator(`[data-node="${id}"] .swatch`).evaluate((swatch) => getComputedStyle(swatch).backgroundColor))));
  assert.notDeepEqual(one, two);
  await until("the owners", pixels, equal([opaque(over(one, surface, 0.66)), opaque(over(two, surface, 0.66)), opaque(bad), opaque(one), none, opaque(two)]), 5_000);
});

test("nothing went wrong in the browser, and it asked nobody else", () => {
  view.clean();
});
