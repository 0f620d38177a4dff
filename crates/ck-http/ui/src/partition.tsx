// One partition: who has it, and why it is where it is.
import { useEffect, useState } from "preact/hooks";
import { type Explanation, Problem, type WhyNot, get, segment } from "./api";
import { Icon } from "./bits";
import { type Table, nameOf } from "./table";

interface Props {
  table: Table;
  partition: number;
  past: boolean;
  onClose: () => void;
}

export function PartitionDetail({ table, partition, past, onClose }: Props) {
  const row = table.rows[partition];
  const [told, setTold] = useState<Explanation | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (past) return;
    let wanted = true;
    get<Explanation>(`v1/explain/${partition}`).then(
      (answer) => {
        if (!wanted) return;
        setTold(answer);
        setProblem("");
      },
      (error: unknown) => wanted && setProblem(error instanceof Problem ? error.detail : String(error)),
    );
    return () => {
      wanted = false;
    };
  }, [partition, past, table]);
  if (!row) return null;
  const fresh = told?.id === `partition-${partition}` && !past ? told : null;
  const nodes = [...(row.primary === null ? [] : [row.primary]), ...row.replicas];
  const copies = fresh?.copies ?? nodes.map((number, at) => ({ node: nameOf(table, number), role: at === 0 && row.primary !== null ? "primary" : "replica", in_sync: true, unproven: false, status: "" }));
  return (
    <section class="detail" aria-label={`partition-${partition}`}>
      <header>
        <h3>partition-{partition}</h3>
        <span class={`word is-${row.state}`}>{row.state}</span>
        <span class="faint">epoch {row.epoch}</span>
        <button type="button" class="quiet" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <ol class="copies">
        {copies.map((copy) => (
          <li key={copy.node}>
            <b>{copy.node}</b> <span class="faint">{copy.role}</span> {fresh && <SyncWord copy={copy} />}
          </li>
        ))}
      </ol>
      {fresh && (
        <ul class="reasons">
          {fresh.reasons.length === 0 && <li class="faint">It is where it should be, and nothing holds it back.</li>}
          {fresh.reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      )}
      {past && <p class="faint">As it was then. Reasons are told of the present only.</p>}
      {problem && !fresh && <p class="faint">{problem}</p>}
      {fresh && <WhyNotBox table={table} partition={partition} />}
    </section>
  );
}

function SyncWord({ copy }: { copy: Explanation["copies"][number] }) {
  if (copy.status !== "" && !["active", "cordoned", "draining"].includes(copy.status)) {
    return <span class="word is-down">{copy.status}</span>;
  }
  if (copy.unproven) return <span class="word is-degraded">not proved in sync</span>;
  return copy.in_sync ? <span class="word is-stable">in sync</span> : <span class="word is-degraded">catching up</span>;
}

/** Answers why a node does not have the partition. */
function WhyNotBox({ table, partition }: { table: Table; partition: number }) {
  const [node, setNode] = useState("");
  const [answer, setAnswer] = useState<string[]>([]);
  useEffect(() => {
    if (node === "") {
      setAnswer([]);
      return;
    }
    let wanted = true;
    get<WhyNot>(`v1/explain/${partition}/why-not/${segment(node)}`).then(
      (told) => {
        const has = told.is_primary ? "It is the primary." : told.has_copy ? "It has a copy." : "";
        if (wanted) setAnswer([has, ...told.reasons].filter(Boolean));
      },
      (error: unknown) => wanted && setAnswer([error instanceof Problem ? error.detail : String(error)]),
    );
    return () => {
      wanted = false;
    };
  }, [node, partition, table.version]);
  const names = [...table.members.values()].map((member) => member.id).sort();
  return (
    <div class="why-not">
      <label>
        Why not on{" "}
        <select value={node} onChange={(event) => setNode(event.currentTarget.value)}>
          <option value="">…</option>
          {names.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      {answer.map((reason) => (
        <p key={reason}>{reason}</p>
      ))}
    </div>
  );
}
