/**
 * Reads files of adapters, whoever wrote them: LoRA, DoRA, LoHa, LoKr and plain differences, of a UNet and of one or two
 * text encoders, by any of the names of `adapter_keys.ts`.
 *
 * Every key of a file is accounted for. Each is applied, or known and noted as not needed; or the file is refused, by the
 * name of what in it is not understood. An adapter that is applied in part is another adapter.
 */
import { FileError } from "../../../../files/errors.ts";
import { sameShape } from "../../../../tensor/shape.ts";
import type {
  Delta,
  DeltaWeight,
  FactoredChange,
  ScaledChange,
  WeightChange,
} from "../../delta.ts";
import {
  type AdapterKey,
  isKohyaKey,
  parseKey,
  type Part,
  partOf,
  type PlacedLayers,
  placeLayers,
} from "./keys.ts";
import { hasWindow, lohaChange, lokrChange, loraChange, type Parts, rankOf } from "./parts.ts";
import { type AdapterScales, adapterScales } from "./scale.ts";
import { type DeltaFile, isLeaf, readFinite } from "../content.ts";
import { bare, type FormatContext } from "../format.ts";
import { bundledTokens } from "../tokens.ts";
import { readChange, readTrained, shapeOf, withLengths } from "../weights.ts";

/** A layer's tensors. */
interface Layer {
  readonly component: AdapterKey["component"];
  readonly layer: string;
  readonly parts: Map<Part, AdapterKey>;
}

/**
 * Reads an adapter file.
 *
 * @throws FileError when a key is not understood, tensors of a layer are missing or don't fit, or a setting in its header
 *   is of a kind that is not read
 */
export async function readAdapters(file: DeltaFile, context: FormatContext): Promise<Delta> {
  const tokens = await bundledTokens(file);
  const keys = [...file.root.keys()].filter((key) => !tokens.keys.has(key));
  const wanted = keys.filter((key) => !isIdle(file, key));
  const understood = wanted.map(parseKey).filter((key) => key !== undefined);
  if (understood.length < wanted.length) throw notUnderstood(file, wanted, understood);
  const found = placeLayers(understood.filter((key) => !isUnread(key)), context.layers);
  if (found.nowhere.length || found.open.length) throw notPlaced(file, found);
  const { layers, again } = await layersOf(file, found.placed);
  const scales = await adapterScales(file);
  const weights = new Map<string, DeltaWeight>();
  const unused = [
    ...keys.filter((key) => isIdle(file, key)),
    ...understood.filter(isUnread).map(({ key }) => key),
    ...again,
  ];
  for (const layer of layers) unused.push(...await readLayer(file, layer, scales, weights));
  return {
    ...bare(weights, unused.length ? { notNeeded: unused } : {}),
    tokens: tokens.tokens,
    embeddings: tokens.embeddings,
    ...(tokens.embeddings2 && { embeddings2: tokens.embeddings2 }),
  };
}

/** What files hold and no computation reads: counters and buffers. */
const isIdle = (file: DeltaFile, key: string): boolean =>
  file.root.get(key) === undefined && !partOf(key) || /(^|\.)position_ids$|^logit_scale$/.test(key);

/** Stable Diffusion has a projection behind its second text encoder only. */
const isUnread = ({ component, layer }: AdapterKey): boolean =>
  component === "text_encoder" && layer.startsWith("text_projection");

const listed = (keys: readonly string[]): string =>
  keys.slice(0, 3).map((key) => `"${key}"`).join(", ") +
  (keys.length > 3 ? ` and ${keys.length - 3} more` : "");

function notUnderstood(file: DeltaFile, keys: string[], parsed: AdapterKey[]): FileError {
  const known = new Set(parsed.map(({ key }) => key));
  const other = keys.filter((key) => !known.has(key));
  const strange = other.filter((key) => !partOf(key));
  return strange.length
    ? new FileError(
      file.path,
      `holds ${listed(strange)}, which is in no adapter of a kind that is read`,
      "Those are LoRA, DoRA, LoHa, LoKr and differences (diff); nothing of the file is used",
    )
    : new FileError(
      file.path,
      `changes ${listed(other)}, which is in no UNet and no text encoder of Stable Diffusion`,
      "It is an adapter of another kind of model",
    );
}

function notPlaced(file: DeltaFile, { nowhere, open }: PlacedLayers): FileError {
  const [keys, why, advice] = nowhere.length
    ? [nowhere, "which no UNet and no text encoder has"]
    : [
      open,
      "and too few others to tell where in the UNet that is",
      "Name the model, too (--model)",
    ];
  return new FileError(
    file.path,
    `changes ${listed(keys.map(({ key }) => key))}, ${why}`,
    advice,
  );
}

