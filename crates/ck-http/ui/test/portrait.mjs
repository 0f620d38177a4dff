// Takes the pictures of the README: a cluster of five nodes while one of them is drained.
import { fileURLToPath } from "node:url";
import { launch, open } from "./browser.mjs";
import { Fixture } from "./fixture.mjs";

const images = fileURLToPath(new URL("../../../../docs/images/", import.meta.url));
const fixture = new Fixture({ nodes: 5, partitions: 256, domains: 0 });
fixture.members.forEach((member, at) => {
  member.domain = ["eu-1a", "eu-1a", "eu-1b", "eu-1b", "eu-1c"][at];
});
// Two copies are in the domains of nodes 3 to 5, as a plan would have put them.
fixture.rows.forEach((row, p) => {
  const copies = [[1, 3, 5], [2, 4, 5], [3, 2, 5], [4, 1, 3], [5, 4, 2]][p % 5];
  [row.primary, ...row.replicas] = copies;
});
fixture.members[3].status = "draining";
const stages = ["catch-up", "catch-up", "release", "catch-up"];
[3, 28, 58, 81].forEach((partition, at) => {
  fixture.rows[partition].state = "moving";
  fixture.transfers.push({
    id: partition, stage: stages[at], from: "node-4", to: `node-${[3, 1, 3, 2][at]}`, partition: `partition-${partition}`, handoff: at !== 3, waits_for: at === 2 ? "release" : "copy",
    reason: "drain", done: [812, 440, 0, 96][at], total: at === 2 ? 0 : 1024, attempt: 1, paused: false, opened_at_ms: Date.now() - 900 * (5 - at), stage_at_ms: Date.now() - 400,
  });
});
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
