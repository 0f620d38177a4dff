// Takes the pictures of the README: a cluster of five nodes while one of them is drained.
import { fileURLToPath } from "node:url";
import { launch, open } from "./browser.mjs";
import { Fixture } from "./fixture.mjs";

const images = fileURLToPath(new URL("../../../../docs/images/", import.meta.url));
const fixture = new Fixture({ nodes: 5, partitions: 256 });
fixture.members.forEach((member, at) => {
  member.domain = ["eu-1a", "eu-1a", "eu-1b", "eu-1b", "eu-1c"][at];
});
fixture.members[3].status = "draining";
// Nearly everything is on the four others by now.
fixture.rows.forEach((row, p) => {
  [row.primary, ...row.replicas] = [[1, 3, 5], [2, 5, 3], [3, 1, 2], [5, 2, 1]][p % 4];
  row.epoch = 1 + (p % 3);
});
const stages = ["catch-up", "catch-up", "release", "catch-up"];
[19, 58, 83, 134].forEach((partition, at) => {
  const row = fixture.rows[partition];
  const to = row.primary;
  row.primary = 4;
  row.state = "moving";
  fixture.transfers.push({
    id: partition, stage: stages[at], from: "node-4", to: `node-${to}`, partition: `partition-${partition}`, handoff: true, waits_for: at === 2 ? "release" : "copy", reason: "drain",
    done: [812, 440, 0, 96][at], total: at === 2 ? 0 : 1024, attempt: 1, paused: false, opened_at_ms: Date.now() - 900 * (5 - at), stage_at_ms: Date.now() - 400,
  });
});
const story = [
  ["transfer-open", "controller", "partition-134: the copy and the primary role, node-4 to node-3"], ["transfer-commit", "controller", "partition-19: node-5 acts, node-4 did: drain"],
  ["transfer-open", "controller", "partition-83: the copy and the primary role, node-4 to node-5"], ["rebalance-begin", "controller", "drain: 123 partitions to change"],
  ["update", "operator", "node-4 changed"], ["register", "node-2", "node-2 came back and was granted 51 partitions"], ["expire", "controller", "node-2 is down: expired; 51 partitions changed: failover"],
  ["rebalance-finish", "controller", "join: rebalance-finish"], ["register", "node-5", "node-5 joined as member 5"], ["configure", "operator", "max_transfers_per_node"],
];
fixture.history = fixture.history.slice(-story.length).map((entry, at) => {
  const [kind, actor, summary] = story[story.length - 1 - at];
  return { ...entry, kind, actor, summary, at_ms: Date.now() - (story.length - at) ** 3 * 700 };
});
fixture.done = 119;
const origin = await fixture.start();
const browser = await launch();
for (const scheme of ["light", "dark"]) {
  const view = await open(browser, origin, { scheme, width: 1280, height: 860 });
  await view.page.locator(".move").first().waitFor();
  await view.page.locator(".lease-bar i").waitFor();
  await view.page.screenshot({ path: `${images}dashboard-${scheme}.png` });
  view.clean();
  await view.close();
}
await browser.close();
await fixture.stop();
