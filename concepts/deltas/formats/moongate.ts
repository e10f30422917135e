/**
 * Our own delta files: one self-describing safetensors file. Trained weights lie under their paths, differences under
 * `<path>.change`, factors under `<path>.u` and `<path>.v`, lengths beside either under `<path>.out` or `<path>.in` (of
 * outputs or inputs), each new token's embedding under `token.<name>` (and `token_2.<name>`); the header says which model
 * they belong to, what the tokens stand for and how they were trained.
 */
import { FileError } from "../../../files/errors.ts";
import { isObject } from "../../../files/json.ts";
import type { Delta, DeltaToken, DeltaWeight } from "../delta.ts";
import { type DeltaFile, readFinite } from "./content.ts";
import type { DeltaFormat, Packed } from "./format.ts";
import { packFactors, readChange, readFactors, readTrained, withLengths } from "./weights.ts";

const FORMAT = "moongate-delta";

/**
 * Version 1 has trained weights only, version 2 changes and factors of matrices. A file is of the lowest version that can
 * hold what is in it.
 */
const VERSION = 3;

const TOKEN = "token.", TOKEN_2 = "token_2.";

/** The format. */
export const moongate: DeltaFormat = {
  name: "moongate",
  title: "moongate delta",
  forms: ["weight", "change", "factors", "scaled"],
  containers: ["safetensors"],
  stem: "delta",
  tokens: "inside",
  convolutions: true,
  matches: ({ metadata }) => metadata.format === FORMAT,
  async read(file) {
    const { metadata, root, path } = file;
    if (!/^[1-3]$/.test(metadata.version)) {
      throw new FileError(
        path,
        `is of delta version ${metadata.version}`,
        `This moongate reads versions up to ${VERSION}; update it`,
      );
    }
    const tokens = parse(path, "tokens", metadata.tokens, isTokens);
    const vectors = async (prefix: string) => {
      const rows: Float32Array[] = [];
      for (const { token } of tokens) {
        rows.push(await readFinite(file, prefix + token, root.get(prefix + token)));
      }
      return rows;
    };
    const delta: Delta = {
      base: metadata.base ?? "",
      tokens,
      embeddings: await vectors(TOKEN),
      weights: await readWeights(file),
      notes: parse(path, "notes", metadata.notes, isObject),
    };
    const two = tokens.length && root.has(TOKEN_2 + tokens[0].token);
    return two ? { ...delta, embeddings2: await vectors(TOKEN_2) } : delta;
  },
  write(delta) {
    const root = new Map<string, Packed>();
    let version = 1;
    for (const [path, w] of delta.weights) {
      version = Math.max(version, versionOf(w));
      if ("data" in w) {
        root.set(path, w);
        continue;
      }
      const change = "magnitude" in w ? w.direction : w;
      if ("change" in change) {
        root.set(`${path}.change`, { shape: change.shape, data: change.change });
      } else {
        const { u, v } = packFactors(change);
        root.set(`${path}.u`, u).set(`${path}.v`, v);
      }
      if ("magnitude" in w) {
        const data = w.magnitude;
        root.set(`${path}.${AXES[w.axis]}`, { shape: [data.length], data });
      }
    }
    delta.tokens.forEach(({ token }, i) => {
      const put = (prefix: string, data: Float32Array) =>
        root.set(prefix + token, { shape: [data.length], data });
      put(TOKEN, delta.embeddings[i]);
      if (delta.embeddings2) put(TOKEN_2, delta.embeddings2[i]);
    });
    const metadata = {
      format: FORMAT,
      version: String(version),
      base: delta.base,
      tokens: JSON.stringify(delta.tokens),
      notes: JSON.stringify(delta.notes),
    };
    return { root, metadata };
  },
};

/** What lengths are of, by axis. */
const AXES = ["out", "in"] as const;

function versionOf(w: DeltaWeight): number {
  if ("data" in w) return 1;
  return "magnitude" in w || "u" in w && w.shape.length > 2 ? VERSION : 2;
}

async function readWeights(file: DeltaFile): Promise<Map<string, DeltaWeight>> {
  const { root } = file, weights = new Map<string, DeltaWeight>();
  for (const [name, content] of root) {
    if (name.startsWith(TOKEN) || name.startsWith(TOKEN_2)) continue;
    const [, path, kind] = /^(.*\.(?:weight|bias))\.(change|u|v|out|in)$/.exec(name) ?? [];
    if (!kind) weights.set(name, await readTrained(file, name, content));
    else if (!weights.has(path)) weights.set(path, await readChanged(file, path));
  }
  return weights;
}

/** Reads what became of a parameter from the tensors that say so. */
async function readChanged(file: DeltaFile, path: string): Promise<DeltaWeight> {
  const at = (kind: string) => file.root.get(`${path}.${kind}`);
  const direction = at("change")
    ? await readChange(file, `${path}.change`, at("change"))
    : await readFactors(file, path, at("u"), at("v"));
  const axis = AXES.findIndex(at);
  return axis < 0 ? direction : await withLengths(file, `${path}.${AXES[axis]}`, direction, axis);
}

const isTokens = (value: unknown): value is DeltaToken[] =>
  Array.isArray(value) &&
  value.every((t) =>
    isObject(t) && [t.token, t.className, t.initializer].every((text) => typeof text === "string")
  );

/** A field of the header as what it must be. */
function parse<T>(
  file: string,
  field: string,
  text: string | undefined,
  is: (value: unknown) => value is T,
): T {
  try {
    const value = JSON.parse(text ?? "");
    if (is(value)) return value;
  } catch {
    // Said below.
  }
  throw new FileError(
    file,
    `its header field "${field}" is missing, or not what it should be`,
    "The file is damaged",
  );
}
