// A list of any length, of which only the rows in sight are in the document. It asks its source
// for windows by their offset, keeps the ones near by, and is moved through with the keyboard.

import { h, put } from "./dom.js";

/** Rows that are fetched at once. */
const WINDOW = 100;
/** Windows that are kept. */
const KEPT = 12;
/** Rows beyond the edge of what is seen. */
const SPARE = 8;
/** Browsers cannot place elements far beyond this height in pixels; a longer list is compressed. */
const TALLEST = 12_000_000;

let lists = 0;

/**
 * A virtual list.
 *
 * - `columns`: `{key, title, class, sort}` of the heads
 * - `load(offset, limit, signal)`: resolves to `{rows, total}`
 * - `draw(row)`: returns the cells of a row, in the order of the columns
 * - `open(row)`: the user has chosen a row
 * - `sort(key)`: the user has chosen an order
 */
export class Rows {
  constructor({ label, columns, load, draw, open, sort, onloaded, onfailed }) {
    Object.assign(this, { columns, load, draw, open, onloaded, onfailed });
    this.name = `list${(lists += 1)}`;
    this.total = 0;
    this.chosen = 0;
    this.windows = new Map();
    this.loading = new AbortController();
    this.drawn = new Map();
    this.heads = columns.map((column) => head(column, sort));
    this.header = h("div", { role: "row", class: "row head", "aria-rowindex": 1 }, this.heads);
    this.body = h("div", { role: "rowgroup", class: "rows" });
    this.element = h("div", {
      role: "grid", class: "list", tabindex: 0, "aria-label": label, "aria-readonly": "true",
      onscroll: () => this.show(),
      onkeydown: (event) => this.pressed(event),
      onclick: (event) => this.clicked(event),
    }, h("div", { role: "rowgroup", class: "heads" }, this.header), this.body);
    this.resized = new ResizeObserver(() => this.show());
    this.resized.observe(this.element);
  }

  /** Shows in the heads by what the list is sorted. */
  sorted(key, isDescending) {
    this.columns.forEach((column, i) => {
      const isIt = column.key === key;
      if (!column.sort) return;
      this.heads[i].setAttribute("aria-sort", isIt ? (isDescending ? "descending" : "ascending") : "none");
    });
  }

  /** Begins again with another list. */
  restart() {
    this.chosen = 0;
    this.element.scrollTop = 0;
    this.isNew = true;
    return this.refresh();
  }

  /** Reads again what is seen; what is shown stays until the answer is there. */
  async refresh() {
    this.loading.abort();
    this.loading = new AbortController();
    const { signal } = this.loading;
    const first = Math.floor(this.range()[0] / WINDOW);
    try {
      const answer = await this.load((this.isNew ? 0 : first) * WINDOW, WINDOW, signal);
      if (signal.aborted) return;
      this.windows.clear();
      this.windows.set(this.isNew ? 0 : first, answer.rows);
      this.isNew = false;
      this.clear();
      this.count(answer.total);
      this.onloaded?.(answer);
      this.show();
    } catch (error) {
      if (!signal.aborted) this.onfailed?.(error);
    }
  }

  close() {
    this.loading.abort();
    this.resized.disconnect();
  }

  count(total) {
    this.total = total;
    this.element.setAttribute("aria-rowcount", total + 1);
    this.body.style.height = `${Math.min(total * this.rowHeight(), TALLEST)}px`;
    this.chosen = Math.max(0, Math.min(this.chosen, total - 1));
  }

  rowHeight() {
    const height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    return Number.isNaN(height) ? 42 : height;
  }

  /** Returns how many rows a pixel of scrolling stands for, in pixels of rows. */
  stretch() {
    const seen = this.element.clientHeight;
    const whole = this.total * this.rowHeight();
    return whole <= TALLEST ? 1 : (whole - seen) / (TALLEST - seen);
  }

  /** Returns the first row to be drawn, and the one after the last. */
  range() {
    const height = this.rowHeight();
    const top = this.element.scrollTop * this.stretch();
    const first = Math.floor(top / height) - SPARE;
    const last = Math.ceil((top + this.element.clientHeight) / height) + SPARE;
    return [Math.max(0, first), Math.min(this.total, Math.max(last, 0))];
  }

