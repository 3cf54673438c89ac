// How much of each part of a large file is here, as a bar.

import { h, svg } from "./dom.js";
import { plain } from "./names.js";
import { percent } from "./units.js";

/** The digit of a part that is here whole. */
const WHOLE = 9;

/** Draws the bar of a transfer. */
export function pieces(transfer) {
  const { pieces: parts, verified, length, name } = transfer;
  const label = `${plain(name ?? "File")}: ${percent(verified, length)}`;
  if (!parts) return h("progress", { class: "bar-of", max: length || 1, value: verified, "aria-label": label });
  const levels = new Map();
  [...parts].forEach((digit, i) => {
    if (digit !== "0") levels.set(digit, `${levels.get(digit) ?? ""}M${i} 0h1v1h-1z`);
  });
  const paths = [...levels].map(([digit, d]) => svg("path", { d, opacity: 0.2 + (0.8 * Number(digit)) / WHOLE }));
  return svg("svg", {
    class: "pieces", viewBox: `0 0 ${parts.length} 1`, preserveAspectRatio: "none", "shape-rendering": "crispEdges",
    role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-valuenow": length ? Math.floor((100 * verified) / length) : 0,
  }, paths);
}
