// Bar charts over time, drawn as SVG, each with its numbers as a table for readers who do not see.

import { h, svg } from "./dom.js";

const WIDTH = 480;
const GAP = 0.24;

/**
 * Draws stacked bars.
 *
 * - `series`: `{key, name, class}`, from below; the class is the key where it is not given
 * - `steps`: objects with a number for each key, the latest one last
 * - `label(i)`: when a step began; `written(n)`: a number as text; `isBytes`: it counts by 1024
 */
export function bars({ title, series, steps, label, written, isLow = false, isBytes = false }) {
  const height = isLow ? 84 : 150;
  const sums = steps.map((step) => series.reduce((sum, { key }) => sum + (step[key] ?? 0), 0));
  const highest = Math.max(...sums);
  const top = roundUp(highest, isBytes);
  const wide = WIDTH / steps.length;
  const bodies = steps.map((step, i) => stack({ step, series, i, wide, height, top, label, written }));
  const total = sums.reduce((all, sum) => all + sum, 0);
  const totals = series.map(({ key }) => steps.reduce((all, step) => all + (step[key] ?? 0), 0));
  const spoken = `${title}: ${written(total)} in all${highest ? `, ${written(highest)} at most in one step` : ""}`;
  return h("figure", { class: "chart" },
    h("figcaption", {},
      h("h3", {}, title),
      h("ul", { class: "legend small" }, series.map((one, i) => h("li", {}, h("span", { class: `swatch ${one.class ?? one.key}` }), `${one.name} `, h("b", {}, written(totals[i])))))),
    svg("svg", { viewBox: `0 -18 ${WIDTH} ${height + 40}`, role: "img", "aria-label": spoken },
      [0, 0.5, 1].map((part) => svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: height * (1 - part), y2: height * (1 - part) })),
      top > 0 && svg("text", { class: "scale", x: WIDTH, y: -6, "text-anchor": "end" }, written(top)),
      bodies,
      svg("text", { class: "scale", x: 0, y: height + 15 }, label(0)),
      svg("text", { class: "scale", x: WIDTH, y: height + 15, "text-anchor": "end" }, "now")),
    numbers({ title, series, steps, label, written }));
}

function stack({ step, series, i, wide, height, top, label, written }) {
  let y = height;
  const parts = series.map(({ key, class: given }) => {
    const tall = top ? ((step[key] ?? 0) / top) * height : 0;
    y -= tall;
    return tall > 0 && svg("rect", { class: given ?? key, x: (i + GAP / 2) * wide, y, width: wide * (1 - GAP), height: tall, rx: Math.min(2, tall / 2) });
  });
  const facts = series.map(({ key, name }) => `${name}: ${written(step[key] ?? 0)}`);
  return svg("g", {},
    svg("title", {}, [label(i), ...facts].join("\n")),
    // The whole column answers the pointer, also where its bar is low.
    svg("rect", { class: "column", x: i * wide, y: 0, width: wide, height }),
    parts);
}

function numbers({ title, series, steps, label, written }) {
  return h("details", { class: "numbers small" },
    h("summary", {}, "As numbers"),
    h("div", { class: "scroller", tabindex: 0, role: "region", "aria-label": title },
      h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"), series.map(({ name }) => h("th", { scope: "col", class: "number" }, name)))),
        h("tbody", {}, steps.map((step, i) => h("tr", {}, h("th", { scope: "row" }, label(i)),
          series.map(({ key }) => h("td", { class: "number" }, written(step[key] ?? 0)))))))));
}

/** Returns the next number that a scale may end with: 1, 2 or 5 and zeros, of a unit of bytes. */
function roundUp(number, isBytes) {
  if (number <= 0) return 0;
  const unit = isBytes ? 1024 ** Math.floor(Math.log(number) / Math.log(1024)) : 1;
  const power = 10 ** Math.floor(Math.log10(number / unit));
  return unit * [1, 2, 5, 10].map((step) => step * power).find((step) => step * unit >= number);
}
