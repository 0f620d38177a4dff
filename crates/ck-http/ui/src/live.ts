// Keeps the model true: follows /v1/watch, asks for what goes with each version, and starts over when it is cut off.
import {
  type Config,
  type DeltaBody,
  type Detailed,
  type History,
  type Leader,
  type Lifecycle,
  type Owned,
  Problem,
  type Stats,
  type TableBody,
  type Transfers,
  allNodes,
  get,
} from "./api";
import { type Entry, now, set, versionOf } from "./store";
import { type ServerEvent, follow } from "./stream";
import { type Table, changed, tableOf } from "./table";

/** Time between two looks where changes are not pushed. */
const LOOK_MS = 2000;
/** Time between two looks at what changes without a version: the lease, which lasts little longer. */
const PULSE_MS = 1000;
/** Every so many of them leader and readiness, too. */
const PULSES = 2;
/** Partitions a node owns that the lease is asked for together with in a second. */
const OWNED_A_SECOND = 5000;
/** Least time between two rounds of questions. */
const ROUND_MS = 250;
/** Longest wait before the next try. */
const BACKOFF_MS = 4000;
/** How long changes are asked for before the stream is tried again. */
const POLLING_MS = 30_000;
/** Entries of the event log that are kept. */
const ENTRIES_MAX = 500;

let wake = () => {};
let stopping = new AbortController();

const pause = (ms: number) =>
  new Promise<void>((done) => {
    const timer = setTimeout(done, ms);
    wake = () => {
      clearTimeout(timer);
      done();
    };
  });

/** Tries again at once: a token was given, or somebody pressed the button. */
export function retry(): void {
  set({ wantsToken: false });
  stopping.abort();
  wake();
}

function heard(): void {
  const { link } = now();
  set({ heardAt: performance.now(), ...(link === "live" ? {} : { link: "live", refused: "", lostAt: 0 }) });
}

function lost(error: unknown): void {
  const { lostAt } = now();
  const problem = error instanceof Problem && error.status > 0 ? error : null;
  set({
    link: "lost",
    lostAt: lostAt === 0 ? Date.now() : lostAt,
    refused: problem?.detail ?? "",
    wantsToken: problem?.wantsToken ?? false,
  });
}

function take(table: Table): void {
  const before = now().table;
  if (before && before.incarnation === table.incarnation && table.version < before.version) return;
  set({ table });
  if (!before || before.version !== table.version || before.incarnation !== table.incarnation) ask();
}

function on(event: ServerEvent): void {
  switch (event.event) {
    case "table": {
      const body = tableOf(JSON.parse(event.data) as TableBody);
      // A stream that begins anew may begin before what is shown, after a restore of the cluster.
      const before = now().table;
      if (before && before.incarnation !== body.incarnation) set({ table: null, history: [] });
      take(body);
      return;
    }
    case "delta": {
      const table = now().table;
      const next = table && changed(table, JSON.parse(event.data) as DeltaBody);
      if (!next) throw new Error("the stream does not follow on what is shown");
      take(next);
      return;
    }
    case "lifecycle":
      note(JSON.parse(event.data) as Lifecycle);
      ask();
      return;
    case "dropped":
      throw new Error("the server dropped the stream");
    default:
  }
}

/** Sentences of one version that are kept. */
const TOLD_MAX = 6;

/** An event of the stream: kept with the entry of its version, or as one until the history has that. */
function note(event: Lifecycle): void {
  const history = now().history;
  const known = history.find((entry) => entry.version === event.version);
  if (known) {
    const told = [...(known.told ?? []).filter((text) => text !== event.text), event.text].slice(-TOLD_MAX);
    set({ history: history.map((entry) => (entry === known ? { ...entry, told } : entry)) });
    return;
  }
  const entry: Entry = { version: event.version, position: 0, at_ms: Date.now(), actor: "", kind: event.kind, summary: "", told: [event.text] };
  set({ history: [entry, ...history].sort((a, b) => b.version - a.version).slice(0, ENTRIES_MAX) });
}

/** Whether as many watch as may: then changes have to be asked for. */
function isCrowded(error: unknown): boolean {
  return error instanceof Problem && error.code === "too-many-watchers";
}

async function watchOnce(): Promise<void> {
  const table = now().table;
  const last = table ? `${table.incarnation}.${table.version}` : "";
  stopping = new AbortController();
  try {
    set({ pushed: true });
    await follow(table ? `v1/watch?from=${table.version}` : "v1/watch", last, stopping.signal, on, heard);
  } catch (error) {
    // What lay between is gone: begin with a whole table.
    if (error instanceof Problem && (error.status === 410 || error.status === 400) && table) {
      await follow("v1/watch", "", stopping.signal, on, heard);
      return;
    }
    throw error;
  }
}

