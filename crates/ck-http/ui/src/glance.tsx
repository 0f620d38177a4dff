// The cluster at a glance: one sentence, and the figures it rests on.
import { useEffect, useRef } from "preact/hooks";
import type { Balance, Stats } from "./api";
import { Icon } from "./bits";
import { count, list, moment, permille, plural, span } from "./format";
import { UP } from "./nodes";
import type { Model } from "./store";

type Tone = "ok" | "info" | "warn" | "bad";

/** What is most pressing, as a sentence. */
export function verdict(model: Model): { tone: Tone; text: string; more: string } {
  const { stats, nodes, leader, transfers } = model;
  const total = stats?.total_partitions ?? 0;
  const away = nodes.filter((node) => !UP.includes(node.status)).map((node) => node.id);
  const gone = away.length > 0 ? `${list(away)} ${away.length === 1 ? "is" : "are"} not up` : "";
  if (leader && leader.leader_id === "") {
    return { tone: "bad", text: "No leader is known.", more: "Nothing can change until a majority of the voters hears of each other." };
  }
  if (!stats || total === 0) {
    return { tone: "info", text: "There are no partitions yet.", more: "They are created once as many nodes have joined as there are copies." };
  }
  if (stats.unavailable > 0) {
    const what = stats.unavailable === total ? "No partition is served." : `${plural(stats.unavailable, "partition")} of ${count(total)} ${stats.unavailable === 1 ? "is" : "are"} served by nobody.`;
    return { tone: "bad", text: what, more: gone && `${gone}.` };
  }
  const served = `All ${count(total)} partitions are served`;
  if (away.length > 0) return { tone: "warn", text: `${served}, and ${gone}.`, more: short(stats) };
  if (stats.under_replicated > 0 || stats.spread_violations > 0) return { tone: "warn", text: `${served}.`, more: short(stats) };
  if (transfers?.braked) return { tone: "warn", text: `${served}.`, more: "The brake is on: nothing is moved." };
  if (stats.in_flight > 0 || (transfers?.plan && !transfers.plan.paused)) {
    return { tone: "info", text: `${served}.`, more: `${plural(stats.in_flight, "partition")} ${stats.in_flight === 1 ? "is" : "are"} moving.` };
  }
  if (transfers?.plan?.paused) return { tone: "info", text: `${served}.`, more: "A plan is paused." };
  return { tone: "ok", text: `${served}, every node is up, nothing moves.`, more: "" };
}

function short(stats: Stats): string {
  const said = [];
  if (stats.under_replicated > 0) said.push(`${plural(stats.under_replicated, "partition")} with too few copies`);
  if (stats.spread_violations > 0) said.push(`${plural(stats.spread_violations, "partition")} in too few domains`);
  return said.length > 0 ? `${said.join(", ")}.` : "";
}

export function Glance({ model }: { model: Model }) {
  const { tone, text, more } = verdict(model);
  const { stats, leader, detailed } = model;
  const up = model.nodes.filter((node) => UP.includes(node.status)).length;
  const total = stats?.total_partitions ?? 0;
  const served = total - (stats?.unavailable ?? 0);
  const reasons = detailed && !detailed.healthy ? detailed.reasons : [];
  return (
    <section class="glance" aria-label="At a glance">
      <p class={`verdict is-${tone}`}>
        <Icon name={tone} label={tone} />
        <span>
          <b>{text}</b> {more}
        </span>
      </p>
      {reasons.length > 0 && <p class="faint">{detailed?.node_id} says it is not ready: {reasons.join("; ")}.</p>}
      <div class="figures">
        <Figure label="Served" state={served < total ? "bad" : ""}>
          <b data-figure="served">{count(served)}</b>
          <i> / {count(total)}</i>
        </Figure>
        <Figure label="Nodes up" state={up < model.nodes.length ? "warn" : ""}>
          <b>{count(up)}</b>
          <i> / {count(model.nodes.length)}</i>
        </Figure>
        <Figure label="Moving">
          <b data-figure="in-flight">{count(stats?.in_flight ?? 0)}</b>
        </Figure>
        <Figure label="Too few copies" state={(stats?.under_replicated ?? 0) > 0 ? "warn" : ""}>
          <b data-figure="under-replicated">{count(stats?.under_replicated ?? 0)}</b>
        </Figure>
        {stats && <Even label="Copies a node" balance={stats.copies} name="copies" />}
        {stats && <Even label="Primaries a node" balance={stats.primaries} name="primaries" />}
        <Figure label="Leader" note={leader && leader.leader_id !== "" ? `term ${leader.term}, since ${moment(Date.parse(leader.elected_at))}` : ""}>
          <b data-figure="leader">{leader?.leader_id || "none"}</b>
        </Figure>
        <Lease model={model} />
      </div>
    </section>
  );
}

interface FigureProps {
  label: string;
  note?: string;
  state?: string;
  children: preact.ComponentChildren;
}

function Figure({ label, note, state, children }: FigureProps) {
  return (
    <div class={`figure${state ? ` is-${state}` : ""}`}>
      <span class="label">{label}</span>
      <span class="value">{children}</span>
      {note && <span class="note">{note}</span>}
    </div>
  );
}

/** How even a count is over the nodes, against the best there can be: 1.000 of the share and none off it. */
function Even({ label, balance, name }: { label: string; balance: Balance; name: string }) {
  const even = balance.off_share === 0;
  return (
    <div class={`figure${even ? "" : " is-off"}`}>
      <span class="label">{label}</span>
      <span class="value">
        <b>
          <span data-figure={`${name}-min`}>{count(balance.min)}</span>–<span data-figure={`${name}-max`}>{count(balance.max)}</span>
        </b>
      </span>
      <span class="note">
        fullest at <span data-figure={`${name}-ratio`}>{permille(balance.max_over_share_permille)}</span>,{" "}
        {even ? "optimal" : <span data-figure={`${name}-off`}>{count(balance.off_share)} off</span>}
      </span>
    </div>
  );
}

/** The lease of the node that serves this page, running down until it is renewed. */
function Lease({ model }: { model: Model }) {
  const bar = useRef<HTMLElement>(null);
  const { owned, config } = model;
  const whole = config ? config.lease_ms * (1 - config.rho_ppm / 1e6) : 0;
  const left = owned ? Math.max(0, owned.lease_remaining_ms - (performance.now() - model.ownedAt)) : 0;
  useEffect(() => {
    const element = bar.current;
    if (!element || whole === 0) return;
    element.style.transition = "none";
    element.style.width = `${Math.min(100, (100 * left) / whole)}%`;
    void element.offsetWidth;
    element.style.transition = `width ${Math.round(left)}ms linear`;
    element.style.width = "0";
  }, [owned, whole]);
  const node = owned?.node ?? model.detailed?.node_id ?? "";
  const none = model.link === "lost" ? "unknown" : model.config?.mode === "advisory" ? "none in this mode" : "none";
  return (
    <div class={`figure${owned?.lease_remaining_ms === 0 ? " is-warn" : ""}`}>
      <span class="label">Lease of {node || "this node"}</span>
      <span class="value">{owned && owned.lease_remaining_ms > 0 && model.link === "live" ? <b>{span(owned.lease_remaining_ms)}</b> : <b>{none}</b>}</span>
      <span class="lease-bar" aria-hidden="true">
        <i ref={bar} />
      </span>
    </div>
  );
}
