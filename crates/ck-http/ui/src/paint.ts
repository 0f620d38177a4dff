// The partition grid as it is laid out and painted. States differ by shape, so that no colour has to be told apart:
// stable is a full cell, moving half of one, degraded a frame, unavailable a cross.
import type { State } from "./api";
import { type Inks, over } from "./palette";
import { type Table, nameOf } from "./table";

export type By = "owner" | "domain" | "state";
export type Order = "number" | "node";

export interface Layout {
  columns: number;
  rows: number;
  width: number;
  height: number;
  gap: number;
  /** Whether a cell has room for its number and its primary's name. */
  cards: boolean;
  /** Partition at each place. */
  at: number[];
  /** Place of each partition. */
  place: number[];
}

/** Most partitions whose cells are large enough to be written on. */
const CARDS_MAX = 160;

export function layout(table: Table, width: number, order: Order): Layout {
  const count = table.rows.length;
  const at = ordered(table, order);
  const place: number[] = new Array(count);
  at.forEach((partition, where) => {
    place[partition] = where;
  });
  if (count <= CARDS_MAX) {
    const gap = 4;
    const columns = Math.max(1, Math.min(count, Math.floor((width + gap) / (count <= 32 ? 92 : 76))));
    const cell = Math.floor((width + gap) / columns);
    return { columns, rows: Math.ceil(count / columns), width: cell, height: 46, gap, cards: true, at, place };
  }
  const target = width < 480 ? 620 : 480;
  const side = Math.max(5, Math.min(24, Math.floor(Math.sqrt((width * target) / count))));
  const columns = Math.max(1, Math.floor(width / side));
  const gap = side >= 13 ? 2 : 1;
  return { columns, rows: Math.ceil(count / columns), width: side, height: side, gap, cards: false, at, place };
}

function ordered(table: Table, order: Order): number[] {
  const all = table.rows.map((_, partition) => partition);
  if (order === "number") return all;
  const key = (partition: number) => table.rows[partition]?.primary ?? Number.MAX_SAFE_INTEGER;
  return all.sort((a, b) => key(a) - key(b) || a - b);
}

export interface Look {
  by: By;
  colours: Map<number, string>;
  inks: Inks;
  /** Member whose partitions stand out. */
  member: number | null;
  only: State | null;
}

type Pen = CanvasRenderingContext2D;

export function paint(pen: Pen, table: Table, plan: Layout, look: Look): void {
  const { columns, rows, width, height } = plan;
  pen.clearRect(0, 0, columns * width, rows * height);
  plan.at.forEach((partition, where) => {
    const x = (where % columns) * width;
    const y = Math.floor(where / columns) * height;
    cell(pen, table, plan, look, partition, x, y);
  });
}

/** Partitions that stand out by a ring, on a canvas of their own, so that pointing paints no cell again. */
export function ring(pen: Pen, plan: Layout, marked: readonly (readonly [number | null, string])[]): void {
  const { columns, rows, width, height, gap } = plan;
  pen.clearRect(0, 0, columns * width, rows * height);
  for (const [partition, ink] of marked) {
    const where = partition === null ? undefined : plan.place[partition];
    if (where === undefined) continue;
    const x = (where % columns) * width;
    const y = Math.floor(where / columns) * height;
    pen.lineWidth = 2;
    pen.strokeStyle = ink;
    pen.strokeRect(x + 1, y + 1, width - gap - 2, height - gap - 2);
  }
}

/** How much of a partition's colour is shown: less when another node or state is looked for. */
function strength(table: Table, look: Look, partition: number): number {
  const row = table.rows[partition];
  if (!row) return 0;
  if (look.only !== null && row.state !== look.only) return 0.12;
  if (look.member === null || row.primary === look.member) return 1;
  return row.replicas.includes(look.member) ? 0.45 : 0.1;
}

function inkOf(table: Table, look: Look, partition: number): string {
  const row = table.rows[partition];
  const { inks } = look;
  if (!row || row.primary === null) return inks.muted;
  if (look.by !== "state") return look.colours.get(row.primary) ?? inks.muted;
  if (row.state === "stable") return over(inks.muted, inks.surface, 0.45);
  return row.state === "moving" ? inks.focus : inks.warn;
}

