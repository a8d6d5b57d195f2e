// A chart as a file: its points as CSV, its drawing as PNG.

import { download } from "../base/dom.js";
import { csv } from "../base/format.js";
import { MARGIN } from "./axes.js";

/** @param {string} text */
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
/**
 * @param {ChartBoard} board
 * @param {import("./chart.js").Chart} chart
 * @param {string} ending
 */
const fileName = (board, chart, ending) => `${board.run}-${chart.spec.id}.${ending}`;

/**
 * One row per step of any curve of the chart: step, epoch, seconds, then each curve; least and greatest if thinned.
 *
 * @param {import("./chart.js").Chart} chart
 */
export function tableOf(chart) {
  const { curves } = chart.board;
  const keys = [...new Set(chart.frame.plot.lines.flatMap((line) => line.key || []))];
  const header = ["step", "epoch", "seconds"];
  const rows = new Map();
  /**
   * @param {Curve} curve
   * @param {number} i
   * @param {number} column
   * @param {number | null} value
   */
  const put = (curve, i, column, value) => {
    const step = curve.x[i];
    if (!rows.has(step)) rows.set(step, [step, curves.perEpoch ? step / curves.perEpoch : null, curve.t[i]]);
    rows.get(step)[column] = value;
  };
  for (const key of keys) {
    const curve = curves.get(key);
    /** @type {[suffix: string, part: "y" | "lo" | "hi"][]} */
    const parts = curve?.lo
      ? [
          ["", "y"],
          [" min", "lo"],
          [" max", "hi"],
        ]
      : [["", "y"]];
    for (const [suffix, part] of parts) {
      const column = header.push(key + suffix) - 1;
      curve?.[part]?.forEach((value, i) => {
        put(curve, i, column, value);
      });
    }
  }
  const body = [...rows.values()].sort((a, b) => a[0] - b[0]);
  return [header, ...body.map((row) => header.map((_, i) => row[i] ?? null))];
}

/** @param {import("./chart.js").Chart} chart */
export function csvOf(chart) {
  const text = tableOf(chart)
    .map((row) => row.map(csv).join(","))
    .join("\r\n");
  download(fileName(chart.board, chart, "csv"), `${text}\r\n`, "text/csv");
}

/**
 * The drawing with heading and legend, as it is shown now, at twice the size of the screen's dots.
 *
 * @param {import("./chart.js").Chart} chart
 */
export async function pictureOf(chart) {
  const { board, frame } = chart;
  const { plot } = frame;
  if (!plot.isDrawn) return;
  const { palette } = board;
  const names = new Map(frame.entries.map((entry) => [entry.id, entry.label]));
  const named = new Set();
  const readings = new Set(plot.lines.filter((line) => line.isReading).map((line) => line.legend));
  const data = plot.canvas.data.map((/** @type {any} */ trace) => {
    const line = plot.lines.find((l) => l.id === trace.name && (l.isReading || !readings.has(l.legend)));
    const label = line && !named.has(line.legend) && trace.visible !== false ? names.get(line.legend) : null;
    if (line && label) named.add(line.legend);
    return { ...trace, name: escaped(label ?? ""), showlegend: Boolean(label) };
  });
  const shapes = board.marks().map((mark) => ({
    type: "line",
    x0: mark.place,
    x1: mark.place,
    yref: "paper",
    y0: 0,
    y1: 1,
    line: { color: palette.subdued, width: 1, dash: mark.is_ghost ? "2px,6px" : "dot" },
  }));
  /** @type {any} */
  const layout = {
    ...plot.layout(),
    width: 900,
    height: 460,
    shapes,
    showlegend: true,
    paper_bgcolor: palette.surface,
    margin: { ...MARGIN, l: 70, r: 24, t: 84, b: 54 },
    title: {
      text: `${escaped(frame.title)} \u00b7 ${escaped(board.title)}`,
      x: 0.02,
      xanchor: "left",
      font: { size: 15, color: palette.text },
    },
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", font: { color: palette.text } },
  };
  layout.xaxis = { ...layout.xaxis, title: { text: board.axisLabel, font: { size: 12, color: palette.subdued } } };
  const url = await /** @type {Plotly} */ (board.plotly).toImage(
    { data, layout },
    { format: "png", width: 900, height: 460, scale: 2 },
  );
  download(fileName(board, chart, "png"), url, "image/png");
}
