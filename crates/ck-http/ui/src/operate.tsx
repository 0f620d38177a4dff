// What changes something: asked for twice, with the token that it takes, and answered in words.
import { useEffect, useRef, useState } from "preact/hooks";
import { type MayStop, Problem, get, hasToken, post, segment, setToken } from "./api";
import { Dialog, Icon, say } from "./bits";
import { plural } from "./format";
import { ask, retry } from "./live";
import type { Held } from "./table";

export type Deed = "drain" | "cordon" | "uncordon";

interface TokenProps {
  why: string;
  onDone: (given: boolean) => void;
}

/** Takes the token, which stays in the memory of this page. */
export function TokenDialog({ why, onDone }: TokenProps) {
  const field = useRef<HTMLInputElement>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    setToken(field.current?.value ?? "");
    if (field.current) field.current.value = "";
    retry();
    onDone(true);
  };
  return (
    <Dialog title="Token" onClose={() => onDone(false)}>
      <form onSubmit={submit}>
        <p>{why}</p>
        <label class="field">
          <span>Token of this cluster (the content of its token file)</span>
          <input ref={field} type="password" name="token" autocomplete="off" spellcheck={false} autofocus />
        </label>
        <p class="faint">Kept in the memory of this page and sent to this node only. A reload forgets it.</p>
        <footer>
          {hasToken() && (
            <button
              type="button"
              class="quiet"
              onClick={() => {
                setToken("");
                onDone(true);
              }}
            >
              Forget the one held
            </button>
          )}
          <button type="submit" class="primary">
            Use this token
          </button>
        </footer>
      </form>
    </Dialog>
  );
}

const WORDS: Record<Deed, { title: string; button: string; what: string; done: string }> = {
  drain: {
    title: "Drain",
    button: "Drain the node",
    what: "Its copies are moved to the other nodes, its primaries handed over first. It stays a member, and gets nothing new until it is uncordoned.",
    done: "is being drained",
  },
  cordon: {
    title: "Cordon",
    button: "Cordon the node",
    what: "It keeps what it has and gets nothing new until it is uncordoned. Nothing moves now.",
    done: "is cordoned",
  },
  uncordon: {
    title: "Uncordon",
    button: "Uncordon the node",
    what: "It takes its share again; the next plan moves copies to it.",
    done: "takes its share again",
  },
};

interface DeedProps {
  node: string;
  deed: Deed;
  holds: Held | undefined;
  /** Whether the cluster makes plans by itself. */
  automatic: boolean;
  onClose: () => void;
}

/** Confirms an operation on a node, telling what it does, then asks for it. */
export function DeedDialog({ node, deed, holds, automatic, onClose }: DeedProps) {
  const words = WORDS[deed];
  const { problem, busy, run, token } = useDeed(() => post(`v1/nodes/${segment(node)}/${deed}`), () => {
    say(`${node} ${words.done}`);
    ask();
    onClose();
  });
  const [stop, setStop] = useState<MayStop | null>(null);
  useEffect(() => {
    if (deed === "drain") get<MayStop>(`v1/nodes/${segment(node)}/may-stop`).then(setStop, () => setStop(null));
  }, []);
  if (token) return token;
  return (
    <Dialog title={`${words.title} ${node}?`} onClose={onClose}>
      <p>{words.what}</p>
      {holds && (
        <p>
          It holds <b>{plural(holds.copies, "copy", "copies")}</b>, and is the primary of <b>{plural(holds.primaries, "partition")}</b>.
        </p>
      )}
      {!automatic && deed !== "cordon" && <p>Plans are not made by themselves in this cluster: copies move once one is previewed and applied.</p>}
      {stop && !stop.allowed && <p class="faint">It could not be stopped at once: {stop.reasons[0]}.</p>}
      {problem && <Refusal problem={problem} />}
      <footer>
        <button type="button" class="quiet" onClick={onClose} autofocus>
          Leave it
        </button>
        <button type="button" class={deed === "drain" ? "danger" : "primary"} disabled={busy} onClick={run}>
          {busy ? "Asking…" : words.button}
        </button>
      </footer>
    </Dialog>
  );
}

export function Refusal({ problem }: { problem: Problem }) {
  return (
    <p class="refusal" role="alert">
      <Icon name="bad" />
      <span>
        {problem.detail}
        {problem.code && <code>{problem.code}</code>}
      </span>
    </p>
  );
}

/** Carries something out once; where a token is missing, asks for it and goes on. */
export function useDeed<T>(deed: () => Promise<T>, onDone: (done: T) => void) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const [wants, setWants] = useState<string | null>(null);
  const run = async () => {
    setBusy(true);
    setProblem(null);
    try {
      onDone(await deed());
    } catch (error) {
      const told = error instanceof Problem ? error : new Problem(0, "", String(error));
      if (told.wantsToken) setWants(told.detail);
      else setProblem(told);
    } finally {
      setBusy(false);
    }
  };
  const token = wants !== null && (
    <TokenDialog
      why={`The node says: ${wants}.`}
      onDone={(given) => {
        setWants(null);
        if (given) void run();
      }}
    />
  );
  return { problem, busy, run: () => void run(), forget: () => setProblem(null), token };
}
