// The page.
import { render } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Announcer, Panel } from "./bits";
import { Events } from "./events";
import { Glance, verdict } from "./glance";
import { Grid } from "./grid";
import { CutOff, Header } from "./header";
import { run } from "./live";
import { Moves } from "./moves";
import { Nodes } from "./nodes";
import type { By } from "./paint";
import { type Theme, colours, inks } from "./palette";
import { useModel } from "./store";
import { PastBanner, useTravel } from "./travel";

const STORED = "clusterkit-theme";

function stored(): Theme | null {
  try {
    const theme = localStorage.getItem(STORED);
    return theme === "dark" || theme === "light" ? theme : null;
  } catch {
    return null;
  }
}

/** The theme the system asks for, until one is chosen here. */
function useTheme(): [Theme, () => void] {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const [chosen, setChosen] = useState<Theme | null>(stored);
  const [dark, setDark] = useState(system.matches);
  useEffect(() => {
    const listener = () => setDark(system.matches);
    system.addEventListener("change", listener);
    return () => system.removeEventListener("change", listener);
  }, []);
  const theme = chosen ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
  const toggle = () => {
    const next = theme === "dark" ? "light" : "dark";
    setChosen(next);
    try {
      localStorage.setItem(STORED, next);
    } catch {
      // Not kept beyond this page.
    }
  };
  return [theme, toggle];
}

function App() {
  const model = useModel();
  const [theme, toggle] = useTheme();
  const [by, setBy] = useState<By>("owner");
  const [member, setMember] = useState<number | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const [partition, setPartition] = useState<number | null>(null);
  const travelling = useTravel(model);
  const table = travelling.table ?? model.table;
  const ink = useMemo(() => inks(theme), [theme]);
  const hues = useMemo(() => (table ? colours(table, by === "domain" ? "domain" : "owner", theme) : new Map<number, string>()), [table?.members, by, theme]);
  useEffect(() => {
    const { tone } = verdict(model);
    const mark = model.link === "lost" ? "✕ " : tone === "bad" ? "! " : "";
    document.title = `${mark}${model.config?.cluster_name ?? "ClusterKit"}`;
  }, [model]);
  return (
    <>
      <a class="skip" href="#main">
        Skip to the cluster
      </a>
      <div class="head">
        <Header model={model} theme={theme} onTheme={toggle} onPartition={setPartition} />
        <CutOff model={model} />
        <PastBanner travelling={travelling} />
      </div>
      {table ? (
        <main id="main" class={model.link === "lost" ? "is-stale" : ""} tabIndex={-1}>
          <Glance model={model} />
          <div class="columns">
            <div class="column">
              <Nodes
                model={model}
                table={table}
                past={travelling.table !== null}
                colours={hues}
                selected={member}
                onSelect={setMember}
                onPoint={setPointed}
              />
              <Moves model={model} />
            </div>
            <div class="column">
              <Grid
                table={table}
                travelling={travelling}
                colours={hues}
                inks={ink}
                by={by}
                onBy={setBy}
                member={pointed ?? member}
                selected={partition}
                onSelect={setPartition}
              />
              <Events model={model} at={travelling.table ? travelling.at : null} onGo={travelling.go} />
            </div>
          </div>
        </main>
      ) : (
        <main id="main" tabIndex={-1}>
          <Panel id="waiting" title={model.link === "lost" ? "Nothing to show" : "Connecting"}>
            <p class="empty">{model.refused || "Asking the node for its table."}</p>
          </Panel>
        </main>
      )}
      <footer class="bottom">
        <span>{model.detailed?.software ?? "ClusterKit"}</span>
        {model.config && (
          <span>
            mode {model.config.mode}, lease {model.config.lease_ms} ms, hash {model.config.hash}, spread {model.config.spread}
          </span>
        )}
        <span>
          <kbd>/</kbd> looks up a key
        </span>
      </footer>
      <Announcer />
    </>
  );
}

const root = document.querySelector("#app");
if (root) {
  root.textContent = "";
  render(<App />, root);
  void run();
}
