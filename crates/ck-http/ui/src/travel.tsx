// Through past versions of the table, by slider or step by step.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type HistoryEntry, Problem, type TableBody, get } from "./api";
import { Icon } from "./bits";
import { moment, span } from "./format";
import { type Model, versionOf } from "./store";
import { type Table, tableOf } from "./table";

export interface Travelling {
  /** The older table that is shown; null for the present. */
  table: Table | null;
  /** The version asked for. */
  at: number;
  /** The oldest that can be asked for. */
  first: number;
  last: number;
  problem: string;
  /** What made the version. */
  entry: HistoryEntry | undefined;
  go: (version: number) => void;
  live: () => void;
}

/** Tables that are kept once they were looked at. */
const KEPT_MAX = 64;

/** How far back one may ask before the oldest kept version is known. */
const FAR = 256;

export function useTravel(model: Model): Travelling {
  const last = versionOf(model);
  const incarnation = model.table?.incarnation ?? 0;
  const [at, setAt] = useState<number | null>(null);
  const [table, setTable] = useState<Table | null>(null);
  const [floor, setFloor] = useState(0);
  const [problem, setProblem] = useState("");
  const kept = useRef(new Map<string, Table>());
  useEffect(() => {
    if (at === null) return;
    const key = `${incarnation}.${at}`;
    const known = kept.current.get(key);
    if (known) {
      setTable(known);
      return;
    }
    let wanted = true;
    // A slider passes many versions on its way: only where it rests is asked for.
    const timer = setTimeout(() => {
      get<TableBody>(`v1/table?at=${at}`).then(
        (body) => {
          const found = tableOf(body);
          if (kept.current.size >= KEPT_MAX) kept.current.delete(kept.current.keys().next().value ?? "");
          kept.current.set(key, found);
          if (wanted) setTable(found);
        },
        (error: unknown) => {
          if (!wanted) return;
          setProblem(error instanceof Problem ? error.detail : String(error));
          if (error instanceof Problem && error.status === 410) setFloor((before) => Math.max(before, at + 1));
        },
      );
    }, 60);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [at, incarnation]);
  const first = Math.max(model.oldest, floor, last - FAR, 1);
  const go = (version: number) => {
    setProblem("");
    if (version >= last) {
      setAt(null);
      setTable(null);
    } else {
      setAt(Math.max(first, version));
    }
  };
  const live = () => go(Number.MAX_SAFE_INTEGER);
  const entry = useMemo(() => model.history.find((one) => one.version === at && one.position > 0), [model.history, at]);
  return { table: at === null ? null : table, at: at ?? last, first, last, problem, entry, go, live };
}

export function Travel({ travelling }: { travelling: Travelling }) {
  const { table, at, first, last, entry, problem, go, live } = travelling;
  const past = at < last;
  const told = entry ? `${moment(entry.at_ms)} · ${entry.summary || entry.kind}` : "";
  return (
    <div class={`travel${past ? " is-past" : ""}`}>
      <button type="button" class="quiet" aria-label="One version back" disabled={at <= first} onClick={() => go(at - 1)}>
        <Icon name="left" />
      </button>
      <input
        type="range"
        min={first}
        max={Math.max(first, last)}
        value={at}
        disabled={first >= last}
        aria-label="Version of the table"
        aria-valuetext={past ? `version ${at}, ${told}` : `version ${at}, now`}
        onInput={(event) => go(Number(event.currentTarget.value))}
      />
      <button type="button" class="quiet" aria-label="One version on" disabled={!past} onClick={() => go(at + 1)}>
        <Icon name="right" />
      </button>
      <span class="travel-note">
        {past ? (
          <>
            <b>version {at}</b>
            <span>{problem || told || (table?.version === at ? "" : "asking…")}</span>
            <button type="button" onClick={live}>
              Back to now
            </button>
          </>
        ) : (
          <span class="faint">now, version {last}</span>
        )}
      </span>
    </div>
  );
}

/** Said above everything while an older table is shown. */
export function PastBanner({ travelling }: { travelling: Travelling }) {
  if (!travelling.table) return null;
  const { entry, at } = travelling;
  return (
    <div class="banner is-past" role="status">
      <Icon name="info" />
      <span>
        Nodes and partitions are shown as of <b>version {at}</b>
        {entry && `, ${moment(entry.at_ms)}, ${span(Date.now() - entry.at_ms)} ago`}. The rest is of now.
      </span>
      <button type="button" onClick={travelling.live}>
        Back to now
      </button>
    </div>
  );
}