  show() {
    const [first, last] = this.range();
    for (const [index, row] of this.drawn) {
      if (index < first || index >= last) {
        row.remove();
        this.drawn.delete(index);
      }
    }
    const height = this.rowHeight();
    const tall = `${Math.min(this.total * height, TALLEST)}px`;
    if (this.body.style.height !== tall) this.body.style.height = tall;
    const shift = this.element.scrollTop * (this.stretch() - 1);
    for (let index = first; index < last; index += 1) {
      const row = this.at(index);
      let element = this.drawn.get(index);
      if (element && row && element.isEmpty) {
        element.remove();
        element = null;
      }
      if (!element) {
        element = this.make(index, row);
        this.drawn.set(index, element);
        this.body.append(element);
      }
      element.style.transform = `translateY(${index * height - shift}px)`;
    }
    this.mark();
  }

  /** Returns a row if it is here, and otherwise has it fetched. */
  at(index) {
    const window = Math.floor(index / WINDOW);
    const rows = this.windows.get(window);
    if (rows) return rows[index - window * WINDOW];
    // A list that flies by is fetched only where it comes to rest.
    this.wanted = window;
    this.pause ??= setTimeout(() => this.fetch(), 60);
    return undefined;
  }

  async fetch() {
    this.pause = undefined;
    const [first, last] = this.range();
    const { signal } = this.loading;
    for (let window = Math.floor(first / WINDOW); window * WINDOW < last; window += 1) {
      if (this.windows.has(window)) continue;
      try {
        const answer = await this.load(window * WINDOW, WINDOW, signal);
        if (signal.aborted) return;
        this.windows.set(window, answer.rows);
        if (answer.total !== this.total) this.count(answer.total);
      } catch (error) {
        if (!signal.aborted) this.onfailed?.(error);
        return;
      }
    }
    while (this.windows.size > KEPT) this.windows.delete(this.windows.keys().next().value);
    this.show();
  }

  make(index, row) {
    const id = `${this.name}-${index}`;
    const element = h("div", { role: "row", class: "row", id, "aria-rowindex": index + 2 });
    element.index = index;
    element.isEmpty = !row;
    put(element, row ? this.draw(row) : h("div", { role: "gridcell", class: "cell waiting" }, "…"));
    return element;
  }

  clear() {
    for (const row of this.drawn.values()) row.remove();
    this.drawn.clear();
  }

  mark() {
    for (const [index, element] of this.drawn) {
      if (index === this.chosen) element.setAttribute("aria-selected", "true");
      else element.removeAttribute("aria-selected");
    }
    if (this.drawn.has(this.chosen)) this.element.setAttribute("aria-activedescendant", `${this.name}-${this.chosen}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  choose(index) {
    this.chosen = Math.max(0, Math.min(index, this.total - 1));
    const height = this.rowHeight();
    const seen = this.element.clientHeight - this.header.offsetHeight;
    const top = this.chosen * height;
    const now = this.element.scrollTop * this.stretch();
    if (top < now) this.element.scrollTop = top / this.stretch();
    else if (top + height > now + seen) this.element.scrollTop = (top + height - seen) / this.stretch();
    this.show();
  }

  pressed(event) {
    if (event.target !== this.element || event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight()) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.choose(this.chosen + steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") {
      const row = this.at(this.chosen);
      if (row) this.open?.(row);
    } else return;
    event.preventDefault();
  }

  clicked(event) {
    const element = event.target.closest(".rows > .row");
    if (!element || event.target.closest("button, a")) return;
    this.choose(element.index);
    const row = this.at(element.index);
    if (row) this.open?.(row);
  }
}

function head(column, sort) {
  const inside = column.sort
    ? h("button", { type: "button", class: "sort", onclick: () => sort(column.key) }, column.title)
    : h("span", { class: column.isUnseen ? "unseen" : null }, column.title);
  return h("div", { role: "columnheader", class: `cell ${column.class ?? ""}`, "aria-sort": column.sort ? "none" : null }, inside);
}

/** Makes a cell. */
export function cell(className, ...children) {
  return h("div", { role: "gridcell", class: `cell ${className}` }, children);
}
