// The partition grid: painted, pointed at, walked through with the arrow keys.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { STATES, type State } from "./api";
import { Choice, Panel, say } from "./bits";
import { count, list, plural } from "./format";
import { type By, type Layout, type Order, layout, paint, ring, shape } from "./paint";
import { PartitionDetail } from "./partition";
import { type Inks, over } from "./palette";
import { type Table, byState, nameOf } from "./table";
import { Travel, type Travelling } from "./travel";

interface Props {
  table: Table;
  travelling: Travelling;
  colours: Map<number, string>;
  inks: Inks;
  by: By;
  onBy: (by: By) => void;
  /** Member whose partitions stand out. */
  member: number | null;
  selected: number | null;
  onSelect: (partition: number | null) => void;
}

export function describe(table: Table, partition: number): string {
  const row = table.rows[partition];
  if (!row) return "";
  const replicas = row.replicas.map((number) => nameOf(table, number));
  const primary = row.state === "unavailable" ? "nobody may act on it" : `primary ${nameOf(table, row.primary)}`;
  const others = replicas.length > 0 ? `, replicas ${list(replicas, 8)}` : "";
  return `partition-${partition}, ${row.state}, ${primary}${others}, epoch ${row.epoch}`;
}

export function Grid(props: Props) {
  const { table, by, onBy, selected } = props;
  const [order, setOrder] = useState<Order>("number");
  const [only, setOnly] = useState<State | null>(null);
  const counts = useMemo(() => byState(table), [table]);
  const past = props.travelling.table !== null;
  const choices = [["owner", "Primary"], ["domain", "Domain"], ["state", "State"]] as const;
  return (
    <Panel
      id="grid"
      title="Partitions"
      note={
        <>
          <b data-figure="partitions">{count(table.rows.length)}</b> with {plural(table.factor, "copy", "copies")} each
        </>
      }
      actions={
        <>
          <Choice label="Colour of partitions" value={by} options={choices} onChange={onBy} />
          <Choice label="Order of partitions" value={order} options={[["number", "By number"], ["node", "By primary"]]} onChange={setOrder} />
        </>
      }
    >
      <Legend counts={counts} only={only} onOnly={setOnly} inks={props.inks} />
      <Canvas {...props} order={order} only={only} />
      {selected !== null && selected < table.rows.length && (
        <PartitionDetail table={table} partition={selected} past={past} onClose={() => props.onSelect(null)} />
      )}
      <Travel travelling={props.travelling} />
    </Panel>
  );
}

interface LegendProps {
  counts: Record<State, number>;
  only: State | null;
  onOnly: (state: State | null) => void;
  inks: Inks;
}

/** The states with their shapes and counts; each is a button that brings its partitions out. */
function Legend({ counts, only, onOnly, inks }: LegendProps) {
  return (
    <div class="legend" role="group" aria-label="Partitions by state">
      {STATES.map((state) => (
        <button
          key={state}
          type="button"
          class={counts[state] === 0 ? "is-none" : ""}
          aria-pressed={only === state}
          onClick={() => onOnly(only === state ? null : state)}
        >
          <Shape state={state} inks={inks} />
          {state} <b data-figure={`state-${state}`}>{count(counts[state])}</b>
        </button>
      ))}
    </div>
  );
}

function Shape({ state, inks }: { state: State; inks: Inks }) {
  const element = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const pen = scaled(element.current, 12, 12);
    if (!pen) return;
    const ink = inks.text;
    shape(pen, state, 0, 0, 12, 12, over(ink, inks.surface, 0.7), inks.bad, over(ink, inks.surface, 0.25), inks.surface);
  }, [state, inks]);
  return <canvas ref={element} class="shape" aria-hidden="true" />;
}

