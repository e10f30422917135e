/**
 * Embeddings of new tokens in files of their own: as diffusers has them (the token is the key), as AUTOMATIC1111 has them
 * (`string_to_param`), and with one row for each of two text encoders (`clip_l`, `clip_g`), as for SDXL.
 */
import { FileError } from "../../../files/errors.ts";
import { isFile, namesIn } from "../../../files/paths.ts";
import type { Delta } from "../delta.ts";
import {
  type Content,
  type DeltaFile,
  isDict,
  isLeaf,
  openContent,
  readFinite,
} from "./content.ts";
import { bare, type DeltaFormat, type Packed, type Written } from "./format.ts";

/** Keys that stand for "the embedding" and do not name the token. */
const NAMELESS = ["emb_params", "*", "<*>"];

const CLIP_L = "clip_l", CLIP_G = "clip_g";

/** Endings of parameters, which a file with one vector may hold instead of a word with dots in its name. */
const PARAMETER = /\.(weight|bias|alpha|diff|diff_b|change|u|v|US|Vh)$/;

/** The header's field that names the token of a file, whatever the file is called. */
const NAMED = "token";

/** The parts of an embedding file, or undefined where it is none: what the token is called, and its one or two rows. */
function partsOf(file: DeltaFile): { token?: string; rows: Content[] } | undefined {
  const parts = foundIn(file), token = file.metadata[NAMED];
  return parts && /^<[^<>\s]+>$/.test(token ?? "") ? { ...parts, token } : parts;
}

function foundIn({ root: held }: DeltaFile): { token?: string; rows: Content[] } | undefined {
  const names = [...held].filter(([, content]) => isDict(content) && !content.size);
  const root = new Map([...held].filter(([, content]) => !isDict(content) || content.size));
  const a1111 = root.get("string_to_param");
  if (isDict(a1111)) return { rows: [...a1111.values()].filter(isLeaf) };
  const two = [root.get(CLIP_L), root.get(CLIP_G)];
  const said = names.length === 1 && { token: names[0][0] };
  if (root.size === 2 && two.every(isVector)) return { rows: two, ...said };
  const [[key, content] = ["", undefined]] = root;
  if (root.size !== 1 || !isVector(content) || PARAMETER.test(key)) return undefined;
  return { rows: [content], ...(NAMELESS.includes(key) ? said : { token: key }) };
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
    const { token = bracketed(stemOf(file.path)), rows } = partsOf(file)!;
    const vectors: Float32Array[] = [];
    for (const row of rows) vectors.push(await readRow(file, token, row));
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
    return packEmbedding(delta, 0);
  },
};

/**
 * An embedding as a file's content: `[d]` or, as most tools have it, `[1, d]`. The token is named in it, since no file name
 * can hold every name: as the key, and for two encoders, whose keys are others, in the header or as an empty dictionary.
 */
export function packEmbedding(delta: Delta, i: number, flat = false): Written {
  const pack = (data: Float32Array) => ({
    shape: flat ? [data.length] : [1, data.length],
    data,
  });
  const first = pack(delta.embeddings[i]), { token } = delta.tokens[i];
  const metadata = { format: "pt", [NAMED]: token };
  if (!delta.embeddings2 && !NAMELESS.includes(token)) {
    return { root: new Map([[token, first]]), metadata };
  }
  const rows = delta.embeddings2
    ? [[CLIP_L, first], [CLIP_G, pack(delta.embeddings2[i])]] as const
    : [[NAMELESS[0], first]] as const;
  return { root: new Map<string, Packed>([...rows, [token, new Map()]]), metadata };
}

/** Words that adapters bring along: `bundle_emb.<name>.` before what an embedding file has. */
const BUNDLED = /^bundle_emb\.(.+?)\.(?:string_to_param\.\*|\*|emb_params|clip_l|(clip_g))$/;

/** The words in an adapter file, and the keys under which they are. */
export async function bundledTokens(
  file: DeltaFile,
): Promise<Pick<Delta, "tokens" | "embeddings" | "embeddings2"> & { keys: ReadonlySet<string> }> {
  const keys = new Set<string>(), rows = new Map<string, [Float32Array?, Float32Array?]>();
  for (const [key, content] of file.root) {
    const [, name, second] = BUNDLED.exec(key) ?? [];
    if (name === undefined) continue;
    const token = bracketed(name), pair = rows.get(token) ?? [];
    pair[second ? 1 : 0] = await readRow(file, token, content);
    rows.set(token, pair);
    keys.add(key);
  }
  const two = [...rows.values()].some(([, second]) => second);
  const column = (i: 0 | 1) =>
    [...rows].map(([token, pair]) => {
      if (pair[i]) return pair[i];
      throw new FileError(file.path, `holds ${token} for one of two text encoders only`);
    });
  return {
    keys,
    tokens: [...rows.keys()].map((token) => ({ token, className: "", initializer: "" })),
    embeddings: column(0),
    ...(two && { embeddings2: column(1) }),
  };
}

/** A name as a word of prompts. */
const bracketed = (name: string): string => /^<.*>$/.test(name) ? name : `<${name}>`;

/** The one vector of a token. */
async function readRow(file: DeltaFile, token: string, row: Content): Promise<Float32Array> {
  if (isLeaf(row) && row.shape.length === 2 && row.shape[0] !== 1) {
    throw new FileError(
      file.path,
      `holds ${row.shape[0]} vectors for ${token}, and a token here has one`,
    );
  }
  return await readFinite(file, token, row);
}

/**
 * A token as a file name: as it is, or without its angle brackets, which some systems and programs can't take. What no
 * name of a file can hold becomes an underscore, and what makes it too long is cut.
 *
 * @param taken names that are given already, in small letters, since some systems tell no others apart; this one is added
 */
export function tokenFile(token: string, plain: boolean, taken: Set<string>): string {
  const name = plain ? token.replace(/^<(.*)>$/, "$1") : token;
  const safe = name.replace(plain ? /[<>:"/\\|?*\s\p{Cc}]/gu : /[/\\\s\p{Cc}]/gu, "_") || "_";
  let short = safe;
  while (new TextEncoder().encode(short).length > LONGEST) short = [...short].slice(0, -1).join("");
  let free = short;
  for (let i = 2; taken.has(free.toLowerCase()); i++) free = `${short}_${i}`;
  taken.add(free.toLowerCase());
  return free;
}

/** Bytes of a file's name, with room for its ending and a number within the 255 that systems take. */
const LONGEST = 200;

/** A delta with the tokens whose embedding files lie in the folder of its own file. */
export async function withTokensBeside(path: string, delta: Delta): Promise<Delta> {
  const cut = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1;
  const folder = path.slice(0, cut) || "./", own = path.slice(cut);
  const found = new Map<string, { name: string; delta: Delta }>();
  const order = new Intl.Collator("en", { numeric: true });
  for (const name of (await namesIn(folder, [])).sort(order.compare)) {
    if (name === own || !await isFile(folder + name)) continue;
    const part = await readEmbedding(folder + name);
    if (!part || delta.tokens.some(({ token }) => token === part.tokens[0].token)) continue;
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
  // Words that the file itself brought come first.
  const parts = [...delta.tokens.length ? [delta] : [], ...[...found.values()].map((f) => f.delta)];
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

/** A file's name without folder and ending. */
export const stemOf = (path: string): string => path.split(/[/\\]/).at(-1)!.replace(/\.[^.]*$/, "");
