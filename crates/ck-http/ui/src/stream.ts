// Server-sent events over fetch: unlike EventSource it carries a token and tells a refusal from a loss.
import { credentials, problemOf, url } from "./api";

export interface ServerEvent {
  event: string;
  id: string;
  data: string;
}

/** Longest silence: the server sends something every five seconds. */
const SILENCE_MS = 12_000;

/** Most characters of one event that are kept. */
const EVENT_MAX = 256 << 20;

/** Cuts lines into events, however the bytes arrive. */
export class Parser {
  private rest = "";
  private event = "";
  private id = "";
  private data: string[] = [];

  push(text: string): ServerEvent[] {
    const found: ServerEvent[] = [];
    const lines = (this.rest + text).split(/\r?\n/);
    this.rest = lines.pop() ?? "";
    if (this.rest.length > EVENT_MAX) throw new Error("an event is too large");
    for (const line of lines) this.line(line, found);
    return found;
  }

  private line(line: string, found: ServerEvent[]): void {
    if (line === "") {
      if (this.data.length > 0) {
        found.push({ event: this.event || "message", id: this.id, data: this.data.join("\n") });
      }
      this.event = "";
      this.data = [];
      return;
    }
    if (line.startsWith(":")) return;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.event = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id") this.id = value;
  }
}

/**
 * Follows a stream until it ends. `alive` is called whenever bytes arrive.
 * Throws a `Problem` when it is refused, and another error when it breaks off.
 */
export async function follow(
  path: string,
  last: string,
  stop: AbortSignal,
  on: (event: ServerEvent) => void,
  alive: () => void,
): Promise<void> {
  const ended = new AbortController();
  const end = () => ended.abort();
  stop.addEventListener("abort", end);
  let watchdog = setTimeout(end, SILENCE_MS);
  const heard = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(end, SILENCE_MS);
    alive();
  };
  try {
    const reply = await fetch(url(path), {
      headers: { accept: "text/event-stream", ...(last === "" ? {} : { "last-event-id": last }), ...credentials() },
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: ended.signal,
    });
    if (!reply.ok) throw await problemOf(reply);
    if (!reply.body) throw new Error("the stream has no body");
    heard();
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      for (const event of parser.push(value)) on(event);
    }
  } finally {
    clearTimeout(watchdog);
    stop.removeEventListener("abort", end);
    ended.abort();
  }
}
