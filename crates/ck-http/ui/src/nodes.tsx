// Nodes by failure domain: what each holds against its share.
import { useMemo, useState } from "preact/hooks";
import type { Node, Stats } from "./api";
import { Choice, Icon, Panel } from "./bits";
import { count, moment, permille, plural } from "./format";
import { type Deed, DeedDialog } from "./operate";
import type { Model } from "./store";
import { type Held, type Table, domainOf, held } from "./table";

interface Props {
  model: Model;
  table: Table;
  /** Whether the table is an older one, so that shares and status of now do not belong to it. */
  past: boolean;
  colours: Map<number, string>;
  selected: number | null;
  onSelect: (member: number | null) => void;
  onPoint: (member: number | null) => void;
}

interface Line {
  member: number;
  id: string;
  domain: string;
  status: string;
  http: string;
  node: Node | undefined;
  holds: Held;
  share: number;
  primaryShare: number;
}

export const UP = ["active", "cordoned", "draining", "closing"];

function lines(model: Model, table: Table, past: boolean): Line[] {
  const holds = held(table);
  const nodes = new Map(model.nodes.map((node) => [node.member, node]));
  // Of the present the node's own figures are shown; what a past version held is counted here.
  const stats = past ? null : model.stats;
  const figures = (id: string, member: number): Held => {
    const primaries = stats?.partitions_per_node[id];
    if (stats && primaries !== undefined) return { primaries, copies: primaries + (stats.replicas_per_node[id] ?? 0) };
    return holds.get(member) ?? { copies: 0, primaries: 0 };
  };
  return [...table.members.values()].map((member) => {
    const node = nodes.get(member.member);
    return {
      member: member.member,
      id: member.id,
      domain: domainOf(member),
      status: past ? member.status : (node?.status ?? member.status),
      http: member.http,
      node,
      holds: figures(member.id, member.member),
      share: stats?.shares[member.id]?.copies_permille ?? 0,
      primaryShare: stats?.shares[member.id]?.primaries_permille ?? 0,
    };
  });
}

/** Whether a count is neither its share rounded down nor rounded up. */
function off(value: number, share: number): boolean {
  return value < Math.floor(share / 1000) || value > Math.ceil(share / 1000);
}

type Sort = "domain" | "load";

export function Nodes(props: Props) {
  const { model, table, past, selected, onSelect } = props;
  const [sort, setSort] = useState<Sort>("domain");
  const [filter, setFilter] = useState("");
  const [deed, setDeed] = useState<{ line: Line; deed: Deed } | null>(null);
  const all = useMemo(() => lines(model, table, past), [model.nodes, model.stats, table, past]);
  const shown = all.filter((line) => `${line.id} ${line.domain} ${line.status}`.includes(filter.trim().toLowerCase()));
  const most = Math.max(1, ...all.map((line) => Math.max(line.holds.copies, line.share / 1000)));
  const named = all.some((line) => line.domain !== line.id);
  const groups = new Map<string, Line[]>();
  const key = (line: Line) => (sort === "domain" && named ? line.domain : "");
  const byLoad = (a: Line, b: Line) => excess(b) - excess(a) || a.id.localeCompare(b.id);
  const byName = (a: Line, b: Line) => a.id.localeCompare(b.id, undefined, { numeric: true });
  for (const line of shown.sort(sort === "load" ? byLoad : byName)) {
    groups.set(key(line), [...(groups.get(key(line)) ?? []), line]);
  }
  const up = all.filter((line) => UP.includes(line.status)).length;
  const row = (line: Line) => (
    <NodeRow
      key={line.member}
      line={line}
      most={most}
      past={past}
      colour={props.colours.get(line.member) ?? "transparent"}
      isLeader={!past && model.leader?.leader_id === line.id}
      isHere={model.detailed?.node_id === line.id}
      open={selected === line.member}
      onToggle={() => onSelect(selected === line.member ? null : line.member)}
      onPoint={(on) => props.onPoint(on ? line.member : null)}
      onDeed={(what) => setDeed({ line, deed: what })}
    />
  );
  return (
    <Panel
      id="nodes"
      title="Nodes"
      note={
        <>
          <b data-figure="nodes-up">{count(up)}</b> of <b data-figure="nodes">{count(all.length)}</b> up
        </>
      }
      actions={
        <>
          {all.length > 12 && (
            <input
              type="search"
              class="filter"
              placeholder="Filter"
              aria-label="Filter nodes by name, domain or status"
              value={filter}
              onInput={(event) => setFilter(event.currentTarget.value)}
            />
          )}
          <Choice label="Order of nodes" value={sort} options={[["domain", "By domain"], ["load", "Fullest first"]]} onChange={setSort} />
        </>
      }
    >
      <div class="node-head" aria-hidden="true">
        <span>Node</span>
        <span>Load, and its share</span>
        <span>Copies</span>
        <span>Primaries</span>
      </div>
      <div class={`node-list${all.length > 24 ? " is-dense" : ""}`} tabIndex={-1}>
        {[...groups].sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true })).map(([name, group]) => (
          <div key={name} class="node-group" role="group" aria-label={name === "" ? "Nodes" : `Failure domain ${name}`}>
            {name !== "" && <DomainHead name={name} group={group} stats={past ? null : model.stats} />}
            {group.map(row)}
          </div>
        ))}
        {shown.length === 0 && <p class="empty">No node matches “{filter}”.</p>}
      </div>
      {deed && <DeedDialog node={deed.line.id} deed={deed.deed} holds={deed.line.holds} automatic={model.config?.auto_rebalance ?? true} onClose={() => setDeed(null)} />}
    </Panel>
  );
}

function excess(line: Line): number {
  return line.share === 0 ? line.holds.copies * 1e6 : (line.holds.copies * 1000) / line.share;
}

