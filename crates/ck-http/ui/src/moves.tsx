// Moves under way, the plan they belong to, and a plan's preview before it is applied.
import { useEffect, useState } from "preact/hooks";
import { type Plan, Problem, type Transfer, type UnderWay, post, segment } from "./api";
import { Dialog, Icon, Panel, say, useTick } from "./bits";
import { count, list, moment, plural, span } from "./format";
import { ask } from "./live";
import { Refusal, useDeed } from "./operate";
import type { Model } from "./store";

const STAGES = ["prepare", "catch-up", "release", "commit", "activate", "clean-up"];

/** Moves that are listed; the rest is counted. */
const LISTED_MAX = 50;

const WAITS: Record<string, string> = {
  operator: "paused by an operator",
  copy: "being copied",
  "catch-up": "catching up",
  brake: "held by the brake",
  release: "waits for the old primary to let go",
  lease: "waits for a lease to run out",
  activation: "waits for the new primary",
  grace: "done; the old copy is kept for a grace period",
};

export function Moves({ model }: { model: Model }) {
  const [preview, setPreview] = useState(false);
  const moves = model.transfers;
  const shown = moves?.transfers.slice(0, LISTED_MAX) ?? [];
  return (
    <Panel
      id="moves"
      title="Moves"
      note={
        <>
          <b data-figure="transfers">{count(moves?.count ?? 0)}</b> under way
        </>
      }
      actions={
        <button type="button" onClick={() => setPreview(true)}>
          Preview a plan…
        </button>
      }
    >
      {moves?.braked && <Brake />}
      {moves?.plan && <Progress plan={moves.plan} />}
      {shown.length === 0 ? (
        <p class="empty">{moves?.plan ? "No copy is on its way at this moment." : "Nothing moves. A plan shows what a rebalance would change, and what it costs."}</p>
      ) : (
        <ul class="moves" tabIndex={0} aria-label="Moves under way, oldest first">
          {shown.map((one) => (
            <Move key={one.id} move={one} />
          ))}
        </ul>
      )}
      {moves && moves.count > shown.length && <p class="faint">and {plural(moves.count - shown.length, "more move")}</p>}
      {preview && <PlanDialog onClose={() => setPreview(false)} />}
    </Panel>
  );
}

function Move({ move }: { move: Transfer }) {
  useTick(1000);
  const at = STAGES.indexOf(move.stage);
  const known = move.total > 0;
  const part = known ? Math.min(1, move.done / move.total) : 0;
  return (
    <li class="move">
      <div class="move-what">
        <b>{move.partition}</b>
        <span class="path">
          {move.from ?? "nobody"} <Icon name="arrow" label="to" /> {move.to}
        </span>
        {move.handoff && <span class="tag">primary</span>}
        <span class="faint">{move.reason}</span>
      </div>
      <div class="stages" role="img" aria-label={`stage ${move.stage}, ${at + 1} of ${STAGES.length}`}>
        {STAGES.map((stage, nth) => (
          <i key={stage} class={nth < at ? "is-done" : nth === at ? "is-now" : ""} title={stage}>
            {nth === at && known && <b style={{ width: `${100 * part}%` }} />}
          </i>
        ))}
      </div>
      <div class="move-how">
        <span>{move.stage}</span>
        <span class="faint">
          {known ? `${count(move.done)} of ${count(move.total)}` : (WAITS[move.waits_for] ?? move.waits_for)}
          {move.attempt > 1 && `, try ${move.attempt}`}
        </span>
        <span class="faint number">{span(Date.now() - move.opened_at_ms)}</span>
      </div>
    </li>
  );
}

function Brake() {
  const { problem, busy, run, token } = useDeed(() => post("v1/brake/release"), () => {
    say("the brake is released");
    ask();
  });
  return (
    <div class="notice is-warn" role="status">
      <Icon name="warn" />
      <span>The brake is on: much was lost at once, so nothing is moved until it has been quiet.</span>
      <button type="button" disabled={busy} onClick={run}>
        Release it
      </button>
      {problem && <Refusal problem={problem} />}
      {token}
    </div>
  );
}

function Progress({ plan }: { plan: UnderWay }) {
  const [abort, setAbort] = useState(false);
  const steer = useDeed(() => post(`v1/plans/current/${plan.paused ? "resume" : "pause"}`), () => ask());
  const part = plan.total > 0 ? plan.done / plan.total : 1;
  return (
    <div class="plan-progress">
      <div class="line">
        <span>
          Plan <b>{plan.trigger}</b> by {plan.actor}, since {moment(plan.started_at_ms)}
          {plan.paused && <span class="word is-degraded"> paused</span>}
        </span>
        <span class="number">
          <span data-figure="plan-done">{count(plan.done)}</span> of <span data-figure="plan-total">{count(plan.total)}</span> partitions
        </span>
      </div>
      <div class="meter" role="progressbar" aria-label="Plan" aria-valuemin={0} aria-valuemax={plan.total} aria-valuenow={plan.done}>
        <i style={{ width: `${100 * part}%` }} />
      </div>
      <div class="deeds">
        <button type="button" disabled={steer.busy} onClick={steer.run}>
          <Icon name={plan.paused ? "play" : "pause"} /> {plan.paused ? "Resume" : "Pause"}
        </button>
        <button type="button" onClick={() => setAbort(true)}>
          Abort…
        </button>
      </div>
      {steer.problem && <Refusal problem={steer.problem} />}
      {steer.token}
      {abort && <AbortDialog plan={plan} onClose={() => setAbort(false)} />}
    </div>
  );
}

