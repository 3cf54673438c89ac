// Numbers as people read them: sizes, rates, durations, times. Sizes are written as in a terminal.

const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const COUNT = new Intl.NumberFormat("en");
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes / 1024;
  let unit = 0;
  // 1023.95 would be shown as 1024.0.
  while (value >= 1023.95 && unit + 1 < UNITS.length) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(1)} ${UNITS[unit]}`;
}

export const rate = (bytes) => `${size(bytes)}/s`;

export const count = (n) => COUNT.format(n);

/** Returns a number with its thing: `1 file`, `2 files`. */
export const many = (n, thing) => `${count(n)} ${thing}${n === 1 ? "" : "s"}`;

export const percent = (part, whole) => (whole ? `${Math.floor((100 * part) / whole)} %` : "–");

/** Returns a round-trip time. */
export function trip(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** Returns a number of seconds: `12 s`, `4 min`, `3 h`, `2 days`. */
export function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h`;
  return many(Math.round(seconds / 86400), "day");
}

/** Returns how long ago a time was, in seconds since 1970. */
export function ago(seconds) {
  const past = now() - seconds;
  return past < 5 ? "just now" : `${span(past)} ago`;
}

/** Returns a day, and the time of day where it was not long ago. */
export function time(seconds) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "–";
  return Math.abs(now() - seconds) < 43200 ? CLOCK.format(date) : DAY.format(date);
}

/** Returns day and time of day. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? "–" : `${DAY.format(date)}, ${CLOCK.format(date)}`;
}

export const now = () => Date.now() / 1000;