function DomainHead({ name, group, stats }: { name: string; group: Line[]; stats: Stats | null }) {
  const copies = group.reduce((sum, line) => sum + line.holds.copies, 0);
  const primaries = group.reduce((sum, line) => sum + line.holds.primaries, 0);
  const away = group.filter((line) => !UP.includes(line.status)).length;
  const share = stats ? group.reduce((sum, line) => sum + line.share, 0) : 0;
  return (
    <div class="domain-head">
      <h3>{name}</h3>
      <span>
        {plural(group.length, "node")}
        {away > 0 && <b class="bad">, {away} not up</b>}
      </span>
      <span class="number">
        {count(copies)}
        {share > 0 && <i> / {permille(share, 1)}</i>}
      </span>
      <span class="number">{count(primaries)}</span>
    </div>
  );
}

const STATUS: Record<string, string> = {
  active: "M8 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8Z",
  cordoned: "M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3Zm-5 5h10",
  draining: "M8 3v9M4.5 8.5 8 12l3.5-3.5",
  closing: "M3.5 8h7M8 5l3 3-3 3M13 3.5v9",
  stopped: "M4.5 4.5h7v7h-7z",
  down: "m4 4 8 8M12 4l-8 8",
};

function Status({ status }: { status: string }) {
  return (
    <svg class={`status is-${status}`} viewBox="0 0 16 16" role="img" aria-label={status}>
      <path d={STATUS[status] ?? STATUS.down ?? ""} />
    </svg>
  );
}

interface RowProps {
  line: Line;
  most: number;
  past: boolean;
  colour: string;
  isLeader: boolean;
  isHere: boolean;
  open: boolean;
  onToggle: () => void;
  onPoint: (on: boolean) => void;
  onDeed: (deed: Deed) => void;
}

function NodeRow({ line, most, past, colour, isLeader, isHere, open, onToggle, onPoint, onDeed }: RowProps) {
  const { holds, share, primaryShare } = line;
  const part = (value: number) => `${(100 * value) / most}%`;
  const offCopies = !past && off(holds.copies, share);
  const offPrimaries = !past && off(holds.primaries, primaryShare);
  return (
    <div class={`node${open ? " is-open" : ""}`} data-node={line.id}>
      <button
        type="button"
        class="node-row"
        aria-expanded={open}
        onClick={onToggle}
        onPointerEnter={() => onPoint(true)}
        onPointerLeave={() => onPoint(false)}
        onFocus={() => onPoint(true)}
        onBlur={() => onPoint(false)}
      >
        <span class="node-name">
          <Status status={line.status} />
          <i class="swatch" style={{ background: colour }} />
          <span class="name">{line.id}</span>
          {isLeader && (
            <span class="tag is-leader" title="Leader of the consensus">
              <Icon name="crown" label="leader" />
            </span>
          )}
          {isHere && <span class="tag" title="This page is served by it">here</span>}
          {line.status !== "active" && <span class={`word is-${line.status}`}>{line.status}</span>}
        </span>
        <span class="load" aria-hidden="true">
          <i class="primaries" style={{ width: part(holds.primaries), background: colour }} />
          <i class="replicas" style={{ width: part(holds.copies - holds.primaries), background: colour }} />
          {share > 0 && <i class="share" style={{ left: part(share / 1000) }} />}
        </span>
        <span class={`number${offCopies ? " is-off" : ""}`}>
          <span data-figure="copies">{count(holds.copies)}</span>
          {!past && <i> / {permille(share, 1)}</i>}
          {offCopies && <span class="unseen">, off its share</span>}
        </span>
        <span class={`number${offPrimaries ? " is-off" : ""}`}>
          <span data-figure="primaries">{count(holds.primaries)}</span>
          {!past && <i> / {permille(primaryShare, 1)}</i>}
          {offPrimaries && <span class="unseen">, off its share</span>}
        </span>
      </button>
      {open && <NodeMore line={line} past={past} isHere={isHere} onDeed={onDeed} />}
    </div>
  );
}

interface MoreProps {
  line: Line;
  past: boolean;
  isHere: boolean;
  onDeed: (deed: Deed) => void;
}

function NodeMore({ line, past, isHere, onDeed }: MoreProps) {
  const { node } = line;
  const services = Object.entries(node?.services ?? {});
  const labels = Object.entries(node?.labels ?? {});
  const held = ["cordoned", "draining"].includes(line.status);
  return (
    <div class="node-more">
      <dl>
        <dt>Address</dt>
        <dd>
          {isHere ? line.http : <a href={`${location.protocol}//${line.http}/ui`}>{line.http}</a>}
          {!isHere && <span class="faint"> its own dashboard</span>}
        </dd>
        {node && (
          <>
            <dt>Session</dt>
            <dd>{node.session === null ? "none: it may act on nothing" : `${node.session}, in its start ${node.generation}`}</dd>
            <dt>Member</dt>
            <dd>
              {node.member}, weight {node.weight}, joined {moment(node.joined_at_ms)}
            </dd>
          </>
        )}
        {services.map(([name, address]) => (
          <Pair key={name} name={name} value={address} />
        ))}
        {labels.map(([name, value]) => (
          <Pair key={name} name={name} value={value} />
        ))}
      </dl>
      {!past && (
        <div class="deeds">
          {held ? (
            <button type="button" onClick={() => onDeed("uncordon")}>
              Uncordon…
            </button>
          ) : (
            <button type="button" onClick={() => onDeed("cordon")}>
              Cordon…
            </button>
          )}
          {line.status !== "draining" && (
            <button type="button" class="danger" onClick={() => onDeed("drain")}>
              Drain…
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function Pair({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}
