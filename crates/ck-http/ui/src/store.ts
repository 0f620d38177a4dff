// What the page knows, in one object that is replaced and never changed in place.
import { useEffect, useReducer } from "preact/hooks";
import type { Config, Detailed, HistoryEntry, Leader, Node, Owned, Stats, Transfers } from "./api";
import type { Table } from "./table";

/** How the page stands to its node. */
export type Link = "connecting" | "live" | "lost";

export interface Entry extends HistoryEntry {
  /** What the stream said of the same version, in sentences. */
  told?: string[];
}

export interface Model {
  link: Link;
  /** Whether changes are pushed; else they are asked for every two seconds. */
  pushed: boolean;
  /** `performance.now()` at the last sign of life. */
  heardAt: number;
  /** Wall clock when the link was lost. */
  lostAt: number;
  /** Wall clock of the next try. */
  retryAt: number;
  /** Why the node refuses, when it answers but gives no table. */
  refused: string;
  wantsToken: boolean;
  table: Table | null;
  nodes: Node[];
  stats: Stats | null;
  transfers: Transfers | null;
  leader: Leader | null;
  detailed: Detailed | null;
  config: Config | null;
  owned: Owned | null;
  /** `performance.now()` when the lease was asked for. */
  ownedAt: number;
  /** Newest first. */
  history: Entry[];
  oldest: number;
}

let model: Model = {
  link: "connecting",
  pushed: false,
  heardAt: 0,
  lostAt: 0,
  retryAt: 0,
  refused: "",
  wantsToken: false,
  table: null,
  nodes: [],
  stats: null,
  transfers: null,
  leader: null,
  detailed: null,
  config: null,
  owned: null,
  ownedAt: 0,
  history: [],
  oldest: 0,
};

/** The newest version that is known of: of the table, or of figures that came after it. */
export function versionOf({ table, stats }: Model): number {
  const known = table?.version ?? 0;
  return stats && stats.incarnation === table?.incarnation ? Math.max(known, stats.version) : known;
}

const listeners = new Set<() => void>();
let queued = false;

export function now(): Model {
  return model;
}

/** Takes changes over; listeners hear of them once, soon. */
export function set(change: Partial<Model>): void {
  model = { ...model, ...change };
  if (queued) return;
  queued = true;
  queueMicrotask(() => {
    queued = false;
    for (const listener of listeners) listener();
  });
}

export function useModel(): Model {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const listener = () => again(undefined as never);
    listeners.add(listener);
    listener();
    return () => void listeners.delete(listener);
  }, []);
  return model;
}