function cell(pen: Pen, table: Table, plan: Layout, look: Look, partition: number, x: number, y: number): void {
  const row = table.rows[partition];
  if (!row) return;
  const { inks } = look;
  const w = plan.width - plan.gap;
  const h = plan.height - plan.gap;
  const part = strength(table, look, partition);
  // Small cells are many: those at rest step back, so that the others are seen among them.
  const calm = !plan.cards && row.state === "stable" && look.member === null ? 0.66 : 1;
  const ink = over(inkOf(table, look, partition), inks.surface, part * calm);
  const bad = over(inks.bad, inks.surface, Math.max(part, 0.25));
  const tint = over(ink, inks.surface, plan.cards ? 0.16 : 0.3);
  shape(pen, row.state, x, y, w, h, ink, bad, tint, inks.surface, plan.cards);
  if (look.member !== null && part === 0.45 && w >= 9) {
    pen.strokeStyle = over(inkOf(table, look, partition), inks.surface, 0.8);
    pen.lineWidth = 1;
    pen.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
  }
  if (plan.cards) write(pen, table, look, partition, x, y, w, h, part);
}

/** Exported for the legend, which draws the same shapes. */
export function shape(
  pen: Pen,
  state: State,
  x: number,
  y: number,
  w: number,
  h: number,
  ink: string,
  bad: string,
  tint: string,
  ground: string,
  card = false,
): void {
  // A card keeps its shape in a band at its left edge and is tinted beside it.
  const band = card ? 6 : w;
  if (card) {
    pen.fillStyle = state === "unavailable" ? over(bad, tint, 0.14) : tint;
    pen.fillRect(x, y, w, h);
  }
  if (state === "stable") {
    pen.fillStyle = ink;
    pen.fillRect(x, y, band, h);
    return;
  }
  if (state === "moving") {
    pen.fillStyle = tint;
    pen.fillRect(x, y, band, h);
    pen.fillStyle = ink;
    if (card) {
      for (let at = 0; at < h; at += 8) pen.fillRect(x, y + at, band, 4);
      return;
    }
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x, y + h);
    pen.lineTo(x + w, y + h);
    pen.closePath();
    pen.fill();
    return;
  }
  const line = Math.max(1.5, Math.min(2, w / 6));
  pen.lineWidth = line;
  if (state === "degraded") {
    pen.strokeStyle = ink;
    pen.strokeRect(x + line / 2, y + line / 2, band - line, h - line);
    return;
  }
  pen.strokeStyle = bad;
  if (card) {
    pen.strokeRect(x + line / 2, y + line / 2, w - line, h - line);
  } else {
    pen.fillStyle = bad;
    pen.fillRect(x, y, w, h);
    pen.strokeStyle = ground;
  }
  const size = Math.min(w, h, card ? 14 : w);
  const left = card ? x + w - size - 5 : x;
  const top = card ? y + 5 : y;
  const inset = card ? 2 : line / 2;
  pen.beginPath();
  pen.moveTo(left + inset, top + inset);
  pen.lineTo(left + size - inset, top + size - inset);
  pen.moveTo(left + size - inset, top + inset);
  pen.lineTo(left + inset, top + size - inset);
  pen.stroke();
}

/** Number, primary and replicas of a cell that has room for them. */
function write(pen: Pen, table: Table, look: Look, partition: number, x: number, y: number, w: number, h: number, part: number): void {
  const row = table.rows[partition];
  if (!row) return;
  const { inks } = look;
  const faint = Math.max(part, 0.3);
  pen.textBaseline = "alphabetic";
  pen.font = `500 12px ${inks.font}`;
  pen.fillStyle = over(inks.text, inks.surface, faint);
  const primary = row.state === "unavailable" ? "nobody" : nameOf(table, row.primary);
  pen.fillText(fitted(pen, primary, w - 18), x + 12, y + h - 10);
  pen.font = `400 11px ${inks.font}`;
  pen.fillStyle = over(inks.muted, inks.surface, faint);
  pen.fillText(String(partition), x + 12, y + 15);
  let right = x + w - 7;
  if (row.state === "unavailable") right -= 16;
  for (const number of row.replicas.slice(0, 4).reverse()) {
    const ink = look.colours.get(number) ?? inks.muted;
    pen.fillStyle = over(look.by === "state" ? inks.muted : ink, inks.surface, faint);
    pen.beginPath();
    pen.arc(right - 3, y + 11, 3, 0, 2 * Math.PI);
    pen.fill();
    right -= 9;
  }
}

const widths = new Map<string, number>();

function fitted(pen: Pen, text: string, width: number): string {
  const measured = (part: string) => {
    const key = `${pen.font}\n${part}`;
    let known = widths.get(key);
    if (known === undefined) {
      if (widths.size > 4096) widths.clear();
      known = pen.measureText(part).width;
      widths.set(key, known);
    }
    return known;
  };
  if (measured(text) <= width) return text;
  // Names differ at their end: that is what is kept.
  for (let cut = 1; cut < text.length; cut += 1) {
    const short = `…${text.slice(cut)}`;
    if (measured(short) <= width) return short;
  }
  return "…";
}
