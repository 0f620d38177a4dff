// Small parts that the panels share.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

const PATHS: Record<string, string> = {
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9Zm3.4 7.9 3.1 3.1",
  sun: "M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6ZM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M3.2 12.8l1-1M11.8 4.2l1-1",
  moon: "M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8Z",
  lock: "M4 7.2h8v6H4zM5.6 7V5.2a2.4 2.4 0 0 1 4.8 0V7",
  unlock: "M4 7.2h8v6H4zM5.6 7V5.2a2.4 2.4 0 0 1 4.6-.9",
  close: "m4 4 8 8M12 4l-8 8",
  left: "M10 3 5 8l5 5",
  right: "m6 3 5 5-5 5",
  chevron: "m6 4 4 4-4 4",
  ok: "m3.2 8.4 3.2 3.2 6.4-7",
  warn: "M8 2.2 14.4 13H1.6L8 2.2ZM8 6.4v3M8 11.2v.2",
  bad: "M5.4 2h5.2L14 5.4v5.2L10.6 14H5.4L2 10.6V5.4L5.4 2ZM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  info: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2Zm0 5.2v3.6M8 5v.2",
  arrow: "M2.5 8h10M9 4.5 12.5 8 9 11.5",
  crown: "M2.4 11.8h11.2M2.6 4.8l2.7 3L8 3.6l2.7 4.2 2.7-3-.8 5H3.4z",
  node: "M3 3.5h10v3.6H3zM3 8.9h10v3.6H3zM5.2 5.3h.1M5.2 10.7h.1",
  gear: "M2.5 4.5h6M11.5 4.5h2M10 3v3M2.5 11.5h2M7.5 11.5h6M6 10v3",
  key: "M6 7.4a2.7 2.7 0 1 1-1 5.2 2.7 2.7 0 0 1 1-5.2Zm1.6.8L13 2.8M10.6 5.2l1.8 1.8",
  data: "M3 4.2c0-2.3 10-2.3 10 0v7.6c0 2.3-10 2.3-10 0ZM3 4.4c0 2 10 2 10 0M3 8.2c0 2 10 2 10 0",
  plan: "M3 3h4v4H3zM9 9h4v4H9zM9 5h2.5v2M7 11H4.5V9",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2v9.6L12.6 8z",
};

export function Icon({ name, label }: { name: string; label?: string }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" role={label ? "img" : undefined} aria-label={label} aria-hidden={label ? undefined : "true"}>
      <path d={PATHS[name] ?? ""} />
    </svg>
  );
}

interface PanelProps {
  id: string;
  title: string;
  /** Said beside the title. */
  note?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

export function Panel({ id, title, note, actions, children }: PanelProps) {
  return (
    <section class={`panel panel-${id}`} aria-labelledby={`${id}-title`}>
      <header class="panel-head">
        <h2 id={`${id}-title`}>{title}</h2>
        <span class="panel-note">{note}</span>
        {actions && <div class="panel-actions">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}

/** A few options beside each other, of which one holds. */
export function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>) {
  return (
    <div class="choice" role="radiogroup" aria-label={label}>
      {options.map(([option, text]) => (
        <label key={option} class={option === value ? "is-on" : ""}>
          <input type="radio" name={label} checked={option === value} onChange={() => onChange(option)} />
          {text}
        </label>
      ))}
    </div>
  );
}

interface DialogProps {
  title: string;
  wide?: boolean;
  onClose: () => void;
  children: ComponentChildren;
}

/** A modal dialog: the browser keeps the focus inside, Escape closes it, and the focus goes back to where it was. */
export function Dialog({ title, wide, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const before = useRef(document.activeElement);
  useEffect(() => {
    element.current?.showModal();
    return () => {
      const focus = before.current;
      if (focus instanceof HTMLElement && focus.isConnected) focus.focus();
    };
  }, []);
  return (
    <dialog ref={element} class={wide ? "is-wide" : ""} aria-label={title} onClose={onClose} onCancel={onClose}>
      <header>
        <h2>{title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** Draws again every `ms`, for what grows old while nothing else changes. */
export function useTick(ms: number): void {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), ms);
    return () => clearInterval(timer);
  }, [ms]);
}

let announced = (_: string) => {};

/** Says something to those who listen instead of look. */
export function say(text: string): void {
  announced(text);
}

export function Announcer() {
  const [text, setText] = useState("");
  useEffect(() => {
    announced = setText;
  }, []);
  return (
    <div class="unseen" role="status" aria-live="polite">
      {text}
    </div>
  );
}
