/** HTML reports that open from disk: one file, pictures inlined, no scripts. */
import { curvePlot } from "./plot.ts";
import { encodePng } from "../../files/pictures/png.ts";
import type { Picture } from "../../files/pictures/picture.ts";

/** A row of pictures. */
export interface ReportRow {
  readonly title: string;
  readonly pictures: readonly Picture[];
  /** Words under each picture. */
  readonly captions: readonly string[];
  /** Shown as large as they are, and not as thumbnails: sheets. */
  readonly whole?: boolean;
}

/** A part of a report. */
export interface ReportSection {
  readonly title: string;
  readonly text: string;
  readonly rows: readonly ReportRow[];
  /** Loss by step, drawn as a curve. */
  readonly curve?: readonly { readonly step: number; readonly loss: number }[];
  /** Plots, as SVG. */
  readonly plots?: readonly string[];
  /** Rows of cells, the first of them the heads. */
  readonly table?: readonly (readonly string[])[];
  /** Text in columns, shown as it is. */
  readonly pre?: string;
}

/** A whole report. */
export interface Report {
  readonly title: string;
  readonly lead: string;
  readonly sections: readonly ReportSection[];
}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

const STYLE =
  `body{font:16px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#222}
h1,h2,h3{line-height:1.2}h3{margin:.8rem 0 .3rem;font-size:1rem;color:#555}
.row{display:flex;flex-wrap:wrap;gap:12px}figure{margin:0;width:192px}
img{width:192px;height:192px;image-rendering:auto;border-radius:6px}.whole{width:auto;height:auto;max-width:100%}
figcaption{font-size:.8rem;color:#555}
table{border-collapse:collapse;font-size:.9rem;margin:.5rem 0}th,td{text-align:left;padding:.2rem .8rem .2rem 0;
border-bottom:1px solid #ddd;vertical-align:top}
pre{background:#f4f4f4;padding:1rem;overflow-x:auto;font-size:.8rem}`;

/** The report as one HTML page. */
export async function reportPage({ title, lead, sections }: Report): Promise<string> {
  const parts = await Promise.all(sections.map(section));
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${
    escape(title)
  }</title><style>${STYLE}</style></head>
<body><h1>${escape(title)}</h1><p>${escape(lead)}</p>
${parts.join("\n")}
</body></html>
`;
}

async function section(
  { title, text, rows, curve, plots = [], table, pre }: ReportSection,
): Promise<string> {
  const shown = await Promise.all(rows.map(row));
  return `<section><h2>${escape(title)}</h2><p>${escape(text)}</p>
${table ? tableOf(table) : ""}
${plots.join("\n")}
${shown.join("\n")}
${curve && curve.length > 1 ? `<h3>loss</h3>${await curvePlot(curve)}` : ""}
${pre ? `<pre>${escape(pre)}</pre>` : ""}</section>`;
}

function tableOf([heads, ...body]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((text) => `<${tag}>${escape(text)}</${tag}>`).join("")}</tr>`;
  return `<table>${line(heads, "th")}${body.map((cells) => line(cells, "td")).join("\n")}</table>`;
}

async function row({ title, pictures, captions, whole }: ReportRow): Promise<string> {
  const figures = await Promise.all(pictures.map(async (picture, i) => {
    const src = `data:image/png;base64,${(await encodePng(picture)).toBase64()}`;
    const words = escape(captions[i] ?? "");
    if (whole) return `<img class="whole" src="${src}" alt="${words}">`;
    return `<figure><img src="${src}" alt="${words}"><figcaption>${words}</figcaption></figure>`;
  }));
  return `<h3>${escape(title)}</h3><div class="row">${figures.join("")}</div>`;
}