/** The pen of a canvas that is as sharp as the screen. */
function scaled(canvas: HTMLCanvasElement | null, width: number, height: number): CanvasRenderingContext2D | null {
  if (!canvas) return null;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen?.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

const STEPS: Record<string, (plan: Layout, at: number) => number> = {
  ArrowRight: (_, at) => at + 1,
  ArrowLeft: (_, at) => at - 1,
  ArrowDown: (plan, at) => at + plan.columns,
  ArrowUp: (plan, at) => at - plan.columns,
  PageDown: (plan, at) => at + 10 * plan.columns,
  PageUp: (plan, at) => at - 10 * plan.columns,
  Home: () => 0,
  End: (plan) => plan.at.length - 1,
};

function Canvas(props: Props & { order: Order; only: State | null }) {
  const { table, order, colours, inks, by, member, selected, onSelect, only } = props;
  const frame = useRef<HTMLDivElement>(null);
  const cells = useRef<HTMLCanvasElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [cursor, setCursor] = useState<number | null>(null);
  const [focused, setFocused] = useState(false);
  const [tip, setTip] = useState<{ x: number; y: number; partition: number } | null>(null);
  const plan = useMemo(() => layout(table, width, order), [table, width, order]);
  useEffect(() => {
    if (!frame.current) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  const tall = plan.rows * plan.height;
  useEffect(() => {
    if (width === 0) return;
    const pen = scaled(cells.current, width, tall);
    if (pen) paint(pen, table, plan, { by, colours, inks, member, only });
  }, [table, plan, width, tall, by, colours, inks, member, only]);
  useEffect(() => {
    if (width === 0) return;
    const pen = scaled(canvas.current, width, tall);
    if (pen) ring(pen, plan, [[selected, inks.focus], [cursor, focused ? inks.focus : inks.text]]);
  }, [plan, width, tall, inks, cursor, selected, focused]);

  const under = (event: PointerEvent | MouseEvent): number | null => {
    const column = Math.floor(event.offsetX / plan.width);
    const line = Math.floor(event.offsetY / plan.height);
    if (column < 0 || column >= plan.columns) return null;
    return plan.at[line * plan.columns + column] ?? null;
  };
  const walk = (event: KeyboardEvent) => {
    if (event.key === "Escape" && selected !== null) onSelect(null);
    const step = STEPS[event.key];
    if (step) {
      event.preventDefault();
      const from = plan.place[cursor ?? plan.at[0] ?? 0] ?? 0;
      const to = cursor === null ? from : Math.max(0, Math.min(plan.at.length - 1, step(plan, from)));
      const partition = plan.at[to] ?? 0;
      setCursor(partition);
      say(describe(table, partition));
    }
    if ((event.key === "Enter" || event.key === " ") && cursor !== null) {
      event.preventDefault();
      onSelect(selected === cursor ? null : cursor);
    }
  };
  return (
    <div ref={frame} class="grid-frame">
      <canvas ref={cells} class="cells" aria-hidden="true" />
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-roledescription="partition grid"
        aria-label={`${plural(table.rows.length, "partition")}; arrow keys walk through them, Enter opens one`}
        onKeyDown={walk}
        onFocus={() => {
          setFocused(true);
          if (cursor === null && table.rows.length > 0) setCursor(selected ?? plan.at[0] ?? 0);
        }}
        onBlur={() => {
          setFocused(false);
          setCursor(null);
        }}
        onPointerMove={(event) => {
          const partition = under(event);
          if (!focused) setCursor(partition);
          setTip(partition === null ? null : { x: event.offsetX, y: event.offsetY, partition });
        }}
        onPointerLeave={() => {
          setTip(null);
          if (!focused) setCursor(null);
        }}
        onClick={(event) => {
          const partition = under(event);
          if (partition === null) return;
          setCursor(partition);
          onSelect(selected === partition ? null : partition);
        }}
      />
      {tip && <Tip table={table} tip={tip} width={width} />}
    </div>
  );
}

function Tip({ table, tip, width }: { table: Table; tip: { x: number; y: number; partition: number }; width: number }) {
  const row = table.rows[tip.partition];
  if (!row) return null;
  const left = tip.x > width / 2;
  return (
    <div class="tip" style={{ top: `${tip.y + 14}px`, left: left ? "auto" : `${tip.x + 10}px`, right: left ? `${width - tip.x + 10}px` : "auto" }}>
      <b>partition-{tip.partition}</b> <span class={`word is-${row.state}`}>{row.state}</span>
      <span>
        {row.state === "unavailable" ? "nobody may act" : nameOf(table, row.primary)}
        {row.replicas.length > 0 && <i> · {list(row.replicas.map((number) => nameOf(table, number)), 4)}</i>}
      </span>
      <i>epoch {row.epoch}</i>
    </div>
  );
}
