/** Plots as SVG files, drawn without a browser. The libraries are loaded when a plot is asked for. */
import { LAYER_GROUPS, type LayerChange } from "../../concepts/deltas/analyse.ts";

/** Singular values of each matrix, each beside its largest, and where each was cut (paper Figure 12). */
export async function spectrumPlot(
  spectra: ReadonlyMap<string, Float64Array>,
  ranks: ReadonlyMap<string, number>,
): Promise<string> {
  const points = [...spectra].filter(([, s]) => s[0] > 0).flatMap(([matrix, s]) =>
    Array.from(s, (value, i) => ({ matrix, i: i + 1, value: value / s[0] }))
  );
  const cuts = points.filter(({ matrix, i }) => i === ranks.get(matrix));
  return await draw((Plot) => ({
    ...{ width: 800, height: 500, marginLeft: 60 },
    x: { type: "log", label: "singular value", tickFormat: "d" },
    y: { label: "beside the largest of its matrix", domain: [0, 1] },
    marks: [
      Plot.line(points, { x: "i", y: "value", z: "matrix", strokeOpacity: 0.4 }),
      Plot.dot(cuts, { x: "i", y: "value", r: 3, fill: "crimson", title: "matrix" }),
    ],
  }));
}

/** Every layer's change as a line, and the mean of each group in red (paper Figure 3). */
export function changesPlot(layers: readonly LayerChange[]): Promise<string> {
  const data = layers.filter((l) => Number.isFinite(l.change));
  return draw((Plot) => ({
    ...{ width: 700, height: 400, marginLeft: 60 },
    fx: { domain: LAYER_GROUPS, label: null },
    y: { label: "relative change", grid: true },
    marks: [
      Plot.tickY(data, { fx: "group", y: "change", strokeOpacity: 0.4 }),
      Plot.tickY(
        data,
        Plot.groupZ({ y: "mean" }, { fx: "group", y: "change", stroke: "crimson", strokeWidth: 3 }),
      ),
      Plot.ruleY([0]),
    ],
  }));
}

/** A model in the plane of text and image alignment, with intervals that may be infinite. */
export interface AlignmentPoint {
  /** Points of one series are joined in their order. */
  readonly series: string;
  /** Beside the point. */
  readonly label: string;
  readonly text: number;
  readonly image: number;
  /** From and to. */
  readonly textInterval: readonly [number, number];
  /** From and to. */
  readonly imageInterval: readonly [number, number];
}

/** Text against image alignment: further up and to the right is better (paper Figures 8, 13 and 17). */
export function alignmentPlot(points: readonly AlignmentPoint[]): Promise<string> {
  const data = points.map((p) => {
    const [left, right] = p.textInterval, [low, high] = p.imageInterval;
    return { ...p, left, right, low, high };
  });
  const finite = data.filter((p) => [p.left, p.right, p.low, p.high].every(Number.isFinite));
  const bars = { stroke: "series", strokeOpacity: 0.35 };
  return draw((Plot) => ({
    ...{ width: 700, height: 460, marginLeft: 60, marginRight: 110, grid: true },
    color: { scheme: "category10" },
    x: { label: "text alignment", nice: true },
    y: { label: "image alignment", nice: true },
    marks: [
      Plot.ruleY(finite, { y: "image", x1: "left", x2: "right", ...bars }),
      Plot.ruleX(finite, { x: "text", y1: "low", y2: "high", ...bars }),
      Plot.line(data, { x: "text", y: "image", z: "series", stroke: "series" }),
      Plot.dot(data, { x: "text", y: "image", r: 4, fill: "series" }),
      Plot.text(data, {
        ...{ x: "text", y: "image", text: "label", fill: "series" },
        ...{ dx: 7, dy: -7, textAnchor: "start" },
      }),
    ],
  }));
}

/** Loss by step. */
export function curvePlot(
  points: readonly { readonly step: number; readonly loss: number }[],
): Promise<string> {
  return draw((Plot) => ({
    ...{ width: 620, height: 200, marginLeft: 50 },
    y: { nice: true },
    marks: [Plot.line(points, { x: "step", y: "loss", stroke: "seagreen" })],
  }));
}

type Plots = typeof import("npm:@observablehq/plot@0.6.17");

async function draw(options: (Plot: Plots) => Parameters<Plots["plot"]>[0]): Promise<string> {
  const Plot = await import("npm:@observablehq/plot@0.6.17");
  const { parseHTML } = await import("npm:linkedom@0.18.15");
  const page = parseHTML("<!doctype html><html><body></body></html>");
  const svg = Plot.plot({
    style: { background: "white" },
    ...options(Plot),
    document: (page as unknown as { document: never }).document, // Deno has no types of a DOM.
  });
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return svg.outerHTML;
}
