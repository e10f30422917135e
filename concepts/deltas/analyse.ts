/**
 * How much fine-tuning changed each layer of a UNet (paper §3.2, Figure 3): Δ_l = ‖θ′_l − θ_l‖ / ‖θ_l‖, and the mean of
 * it over cross-attention, self-attention and the rest. It is why Custom Diffusion trains what it trains.
 */
import { expectKinds, FUNCTION, ITERABLE, listOf, RECORD, TEXT } from "../../tensor/kinds.ts";

/** The three groups of Figure 3. */
export const LAYER_GROUPS = ["cross-attention", "self-attention", "other"] as const;

/** One of them. */
export type LayerGroup = typeof LAYER_GROUPS[number];

/** What became of a layer: weight and bias together. */
export interface LayerChange {
  /** Path in the UNet, `down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k`. */
  readonly layer: string;
  /** Which group it is in. */
  readonly group: LayerGroup;
  /** Numbers in it. */
  readonly parameters: number;
  /** Δ_l; NaN of a layer that was all zeros and is not now. */
  readonly change: number;
}

/** What became of a group. */
export interface GroupChange {
  /** Layers in it. */
  readonly layers: number;
  /** Numbers in it. */
  readonly parameters: number;
  /** Mean of Δ_l over its layers, those without a Δ left out. */
  readonly change: number;
}

/** A parameter before and after, f32, or undefined where it did not change. */
export type ParameterPair = readonly [before: Float32Array, after: Float32Array | undefined];

/** Which group a layer is in. Its query and output projections belong to an attention as its keys and values do. */
export function layerGroup(layer: string): LayerGroup {
  expectKinds("layerGroup", { layer: [layer, TEXT] });
  if (/\.attn2\./.test(layer)) return "cross-attention";
  return /\.attn1\./.test(layer) ? "self-attention" : "other";
}

/**
 * Changes of all layers, in the order of their names.
 *
 * @param names parameters of the UNet, `….to_k.weight`
 * @param read a parameter before and after; asked for one at a time
 * @param onProgress called with how many parameters are compared
 * @throws RangeError when a parameter has another size after than before
 */
export async function layerChanges(
  names: Iterable<string>,
  read: (name: string) => Promise<ParameterPair>,
  onProgress?: (done: number, total: number) => void,
): Promise<LayerChange[]> {
  expectKinds("layerChanges", {
    names: [names, ITERABLE],
    read: [read, FUNCTION],
    "onProgress?": [onProgress, FUNCTION],
  });
  const all = [...names];
  const sums = new Map<string, { before: number; difference: number; parameters: number }>();
  for (const [i, name] of all.entries()) {
    const layer = name.replace(/\.(weight|bias)$/, "");
    const sum = sums.get(layer) ?? { before: 0, difference: 0, parameters: 0 };
    sums.set(layer, sum);
    const [before, after = before] = await read(name);
    if (after.length !== before.length) {
      throw new RangeError(`${name}: ${before.length} numbers before, ${after.length} after`);
    }
    sum.parameters += before.length;
    for (let i = 0; i < before.length; i++) {
      sum.before += before[i] ** 2;
      sum.difference += (after[i] - before[i]) ** 2;
    }
    onProgress?.(i + 1, all.length);
  }
  return [...sums].sort(([a], [b]) => a < b ? -1 : 1).map(([layer, s]) => ({
    layer,
    group: layerGroup(layer),
    parameters: s.parameters,
    change: s.difference === 0 ? 0 : s.before === 0 ? NaN : Math.sqrt(s.difference / s.before),
  }));
}

/** Means over the groups. */
export function groupChanges(layers: readonly LayerChange[]): Record<LayerGroup, GroupChange> {
  expectKinds("groupChanges", { layers: [layers, listOf(RECORD)] });
  const of = (group: LayerGroup): GroupChange => {
    const mine = layers.filter((l) => l.group === group);
    const known = mine.map((l) => l.change).filter((c) => !Number.isNaN(c));
    return {
      layers: mine.length,
      parameters: mine.reduce((sum, l) => sum + l.parameters, 0),
      change: known.length ? known.reduce((a, b) => a + b, 0) / known.length : 0,
    };
  };
  const [cross, self, other] = LAYER_GROUPS;
  return { [cross]: of(cross), [self]: of(self), [other]: of(other) } as Record<
    LayerGroup,
    GroupChange
  >;
}
