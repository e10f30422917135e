/** Commands of the pages of docs/, and deltas for them to work on. */
import type { Delta } from "../concepts/deltas/delta.ts";
import { unetConfig, unetSpecs } from "../models/unet/unet.ts";
import { sizeOf } from "../tensor/shape.ts";
import { MINIATURE } from "./models_folder.ts";
import { uniform } from "./support/check.ts";

const ROOT = new URL("..", import.meta.url).pathname;

/** Lines that begin with `moongate` in the shell blocks of a page in docs/, or of one section of it, as arguments. */
export async function pageCommands(page: string, section?: string): Promise<string[][]> {
  const text = await Deno.readTextFile(`${ROOT}docs/${page}`);
  const part = section === undefined ? text : text.split(`\n## ${section}\n`)[1].split(/^## /m)[0];
  const blocks = [...part.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, code]) => code);
  const lines = [...blocks.join("").matchAll(/^(?:deno task )?moongate (.*)$/gm)];
  return lines.map(([, line]) =>
    [...line.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word)
  );
}

/** A delta of the miniature's architecture. */
export async function someDelta(token: string, seed: number): Promise<Delta> {
  const config = JSON.parse(await Deno.readTextFile(`${MINIATURE}/unet/config.json`));
  const text = JSON.parse(await Deno.readTextFile(`${MINIATURE}/text_encoder/config.json`));
  const draw = uniform(seed);
  const random = (length: number) => Float32Array.from({ length }, () => 0.1 * draw());
  const weights = new Map(
    [...unetSpecs(unetConfig(config))].filter(([name]) => /attn2\.to_[kv]\./.test(name)).map(
      ([name, { shape }]) => [`unet.${name}`, { shape, data: random(sizeOf(shape)) }] as const,
    ),
  );
  return {
    base: "",
    tokens: [{ token, className: "dog", initializer: "" }],
    embeddings: [random(text.hidden_size)],
    weights,
    notes: {},
  };
}
