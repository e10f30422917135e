/** The part of docs/paper.md that a run writes: conclusions and tables from the JSON. */
import { writeFileAtomic } from "../files/atomic.ts";
import { FileError } from "../files/errors.ts";
import { readText } from "../files/text.ts";
import { leadOf } from "./report.ts";
import type { Results } from "./results.ts";
import { conclusionCells, markdown, partsOf } from "./tables.ts";

const BEGIN = "<!-- deno task paper -->";
const END = "<!-- end -->";

/** The part, in Markdown. */
export function pageOf(results: Results): string {
  const parts = partsOf(results).map(({ title, text, cells }) =>
    [`### ${title}`, ...text ? [text] : [], markdown(cells)].join("\n\n")
  );
  const conclusions = markdown(conclusionCells(results.conclusions));
  return [leadOf(results), "### Conclusions", conclusions, ...parts].join("\n\n");
}

/** Puts the part into a page, between its marks. */
export async function writePage(path: string, results: Results): Promise<void> {
  const before = await readText(path);
  const [head, rest] = before.split(BEGIN), tail = rest?.split(END)[1];
  if (tail === undefined) throw new FileError(path, `has no place for results: ${BEGIN} … ${END}`);
  await writeFileAtomic(path, `${head}${BEGIN}\n\n${pageOf(results)}\n\n${END}${tail}`);
}
