/**
 * Embeddings of new tokens in files of their own: as diffusers has them (the token is the key), as AUTOMATIC1111 has them
 * (`string_to_param`), and with one row for each of two text encoders (`clip_l`, `clip_g`), as for SDXL.
 */
import { FileError } from "../../files/errors.ts";
import { isFile, namesIn } from "../../files/paths.ts";
import type { Delta } from "../delta.ts";
import {
  type Content,
  type DeltaFile,
  isDict,
  isLeaf,
  openContent,
  readFinite,
} from "./content.ts";
import { bare, type DeltaFormat, type Packed } from "./format.ts";

/** Keys that stand for "the embedding" and do not name the token. */
const NAMELESS = ["emb_params", "*", "<*>"];

const CLIP_L = "clip_l", CLIP_G = "clip_g";

/** The parts of an embedding file, or undefined where it is none: what the token is called, and its one or two rows. */
function partsOf(file: DeltaFile): { token?: string; rows: Content[] } | undefined {
  const { root } = file;
  const a1111 = root.get("string_to_param");
  if (isDict(a1111)) return { rows: [...a1111.values()].filter(isLeaf) };
  const two = [root.get(CLIP_L), root.get(CLIP_G)];
  if (root.size === 2 && two.every(isVector)) return { rows: two };
  const [[key, content] = ["", undefined]] = root;
  if (root.size !== 1 || !isVector(content) || key.includes(".")) return undefined;
  return { rows: [content], ...(!NAMELESS.includes(key) && { token: key }) };
}

const isVector = (content: Content): boolean =>
  isLeaf(content) && (content.shape.length === 1 || content.shape.length === 2) &&
  /F/i.test(content.dtype);

/** An embedding alone: a delta that changes no weights. */
export const embedding: DeltaFormat = {
  name: "embedding",
  title: "embedding of a token (textual inversion)",
  forms: ["weight", "change", "factors"],
  containers: ["safetensors", "torch"],
  stem: "embedding",
  tokens: "inside",
  matches: (file) => partsOf(file) !== undefined,
  async read(file) {
    const { token = `<${stemOf(file.path)}>`, rows } = partsOf(file)!;
    const vectors: Float32Array[] = [];
    for (const row of rows) {
      if (isLeaf(row) && row.shape.length === 2 && row.shape[0] !== 1) {
        throw new FileError(
          file.path,
          `holds ${row.shape[0]} vectors for ${token}, and a token here has one`,
        );
      }
      vectors.push(await readFinite(file, token, row));
    }
    const delta: Delta = {
      ...bare(new Map()),
      tokens: [{ token, className: "", initializer: "" }],
      embeddings: vectors.slice(0, 1),
    };
    return vectors.length > 1 ? { ...delta, embeddings2: vectors.slice(1, 2) } : delta;
  },
  write(delta, { name = "the delta" }) {
    if (delta.weights.size || delta.tokens.length !== 1) {
      throw new FileError(
        name,
        `holds ${delta.tokens.length} tokens and ${delta.weights.size} weights, and an embedding file is one token`,
        "The other formats write embeddings beside the weights",
      );
    }
    return { root: packEmbedding(delta, 0) };
  },
};

/** An embedding as a file's content: `[d]` or, as most tools have it, `[1, d]`. */
export function packEmbedding(delta: Delta, i: number, flat = false): Map<string, Packed> {
  const pack = (data: Float32Array) => ({
    shape: flat ? [data.length] : [1, data.length],
    data,
  });
  const first = pack(delta.embeddings[i]);
  return delta.embeddings2
    ? new Map([[CLIP_L, first], [CLIP_G, pack(delta.embeddings2[i])]])
    : new Map([[delta.tokens[i].token, first]]);
}

/** A token as a file name: as it is, or without its angle brackets, which some systems and programs can't take. */
export function tokenFile(token: string, plain: boolean): string {
  const name = plain ? token.replace(/^<(.*)>$/, "$1") : token;
  return name.replace(plain ? /[<>:"/\\|?*\s]/g : /[/\\\s]/g, "_") || "_";
}

/** A delta with the tokens whose embedding files lie in the folder of its own file. */
export async function withTokensBeside(path: string, delta: Delta): Promise<Delta> {
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  const folder = path.slice(0, cut) || "./", own = path.slice(cut);
  const found = new Map<string, { name: string; delta: Delta }>();
  const order = new Intl.Collator("en", { numeric: true });
  for (const name of (await namesIn(folder)).sort(order.compare)) {
    if (name === own || !await isFile(folder + name)) continue;
    const part = await readEmbedding(folder + name);
    if (!part) continue;
    const [{ token }] = part.tokens, other = found.get(token);
    if (other && !same(other.delta, part)) {
      throw new FileError(
        folder + name,
        `holds another ${token} than ${other.name} beside it`,
        "Keep each delta in a folder of its own",
      );
    }
    found.set(token, { name, delta: part });
  }
  const parts = [...found.values()].map((f) => f.delta);
  const merged: Delta = {
    ...delta,
    tokens: parts.flatMap((p) => p.tokens),
    embeddings: parts.flatMap((p) => p.embeddings),
  };
  const two = parts.length > 0 && parts.every((p) => p.embeddings2);
  return two ? { ...merged, embeddings2: parts.flatMap((p) => p.embeddings2!) } : merged;
}

/** A file's embedding. Other files, broken ones among them, are none: they are not what was asked for. */
async function readEmbedding(path: string): Promise<Delta | undefined> {
  let file: DeltaFile;
  try {
    file = await openContent(path);
  } catch (error) {
    if (error instanceof FileError) return undefined;
    throw error;
  }
  using opened = file;
  return embedding.matches(opened) ? await embedding.read(opened, {}) : undefined;
}

const same = (a: Delta, b: Delta): boolean =>
  a.embeddings[0].length === b.embeddings[0].length &&
  a.embeddings[0].every((x, i) => x === b.embeddings[0][i]);

const stemOf = (path: string): string => path.split(/[/\\]/).at(-1)!.replace(/\.[^.]*$/, "");
