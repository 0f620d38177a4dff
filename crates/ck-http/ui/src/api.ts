// What the routes under /v1 answer, and how they are asked. Names are those of `ck-api`.

export type State = "stable" | "moving" | "degraded" | "unavailable";
export const STATES: readonly State[] = ["stable", "moving", "degraded", "unavailable"];

export interface Member {
  member: number;
  id: string;
  http: string;
  domain?: string | null;
  weight: number;
  status: string;
  services: Record<string, string>;
}

export interface Row {
  epoch: number;
  state: State;
  /** Member number; nobody may act when there is none. */
  primary: number | null;
  replicas: number[];
}

export interface TableBody {
  incarnation: number;
  version: number;
  replication_factor: number;
  members: Member[];
  rows: Row[];
}

export interface DeltaBody {
  incarnation: number;
  from: number;
  version: number;
  rows?: (Row & { partition: number })[];
  members?: Member[];
  gone?: number[];
  replication_factor?: number;
}

export interface Lifecycle {
  version: number;
  kind: string;
  node?: string;
  partition?: number;
  text: string;
}

export interface Balance {
  min: number;
  max: number;
  max_over_share_permille: number;
  off_share: number;
}

export interface Stats {
  total_partitions: number;
  partitions_per_node: Record<string, number>;
  replicas_per_node: Record<string, number>;
  copies: Balance;
  primaries: Balance;
  shares: Record<string, { copies_permille: number; primaries_permille: number }>;
  in_flight: number;
  unavailable: number;
  under_replicated: number;
  spread_violations: number;
  incarnation: number;
  version: number;
}

export interface Node {
  id: string;
  ip: string;
  name: string;
  status: string;
  services: Record<string, string>;
  member: number;
  generation: number;
  weight: number;
  domain: string | null;
  labels: Record<string, string>;
  session: number | null;
  leader: boolean;
  joined_at_ms: number;
}

export interface Transfer {
  id: number;
  stage: string;
  from?: string;
  to: string;
  partition: string;
  handoff: boolean;
  leaving?: string;
  waits_for: string;
  reason: string;
  done: number;
  total: number;
  attempt: number;
  paused: boolean;
  opened_at_ms: number;
  stage_at_ms: number;
}

export interface UnderWay {
  trigger: string;
  actor: string;
  total: number;
  done: number;
  paused: boolean;
  started_at_ms: number;
}

export interface Transfers {
  transfers: Transfer[];
  count: number;
  braked: boolean;
  plan?: UnderWay;
}

export interface PlanMove {
  partition: string;
  copy_to: string[];
  drop_from: string[];
  old_primary: string;
  new_primary: string;
  round: number;
  why: string[];
}

export interface Plan {
  id: string;
  status: string;
  incarnation: number;
  base: number;
  trigger: string;
  partitions_changed: number;
  copies_moved: number;
  primaries_changed: number;
  lower_bound: number;
  optimal: boolean;
  gap: number;
  degraded: boolean;
  rounds: number;
  rounds_bound: string;
  transfers_per_node: number;
  partitions_lost: string[];
  moves: PlanMove[];
  moves_left_out: number;
}

export interface Leader {
  leader_id: string;
  leader_name: string;
  leader_ip: string;
  term: number;
  elected_at: string;
}

export interface Detailed {
  healthy: boolean;
  node_id: string;
  is_leader: boolean;
  raft_state: string;
  uptime: string;
  reasons: string[];
  software: string;
}

export interface Owned {
  owned: { id: string; epoch: number }[];
  lease_remaining_ms: number;
  version: number;
  node: string;
  session?: number;
}

export interface Config {
  cluster_name: string;
  partition_count: number;
  replication_factor: number;
  spread: number;
  hash: string;
  mode: string;
  profile: string;
  min_in_sync: number;
  lease_ms: number;
  rho_ppm: number;
  max_transfers_per_node: number;
  auto_rebalance: boolean;
}

export interface HistoryEntry {
  version: number;
  position: number;
  at_ms: number;
  actor: string;
  kind: string;
  summary: string;
}

export interface History {
  entries: HistoryEntry[];
  has_more: boolean;
  oldest: number;
  version: number;
}

export interface Route {
  id: string;
  primary_node: string;
  replica_nodes: string[];
  epoch: number;
  state: State;
  version: number;
  primary_address: string;
  replica_addresses: string[];
  primary_services: Record<string, string>;
}

export interface Explanation {
  id: string;
  state: State;
  epoch: number;
  primary?: string;
  reasons: string[];
  copies: { node: string; role: string; in_sync: boolean; unproven: boolean; status: string }[];
  last_known: boolean;
  transfer?: Transfer;
  plan?: { trigger: string; actor: string; nodes: string[]; reached: boolean; paused: boolean };
}

export interface WhyNot {
  reasons: string[];
  has_copy: boolean;
  is_primary: boolean;
}

export interface MayStop {
  allowed: boolean;
  reasons: string[];
}

/** A refusal of the server, or the lack of an answer (status 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
  ) {
    super(detail);
  }

  /** Whether a token, or another one, is what is missing. */
  get wantsToken(): boolean {
    return this.status === 401 || (this.status === 403 && this.code === "forbidden");
  }
}

/** Longest wait for an answer. */
const PATIENCE_MS = 15_000;

/** Where everything is: the folder of this page, so that a proxy may put a prefix before it. */
const root = new URL("./", document.baseURI);

/** Kept in memory alone: gone when the page is. */
let secret = "";

export function setToken(token: string): void {
  secret = token.trim();
}

export function hasToken(): boolean {
  return secret !== "";
}

/** Headers that every request carries. */
export function credentials(): Record<string, string> {
  return secret === "" ? {} : { authorization: `Bearer ${secret}` };
}

export function url(path: string): string {
  return new URL(path.replace(/^\//, ""), root).href;
}

export async function problemOf(reply: Response): Promise<Problem> {
  try {
    const body = (await reply.json()) as { code?: string; detail?: string; title?: string };
    const detail = body.detail ?? body.title ?? reply.statusText;
    return new Problem(reply.status, body.code ?? "", detail);
  } catch {
    return new Problem(reply.status, "", `answered with status ${reply.status}`);
  }
}

async function send<T>(method: string, path: string, headers: Record<string, string>): Promise<T> {
  let reply: Response;
  try {
    reply = await fetch(url(path), {
      method,
      headers: { accept: "application/json", ...credentials(), ...headers },
      cache: "no-cache",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    throw new Problem(0, "no-answer", late ? `no answer within ${PATIENCE_MS / 1000} s` : "the node does not answer");
  }
  if (!reply.ok) throw await problemOf(reply);
  try {
    return (await reply.json()) as T;
  } catch {
    throw new Problem(0, "no-answer", "the answer broke off");
  }
}

export function get<T>(path: string): Promise<T> {
  return send<T>("GET", path, {});
}

export function post<T>(path: string, headers: Record<string, string> = {}): Promise<T> {
  return send<T>("POST", path, headers);
}

/** All nodes, page by page; the cluster has at most some thousands. */
export async function allNodes(): Promise<Node[]> {
  const nodes: Node[] = [];
  for (let page = 0; page < 100; page += 1) {
    const body = await get<{ nodes: Node[]; has_more: boolean }>(`v1/nodes?limit=1000&offset=${nodes.length}`);
    nodes.push(...body.nodes);
    if (!body.has_more || body.nodes.length === 0) break;
  }
  return nodes;
}

export const segment = encodeURIComponent;