async function pollFor(ms: number): Promise<void> {
  const until = performance.now() + ms;
  set({ pushed: false });
  while (performance.now() < until) {
    take(tableOf(await get<TableBody>("v1/table")));
    heard();
    await pause(LOOK_MS);
  }
}

/** Follows for ever. */
export async function run(): Promise<never> {
  let failures = 0;
  setInterval(() => void pulse(), PULSE_MS);
  document.addEventListener("visibilitychange", () => void pulse());
  for (;;) {
    const before = now().heardAt;
    try {
      await watchOnce();
    } catch (error) {
      try {
        if (!isCrowded(error)) throw error;
        await pollFor(POLLING_MS);
        continue;
      } catch (again) {
        lost(again);
      }
    }
    failures = now().heardAt > before ? 1 : failures + 1;
    const most = Math.min(BACKOFF_MS, 250 * 2 ** failures);
    const wait = most * (0.5 + Math.random() / 2);
    set({ retryAt: Date.now() + wait });
    // A stream that ended in good order, such as that of a node that stops, is lost once it cannot be had again.
    await pause(wait);
  }
}

let asking = false;
let askAgain = false;

/** Asks for what goes with a version; one round at a time, and one more when something changed meanwhile. */
export function ask(): void {
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  void round().finally(async () => {
    await new Promise((done) => setTimeout(done, ROUND_MS));
    asking = false;
    if (askAgain) {
      askAgain = false;
      ask();
    }
  });
}

async function round(): Promise<void> {
  try {
    const [stats, nodes, transfers, leader, detailed] = await Promise.all([
      get<Stats>("v1/partitions/stats"),
      allNodes(),
      get<Transfers>("v1/transfers"),
      get<Leader>("v1/consensus/leader"),
      get<Detailed>("v1/health/detailed"),
    ]);
    set({ stats, nodes, transfers, leader, detailed });
    const fresh = await readHistory();
    if (!now().config || fresh.some((entry) => CONFIGURES.includes(entry.kind))) {
      set({ config: (await get<{ config: Config }>("v1/config")).config });
    }
    if (!now().owned) await pulse();
  } catch (error) {
    if (error instanceof Problem && error.wantsToken) lost(error);
    // Else the stream, or the next look, will tell whether the node is lost.
  }
}

/** Commands after which the configuration is another. */
const CONFIGURES = ["configure", "set-mode", "mode-applied", "set-lease", "lease-settled"];

/** Takes in what the history has that is not known yet, and gives it. */
async function readHistory(): Promise<Entry[]> {
  const known = now().history.filter((entry) => entry.position > 0);
  const newest = known[0]?.version;
  const range = newest === undefined ? "" : `from=${newest}&`;
  const page = await get<History>(`v1/history?${range}limit=200`);
  const fresh = page.entries.filter((entry) => !known.some((one) => one.position === entry.position));
  const early = new Map(now().history.map((entry) => [entry.version, entry.told]));
  const settled: Entry[] = [...fresh.reverse().map((entry) => ({ ...entry, told: early.get(entry.version) })), ...known];
  const top = settled[0]?.version ?? 0;
  const ahead = now().history.filter((entry) => entry.position === 0 && entry.version > top);
  set({ history: [...ahead, ...settled].slice(0, ENTRIES_MAX), oldest: page.oldest });
  if (page.has_more && newest !== undefined && fresh.length > 0) askAgain = true;
  return fresh;
}

let pulses = 0;

/** What changes without a version. */
async function pulse(): Promise<void> {
  const { link, table, owned: before } = now();
  if (document.hidden || link !== "live" || !table) return;
  pulses += 1;
  if (pulses % Math.ceil((before?.owned.length ?? 0) / OWNED_A_SECOND + 0.001) !== 0) return;
  try {
    const at = performance.now();
    const owned = await get<Owned>("v1/owned");
    set({ owned, ownedAt: at });
    if (pulses % PULSES === 0) {
      const [leader, detailed] = await Promise.all([get<Leader>("v1/consensus/leader"), get<Detailed>("v1/health/detailed")]);
      set({ leader, detailed });
    }
    // A version in which no row and no member differs is not told of by the stream.
    if (owned.version > versionOf(now()) || now().transfers?.plan || (now().transfers?.count ?? 0) > 0) ask();
  } catch {
    set({ owned: null });
  }
}