function AbortDialog({ plan, onClose }: { plan: UnderWay; onClose: () => void }) {
  const { problem, busy, run, token } = useDeed(() => post("v1/plans/current/abort"), () => {
    ask();
    onClose();
  });
  if (token) return token;
  return (
    <Dialog title="Abort the plan?" onClose={onClose}>
      <p>
        {plural(plan.total - plan.done, "partition")} of {count(plan.total)} would stay where they are. Moves that have begun go on to their end.
      </p>
      {problem && <Refusal problem={problem} />}
      <footer>
        <button type="button" class="quiet" onClick={onClose} autofocus>
          Let it go on
        </button>
        <button type="button" class="danger" disabled={busy} onClick={run}>
          Abort the plan
        </button>
      </footer>
    </Dialog>
  );
}

/** Moves of a preview that are listed with their reasons. */
const PREVIEWED_MAX = 200;

function PlanDialog({ onClose }: { onClose: () => void }) {
  const [plan, setPlan] = useState<Plan | null>(null);
  const made = useDeed(() => post<Plan>("v1/plans"), setPlan);
  useEffect(made.run, []);
  const applied = useDeed(
    () => post<Plan>(`v1/plans/${segment(plan?.id ?? "")}/apply`, { "if-match": `"${plan?.incarnation}.${plan?.base}"` }),
    (begun) => {
      say(`the plan is ${begun.status}`);
      ask();
      onClose();
    },
  );
  const stale = applied.problem instanceof Problem && (applied.problem.status === 412 || applied.problem.status === 409);
  if (made.token) return made.token;
  if (applied.token) return applied.token;
  return (
    <Dialog title="Plan, previewed" wide onClose={onClose}>
      {!plan && !made.problem && <p class="faint">Planning…</p>}
      {made.problem && <Refusal problem={made.problem} />}
      {plan && <PlanBody plan={plan} />}
      {applied.problem && <Refusal problem={applied.problem} />}
      <footer>
        <span class="faint">{plan && plan.partitions_changed > 0 && `Applied only if nothing it depends on has changed since version ${plan.base}.`}</span>
        <button type="button" class="quiet" onClick={onClose}>
          Close
        </button>
        {(stale || made.problem) && (
          <button
            type="button"
            disabled={made.busy}
            onClick={() => {
              applied.forget();
              made.run();
            }}
          >
            Plan again
          </button>
        )}
        {plan && plan.partitions_changed > 0 && !stale && (
          <button type="button" class="primary" disabled={applied.busy} onClick={applied.run}>
            {applied.busy ? "Asking…" : `Apply: move ${plural(plan.copies_moved, "copy", "copies")}`}
          </button>
        )}
      </footer>
    </Dialog>
  );
}

function cost(plan: Plan): string {
  if (plan.optimal) return "proved to be the fewest";
  return plan.gap > 0 ? `at most ${count(plan.gap)} more than the fewest` : `the fewest are at least ${count(plan.lower_bound)}`;
}

function PlanBody({ plan }: { plan: Plan }) {
  if (plan.partitions_changed === 0) {
    return <p>Nothing to change: copies and primaries are where a plan would put them.</p>;
  }
  const shown = plan.moves.slice(0, PREVIEWED_MAX);
  const more = plan.moves.length - shown.length + plan.moves_left_out;
  return (
    <>
      <dl class="cost">
        <div>
          <dt>Copies moved</dt>
          <dd data-figure="plan-copies">{count(plan.copies_moved)}</dd>
          <dd class="faint">{cost(plan)}</dd>
        </div>
        <div>
          <dt>Primaries changed</dt>
          <dd data-figure="plan-primaries">{count(plan.primaries_changed)}</dd>
          <dd class="faint">in {plural(plan.partitions_changed, "partition")}</dd>
        </div>
        <div>
          <dt>Rounds</dt>
          <dd data-figure="plan-rounds">{count(plan.rounds)}</dd>
          <dd class="faint">{plan.rounds_bound || `${plural(plan.transfers_per_node, "transfer")} a node at a time`}</dd>
        </div>
      </dl>
      {plan.degraded && (
        <p class="notice is-warn">
          <Icon name="warn" />
          <span>There are fewer nodes or domains than are asked for; partitions stay with fewer copies, or less spread.</span>
        </p>
      )}
      {plan.partitions_lost.length > 0 && (
        <p class="notice is-bad">
          <Icon name="bad" />
          <span>No copy of {list(plan.partitions_lost, 5)} can be read; nothing is planned for them.</span>
        </p>
      )}
      <div class="plan-moves" tabIndex={0} role="region" aria-label="What would change">
        <table>
          <thead>
            <tr>
              <th>Partition</th>
              <th>Gets a copy</th>
              <th>Gives it up</th>
              <th>Primary</th>
              <th>Round</th>
              <th>Why</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((move) => (
              <tr key={move.partition}>
                <td>{move.partition}</td>
                <td>{move.copy_to.join(", ") || "–"}</td>
                <td>{move.drop_from.join(", ") || "–"}</td>
                <td>{move.old_primary === move.new_primary ? <span class="faint">stays</span> : `${move.old_primary || "nobody"} → ${move.new_primary || "nobody"}`}</td>
                <td>{move.round || "–"}</td>
                <td class="why">{move.why.join("; ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {more > 0 && <p class="faint">and {plural(more, "more partition")}</p>}
      </div>
    </>
  );
}
