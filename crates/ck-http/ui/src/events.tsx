// What happened, when, by whom and why: the history of the log, newest first.
import { useState } from "preact/hooks";
import { Choice, Icon, Panel } from "./bits";
import { count, moment } from "./format";
import type { Entry, Model } from "./store";

/** Entries that are on the page at a time. */
const SHOWN_MAX = 150;

type Kind = "all" | "nodes" | "moves" | "operators";

const NODES = ["register", "stop", "expire", "close", "remove", "update", "office", "genesis", "promote", "brake", "node", "leader", "failover", "formed"];
const MOVES = ["transfer", "rebalance", "in-sync", "create-partitions", "plan"];

function isAbout(entry: Entry, kind: Kind): boolean {
  if (kind === "all") return true;
  if (kind === "operators") return entry.actor === "operator";
  const words = kind === "nodes" ? NODES : MOVES;
  return words.some((word) => entry.kind.startsWith(word));
}

function icon(entry: Entry): string {
  const is = (...words: string[]) => words.some((word) => entry.kind.startsWith(word));
  if (is("expire", "node-down", "failover", "brake")) return "warn";
  if (is("office", "leader")) return "crown";
  if (is("rebalance", "plan", "create-partitions", "partitions")) return "plan";
  if (is("transfer", "in-sync")) return "arrow";
  if (is("config", "set-mode", "set-lease", "mode", "lease")) return "gear";
  if (is("set-custom", "delete-custom")) return "data";
  return "node";
}

interface Props {
  model: Model;
  /** Version that is shown instead of the present one. */
  at: number | null;
  onGo: (version: number) => void;
}

export function Events({ model, at, onGo }: Props) {
  const [kind, setKind] = useState<Kind>("all");
  const matching = model.history.filter((entry) => isAbout(entry, kind));
  const shown = matching.slice(0, SHOWN_MAX);
  const options = [["all", "All"], ["nodes", "Nodes"], ["moves", "Moves"], ["operators", "Operators"]] as const;
  return (
    <Panel
      id="events"
      title="Events"
      note={<>newest first</>}
      actions={<Choice label="Events shown" value={kind} options={options} onChange={setKind} />}
    >
      <ol class="events" tabIndex={0} aria-label="Events, newest first">
        {shown.map((entry) => (
          <li key={`${entry.version}.${entry.position}`} class={entry.version === at ? "is-at" : ""}>
            <time>{moment(entry.at_ms)}</time>
            <Icon name={icon(entry)} />
            <span class="what">
              {entry.told?.join("; ") || entry.summary || entry.kind}
              <span class="faint">
                {" "}
                {entry.kind}
                {entry.actor && ` by ${entry.actor}`}
              </span>
            </span>
            <button type="button" class="quiet version" aria-label={`Show the table as of version ${entry.version}`} onClick={() => onGo(entry.version)}>
              {entry.version}
            </button>
          </li>
        ))}
      </ol>
      {shown.length === 0 && <p class="empty">Nothing of this kind is kept in the history.</p>}
      {matching.length > shown.length && <p class="faint more">{count(matching.length - shown.length)} older ones: ck history</p>}
    </Panel>
  );
}
