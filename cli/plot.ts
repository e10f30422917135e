/** Plots as SVG files, drawn without a browser. The libraries are loaded when a plot is asked for. */
import { LAYER_GROUPS, type LayerChange } from "../concepts/analyse.ts";

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
