// The table as this page holds it: rows by number, members by number, changed by deltas.
import type { DeltaBody, Member, Row, State, TableBody } from "./api";

export interface Table {
  incarnation: number;
  version: number;
  factor: number;
  members: Map<number, Member>;
  rows: Row[];
}

export function tableOf(body: TableBody): Table {
  return {
    incarnation: body.incarnation,
    version: body.version,
    factor: body.replication_factor,
    members: new Map(body.members.map((member) => [member.member, member])),
    rows: body.rows,
  };
}

/** The table a delta leads to; null when it does not follow on this one. */
export function changed(table: Table, delta: DeltaBody): Table | null {
  if (delta.incarnation !== table.incarnation || delta.from > table.version) return null;
  if (delta.version <= table.version) return table;
  let members = table.members;
  if ((delta.members?.length ?? 0) > 0 || (delta.gone?.length ?? 0) > 0) {
    members = new Map(members);
    for (const member of delta.members ?? []) members.set(member.member, member);
    for (const number of delta.gone ?? []) members.delete(number);
  }
  let rows = table.rows;
  if ((delta.rows?.length ?? 0) > 0) {
    rows = rows.slice();
    for (const row of delta.rows ?? []) {
      if (row.partition > rows.length) return null;
      rows[row.partition] = row;
    }
  }
  return {
    incarnation: table.incarnation,
    version: delta.version,
    factor: delta.replication_factor ?? table.factor,
    members,
    rows,
  };
}

export interface Held {
  copies: number;
  primaries: number;
}

/** What each member holds. */
export function held(table: Table): Map<number, Held> {
  const all = new Map<number, Held>();
  for (const number of table.members.keys()) all.set(number, { copies: 0, primaries: 0 });
  const count = (number: number, primary: boolean) => {
    const one = all.get(number) ?? { copies: 0, primaries: 0 };
    one.copies += 1;
    one.primaries += primary ? 1 : 0;
    all.set(number, one);
  };
  for (const row of table.rows) {
    if (row.primary !== null) count(row.primary, true);
    for (const number of row.replicas) count(number, false);
  }
  return all;
}

export function byState(table: Table): Record<State, number> {
  const counts: Record<State, number> = { stable: 0, moving: 0, degraded: 0, unavailable: 0 };
  for (const row of table.rows) counts[row.state] += 1;
  return counts;
}

export function nameOf(table: Table, number: number | null): string {
  if (number === null) return "nobody";
  return table.members.get(number)?.id ?? `member ${number}`;
}

/** The widest segment of a node's failure domain; itself when it names none. */
export function domainOf(member: { id: string; domain?: string | null }): string {
  return member.domain?.split("/")[0] ?? member.id;
}
