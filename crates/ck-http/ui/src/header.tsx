// The top line: which cluster, how fresh it is, where a key is, theme and token.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, type Route, get, hasToken } from "./api";
import { Icon, say, useTick } from "./bits";
import { clock, plural, span } from "./format";
import { retry } from "./live";
import { TokenDialog } from "./operate";
import type { Theme } from "./palette";
import { type Model, versionOf } from "./store";

interface Props {
  model: Model;
  theme: Theme;
  onTheme: () => void;
  onPartition: (partition: number) => void;
}

export function Header({ model, theme, onTheme, onPartition }: Props) {
  const [token, setToken] = useState(false);
  const name = model.config?.cluster_name ?? "ClusterKit";
  return (
    <header class="top">
      <div class="brand">
        <img src="ui/icon.svg" alt="" width="20" height="20" />
        <h1>{name}</h1>
        {model.table && (
          <span class="faint version" title={`incarnation ${model.table.incarnation}`}>
            version <b data-figure="version">{versionOf(model)}</b>
          </span>
        )}
      </div>
      <KeyBox version={model.table?.version ?? 0} onPartition={onPartition} />
      <Freshness model={model} />
      <div class="tools">
        <button type="button" class="quiet" onClick={onTheme} aria-label={theme === "dark" ? "Light theme" : "Dark theme"}>
          <Icon name={theme === "dark" ? "sun" : "moon"} />
        </button>
        <button type="button" class="quiet" onClick={() => setToken(true)} aria-label={hasToken() ? "A token is held; change it" : "Enter a token"} title={hasToken() ? "A token is held in memory" : "No token"}>
          <Icon name={hasToken() ? "unlock" : "lock"} />
        </button>
      </div>
      {(token || model.wantsToken) && (
        <TokenDialog
          why={model.wantsToken ? model.refused : "Operations may ask for the token of the cluster. It is sent with every request from here on."}
          onDone={(given) => {
            setToken(false);
            if (!given && model.wantsToken) retry();
          }}
        />
      )}
    </header>
  );
}

/** How old what is shown is, and whether it still follows. */
function Freshness({ model }: { model: Model }) {
  useTick(500);
  const age = performance.now() - model.heardAt;
  if (model.link === "live") {
    // The server says something at least every five seconds.
    const late = age > 7000;
    return (
      <div class={`fresh ${late ? "is-late" : "is-live"}`} title={model.pushed ? "changes are pushed by the node" : "changes are asked for every two seconds"}>
        <i />
        <span>{late ? `silent for ${span(age)}` : "live"}</span>
        <span class="faint">{late ? "" : `${span(age)} ago`}</span>
      </div>
    );
  }
  return (
    <div class={`fresh is-${model.link}`}>
      <i />
      <span>{model.link === "lost" ? "cut off" : "connecting"}</span>
      {model.heardAt > 0 && <span class="faint">{span(age)} old</span>}
    </div>
  );
}

/** Said in the middle of the page when it no longer follows. */
export function CutOff({ model }: { model: Model }) {
  useTick(500);
  if (model.link !== "lost") return null;
  const here = model.detailed?.node_id ?? "its node";
  const others = model.nodes.filter((node) => node.id !== model.detailed?.node_id && node.status !== "down").slice(0, 4);
  const wait = Math.max(0, model.retryAt - Date.now());
  return (
    <div class="banner is-bad" role="alert">
      <Icon name="bad" />
      <span>
        <b>This page is cut off from {here}</b> since {clock(model.lostAt)}.{" "}
        {model.refused && `It says: ${model.refused}. `}
        {model.table
          ? `What you see is version ${versionOf(model)}, ${span(performance.now() - model.heardAt)} old.`
          : "There is nothing to show yet."}{" "}
        {wait > 0 ? `Next try in ${span(wait)}.` : "Trying…"}
      </span>
      <button type="button" onClick={retry}>
        Try now
      </button>
      {others.length > 0 && (
        <span class="elsewhere">
          Elsewhere:{" "}
          {others.map((node) => (
            <a key={node.id} href={`${location.protocol}//${node.ip}/ui`}>
              {node.id}
            </a>
          ))}
        </span>
      )}
    </div>
  );
}

/** Shows where a key is. */
function KeyBox({ version, onPartition }: { version: number; onPartition: (partition: number) => void }) {
  const field = useRef<HTMLInputElement>(null);
  const [key, setKey] = useState("");
  const [route, setRoute] = useState<Route | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.closest("input, select, textarea, dialog");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      field.current?.focus();
    };
    document.addEventListener("keydown", focus);
    return () => document.removeEventListener("keydown", focus);
  }, []);
  useEffect(() => {
    if (key === "") {
      setRoute(null);
      setProblem("");
      return;
    }
    let wanted = true;
    const timer = setTimeout(() => {
      get<Route>(`v1/partitions/key?key=${encodeURIComponent(key)}`).then(
        (found) => {
          if (!wanted) return;
          setRoute(found);
          setProblem("");
          say(`${key} is in ${found.id}, primary ${found.primary_node || "nobody"}`);
        },
        (error: unknown) => {
          if (!wanted) return;
          setRoute(null);
          setProblem(error instanceof Problem ? error.detail : String(error));
        },
      );
    }, 120);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [key, version]);
  const open = () => {
    if (route) onPartition(Number(route.id.replace("partition-", "")));
  };
  return (
    <search class="key-box">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          open();
        }}
      >
        <Icon name="search" />
        <input
          ref={field}
          type="text"
          placeholder="Where is a key? user:1001"
          aria-label="Key to look up"
          autocomplete="off"
          spellcheck={false}
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") setKey("");
          }}
        />
        {key === "" && <kbd aria-hidden="true">/</kbd>}
      </form>
      {(route || problem) && (
        <div class="route" data-figure="route">
          {problem ? <p class="faint">{problem}</p> : route && <RouteShown route={route} onOpen={open} />}
        </div>
      )}
    </search>
  );
}

function RouteShown({ route, onOpen }: { route: Route; onOpen: () => void }) {
  return (
    <>
      <div class="line">
        <button type="button" class="link" onClick={onOpen}>
          {route.id}
        </button>
        <span class={`word is-${route.state}`}>{route.state}</span>
        <span class="faint">epoch {route.epoch}</span>
      </div>
      <ol>
        <li>
          <b>{route.primary_node || "nobody"}</b> <code>{route.primary_address}</code> <span class="faint">primary</span>
        </li>
        {route.replica_nodes.map((node, at) => (
          <li key={node}>
            {node} <code>{route.replica_addresses[at]}</code>
          </li>
        ))}
      </ol>
      {Object.entries(route.primary_services).map(([name, address]) => (
        <p key={name} class="faint">
          service {name} at <code>{address}</code>
        </p>
      ))}
      {route.replica_nodes.length === 0 && <p class="faint">{plural(0, "replica")}</p>}
    </>
  );
}
