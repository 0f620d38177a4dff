// Colours of nodes: a hue for each of a few nodes, or for each failure domain with a shade for each of its nodes. They
// help to find what belongs together; who is who is told by names, never by colour alone.
import { type Table, domainOf } from "./table";

/** Told apart with any kind of colour vision when side by side; neither the red nor the amber of states. */
const HUES = {
  dark: ["#6b9bf2", "#36b5a2", "#a98bf0", "#c9a35f", "#62bfe6", "#d985a8", "#9fb55a", "#94a3b8"],
  light: ["#3f74d1", "#138a7a", "#7d5fd3", "#a67c2e", "#2d93bd", "#b5567f", "#728a2a", "#64748b"],
};

/** Steps towards white and black, of the nodes of one domain. */
const SHADES = [0, 0.22, -0.2, 0.38, -0.34, 0.12, -0.1, 0.3, -0.27];

export type Theme = "dark" | "light";

export interface Inks {
  theme: Theme;
  surface: string;
  empty: string;
  line: string;
  text: string;
  muted: string;
  bad: string;
  warn: string;
  focus: string;
  /** Text on a cell filled with an owner's colour. */
  onFill: string;
  font: string;
}

function parts(colour: string): [number, number, number] {
  const value = Number.parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** `colour` moved towards white, or black below zero. */
export function shade(colour: string, by: number): string {
  const target = by > 0 ? 255 : 0;
  const moved = parts(colour).map((part) => Math.round(part + (target - part) * Math.abs(by)));
  return `#${moved.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

/** Mixtures that were made; a grid asks for the same few again and again. */
const mixtures = new Map<string, string>();
const MIXTURES_MAX = 4096;

/** `colour` laid over `ground`, opaque: `part` of 1 is the colour itself. */
export function over(colour: string, ground: string, part: number): string {
  if (part >= 1) return colour;
  const key = `${colour}${ground}${part}`;
  const known = mixtures.get(key);
  if (known !== undefined) return known;
  const below = parts(ground);
  const mixed = parts(colour).map((value, at) => Math.round(value * part + (below[at] ?? 0) * (1 - part)));
  const mixture = `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  if (mixtures.size >= MIXTURES_MAX) mixtures.clear();
  mixtures.set(key, mixture);
  return mixture;
}

/** Colours by member number: `owner` tells nodes apart, `domain` failure domains. */
export function colours(table: Table, by: "owner" | "domain", theme: Theme): Map<number, string> {
  const hues = HUES[theme];
  const members = [...table.members.values()].sort((a, b) => a.member - b.member);
  const domains = [...new Set(members.map(domainOf))].sort();
  const found = new Map<number, string>();
  const seen = new Map<string, number>();
  members.forEach((member, at) => {
    const few = members.length <= hues.length;
    const domain = domainOf(member);
    const hue = hues[(by === "owner" && few ? at : domains.indexOf(domain)) % hues.length] ?? "#888888";
    const nth = seen.get(domain) ?? 0;
    seen.set(domain, nth + 1);
    const lone = domains.length === members.length;
    const step = lone ? Math.floor(domains.indexOf(domain) / hues.length) : nth;
    const shaded = by === "owner" && !few ? shade(hue, SHADES[step % SHADES.length] ?? 0) : hue;
    found.set(member.member, shaded);
  });
  return found;
}

/** Colours of the style sheet, for what is painted. */
export function inks(theme: Theme): Inks {
  const style = getComputedStyle(document.documentElement);
  const ink = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    theme,
    surface: ink("surface"),
    empty: ink("sunken"),
    line: ink("line"),
    text: ink("text"),
    muted: ink("muted"),
    bad: ink("bad"),
    warn: ink("warn"),
    focus: ink("accent"),
    onFill: theme === "dark" ? "#0c0f13" : "#ffffff",
    font: getComputedStyle(document.body).fontFamily,
  };
}