/** Keys by layer. What a file holds twice, by two names and to the bit, is taken once; anything else is a contradiction. */
async function layersOf(file: DeltaFile, keys: readonly AdapterKey[]) {
  const layers = new Map<string, Layer>(), again: string[] = [];
  for (const key of keys) {
    const name = `${key.component}.${key.layer}`;
    const at = layers.get(name) ?? { component: key.component, layer: key.layer, parts: new Map() };
    layers.set(name, at);
    const other = at.parts.get(key.part);
    if (!other) at.parts.set(key.part, key);
    else if (await equal(file, key.key, other.key)) again.push(key.key);
    else {
      throw new FileError(
        file.path,
        `holds both "${other.key}" and "${key.key}", which are of the same layer and differ`,
      );
    }
  }
  return { layers: layers.values(), again };
}

async function equal(file: DeltaFile, one: string, other: string): Promise<boolean> {
  const [a, b] = [one, other].map((key) => file.root.get(key));
  if (!isLeaf(a) || !isLeaf(b) || !sameShape(a.shape, b.shape)) return false;
  const [x, y] = [await a.read(), await b.read()];
  return x.every((value, i) => Object.is(value, y[i]));
}

/** Ways to change a weight, and a bias, by the parts that they have; a layer is changed in one of each. */
const WEIGHTS = {
  lora: /^(down|up|mid|upBias)$/,
  loha: /^hada_/,
  lokr: /^lokr_/,
  diff: /^diff$/,
  set: /^set$/,
  weight: /^weight$/,
};
const BIASES = { upBias: /^upBias$/, diffBias: /^diffBias$/, bias: /^bias$/ };

/** How the tensors of a layer become a change. */
const READ = { lora: loraChange, loha: lohaChange, lokr: lokrChange };

/** Reads what becomes of a layer; gives the keys that say nothing. */
async function readLayer(
  file: DeltaFile,
  { component, layer, parts }: Layer,
  scales: AdapterScales,
  weights: Map<string, DeltaWeight>,
): Promise<string[]> {
  const keys: Parts = new Map([...parts].map(([part, { key }]) => [part, key]));
  const put = (path: string, w: DeltaWeight) => {
    if (weights.has(path)) throw new FileError(file.path, `changes "${path}" in two ways`);
    weights.set(path, w);
  };
  const path = `${component}.${layer}`,
    kind = only(file, keys, WEIGHTS),
    bias = only(file, keys, BIASES);
  const factors = kind === "lora" || kind === "loha" || kind === "lokr";
  const scale = factors
    ? await scales.of({
      ...{ component, layer, alpha: parts.get("alpha"), rank: rankOf(file, keys) },
      window: hasWindow(file, keys),
      kohya: [...keys.values()].some(isKohyaKey),
    })
    : 1;
  if (factors) {
    const change = await READ[kind](file, keys, scale);
    put(`${path}.weight`, await lengthened(file, path, change, keys, scales.scaled(component)));
  } else if (keys.has("magnitude") || keys.has("dora")) {
    throw new FileError(file.path, `holds lengths of "${path}" (DoRA) and no change of it`);
  } else if (kind) {
    const key = keys.get(kind)!, whole = /\.(weight|bias)$/.test(layer);
    const read = kind === "diff" ? readChange : readTrained;
    put(whole ? path : `${path}.weight`, await read(file, key, file.root.get(key)));
  }
  if (bias) {
    const key = keys.get(bias)!, content = file.root.get(key);
    if (bias === "bias") put(`${path}.bias`, await readTrained(file, key, content));
    else {
      const change = await readFinite(file, key, content), by = bias === "upBias" ? scale : 1;
      put(`${path}.bias`, { shape: shapeOf(content), change: change.map((x) => by * x) });
    }
  }
  return factors || !keys.has("alpha") ? [] : [keys.get("alpha")!];
}

/** The one way that a layer has parts of; undefined where it has none. */
function only<Way extends string>(
  file: DeltaFile,
  keys: Parts,
  ways: Readonly<Record<Way, RegExp>>,
): Way | undefined {
  const found = (Object.keys(ways) as Way[]).filter((way) =>
    [...keys.keys()].some((part) => ways[way].test(part))
  );
  if (found.length < 2) return found[0];
  throw new FileError(file.path, `changes the same weight by ${listed([...keys.values()])}`);
}

/** A change with the lengths that DoRA gives it, if there are some. */
async function lengthened(
  file: DeltaFile,
  path: string,
  change: WeightChange | FactoredChange,
  keys: Parts,
  wanted: boolean,
): Promise<WeightChange | FactoredChange | ScaledChange> {
  const key = keys.get("magnitude") ?? keys.get("dora");
  if (key === undefined) {
    if (!wanted) return change;
    throw new FileError(file.path, `says that it is a DoRA, and holds no lengths of "${path}"`);
  }
  if (keys.has("upBias") || keys.has("magnitude") && keys.has("dora")) {
    throw new FileError(file.path, `changes the same weight by ${listed([...keys.values()])}`);
  }
  const shape = shapeOf(file.root.get(key)), [out] = change.shape;
  // PEFT's lengths are of outputs always. LyCORIS's are of what they lie along; as [1, n] that is the inputs.
  const inputs = keys.has("dora") && shape.length > 1 && shape[0] === 1 && out !== 1;
  return await withLengths(file, key, change, inputs ? 1 : 0);
}
