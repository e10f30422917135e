/**
 * Convolutions of 3×3 windows on the CPU device by Winograd's minimal filtering (`cpu_filter.ts`) along both axes: 16
 * neighbouring outputs of a channel take 36 multiplications in place of 144, or four take 16 in place of 36. A tile of
 * 6×6 (4×4) pixels becomes as many numbers, V = Bᵀ d B, so do the weights, U = G g Gᵀ; 36 (16) matrix products add over the
 * channels; and their sums become the outputs, Y = Aᵀ M A.
 *
 * A tile is the unit of rounding: what one NaN or infinite pixel breaks is all of each tile that it lies in.
 */
import {
  type BufferUse,
  type Dispatch,
  type KernelPlan,
  storageType,
} from "../../tensor/kernel.ts";
import { flatGroup, foldGrid } from "../../tensor/kernel.ts";
import { type Shape, sizeOf, type Spec } from "../../tensor/shape.ts";
import { chooseCpu, cpuKernel, packedBytes, panelsOf } from "./cpu_kernel.ts";
import { type Filter, type Filtered, FOUR, TWO } from "./cpu_filter.ts";
import { matrix } from "./operands.ts";
import { type Gemm, u32 } from "./problem.ts";
import { type GemmContext, storeFunction } from "./store.ts";

/** A convolution by windows of 3×3 that move by one pixel, or the input gradient of one, which is such a convolution. */
export interface Windows {
  readonly label: string;
  /** What the windows move over, `[B, H, W, K]`: input 0. */
  readonly image: Spec;
  /** How often each of its pixels stands in a row and in a column of that. Default 1. */
  readonly upsample?: number;
  /** `[B, OH, OW, N]`. */
  readonly output: Shape;
  /** Whether four neighbouring outputs are added up: where a pixel is repeated, so is its gradient. */
  readonly folded?: boolean;
  /** Pixel under the first tap of output (0, 0): 0, −1 or −2. */
  readonly origin: readonly [y: number, x: number];
  /** Input 1. */
  readonly weight: Spec;
  /** Whether it is used turned round, [tap, n, k] with its taps from last to first. */
  readonly turned: boolean;
}

/** Tiles from which on weights that cannot be kept are worth being transformed at each run. */
const MANY = 64;
/** Most bytes of tiles and sums: a decoder's last layers would take more than everything else together. */
const ROOM = 2 ** 28;
/**
 * Where a filter pays, the first that does: from how many channels on (of both sides together, as their harmonic mean) what
 * is saved outweighs the two transforms; from how many tiles on it outweighs reading the weights, of which larger tiles have
 * more; and up to how many outputs computed for one that there is, since tiles stand over the image's edge.
 */
const WORTH = [
  { filter: FOUR, channels: 8, tiles: 4, waste: 1.5 },
  { filter: TWO, channels: 48, tiles: 1, waste: Infinity },
];

/** Tiles down, across, and in all. */
function tilesOf(
  { output: [batch, oh, ow] }: Windows,
  { outputs }: Filter,
): [number, number, number] {
  const [down, across] = [Math.ceil(oh / outputs), Math.ceil(ow / outputs)];
  return [down, across, batch * down * across];
}

/**
 * Numbers from one of the matrices of so many rows to the next: a line of the cache more than they take. Apart by a power of
 * two, the numbers of a tile would all fall into one set of the cache.
 */
const apart = (rows: number, columns: number): number => rows * columns + 16;

/** The products. */
function products(w: Windows, filter: Filter): Gemm {
  const [m, k, n] = [tilesOf(w, filter)[2], w.image.shape[3], w.output[3]];
  const batch = filter.side ** 2;
  const matrices: Spec = { shape: [batch, m, k], dtype: "f32" };
  return {
    label: w.label,
    m,
    n,
    batch,
    segments: 1,
    length: k,
    a: matrix("lhs", 0, matrices, { batch: apart(m, k), row: k, k: 1 }, 1),
    b: matrix("panel", 1, { shape: [batch, k, n], dtype: "f32" }, { batch: k * n, row: 1, k: n }),
    row: (i) => i,
  };
}

/** The plan, or undefined where another way is as fast. */
export function planWinograd(w: Windows, ctx: GemmContext): KernelPlan | undefined {
  const [, oh, ow, n] = w.output;
  const k = w.image.shape[3];
  if (n % 4 || k % 4 || w.origin.some((o) => o < -2 || o > 0) || sizeOf(w.output) === 0) return;
  for (const { filter, channels, tiles, waste } of WORTH) {
    const [down, across, m] = tilesOf(w, filter);
    const over = down * across * filter.outputs ** 2 / (oh * ow);
    if (2 * k * n / (k + n) < channels || m < tiles || over > waste) continue;
    const plan = planFiltered(w, filter, ctx);
    if (plan) return plan;
  }
}

function planFiltered(w: Windows, filter: Filter, ctx: GemmContext): KernelPlan | undefined {
  const g = products(w, filter);
  const { batch, m, n, length: k } = g;
  if (4 * batch * m * (k + n) > ROOM) return;
  const choice = { ...chooseCpu(g), splits: 1, packed: true };
  const packed = packedBytes(g, choice.tile);
  const once = ctx.keeps(1, packed);
  if (!once && m < MANY) return;
  const image = { name: "image", ref: { input: 0 }, type: storageType(w.image.dtype, 4) } as const;
  const scratch = (i: number, name: string, type = "vec4<f32>") => ({
    name,
    ref: { scratch: i },
    type,
  });
  const read = (b: Omit<BufferUse, "access">): BufferUse => ({ ...b, access: "read" });
  const write = (b: Omit<BufferUse, "access">): BufferUse => ({ ...b, access: "write" });
  const sums = {
    ...{ width: 4, plain: false, buffers: [] } as const,
    store: (index: string, value: string) =>
      `sums[z * ${apart(m, n) / 4}u + (${index} >> 2u)] = ${value};`,
  };
  const dispatches: Dispatch[] = [
    {
      label: `${w.label} (weights)`,
      buffers: [
        read({
          name: "weight",
          ref: { input: 1 },
          type: storageType(w.weight.dtype, w.turned ? 1 : 4),
        }),
        write(scratch(0, "panel")),
      ],
      ...transformWeights(w, g, filter, choice.tile.vectors),
      once,
    },
    {
      label: `${w.label} (tiles)`,
      buffers: [read(image), write(scratch(1, "tiles"))],
      ...transformTiles(w, filter),
    },
    {
      label: w.label,
      buffers: [
        read(scratch(1, "lhs", "f32")),
        read(scratch(0, "panel")),
        write(scratch(2, "sums")),
      ],
      ...cpuKernel(g, choice, storeFunction(g, 1, 0, sums)),
      flops: 2 * 9 * k * sizeOf(w.output),
    },
    {
      label: `${w.label} (outputs)`,
      buffers: [read(scratch(2, "sums")), ...ctx.epilogue.buffers],
      ...transformSums(w, filter, ctx),
    },
  ];
  return { dispatches, scratch: [packed, 4 * batch * apart(m, k), 4 * batch * apart(m, n)] };
}

/** A kernel of one invocation a workgroup. */
function kernel(
  groups: number,
  declarations: string,
  work: string,
): Pick<Dispatch, "body" | "grid"> {
  const grid = foldGrid(groups);
  return {
    grid,
    body: `${declarations}@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) wid: vec3<u32>) {
  let group = ${flatGroup(grid)};
  if (group >= ${groups}u) { return; }
  ${work}
}`,
  };
}

/** Numbers below `count`. */
const below = (count: number): number[] => [...Array(count).keys()];

/** Filtering of lines that are named by an expression for each place, its results declared as `name` and their places. */
function filtered(
  by: (operands: readonly string[], id: string) => Filtered,
  operands: readonly string[],
  name: (i: number) => string,
): string {
  const { code, values } = by(operands, name(0));
  return `${code} ${values.map((v, i) => `let ${name(i)} = ${v};`).join(" ")}`;
}

/** U = G g Gᵀ in panels, as packing lays them: an invocation takes all of K for four columns. */
function transformWeights(w: Windows, g: Gemm, { side, weights }: Filter, vectors: number) {
  const { n, length: k } = g;
  const panels = panelsOf(g, { rows: 1, vectors });
  const element = (tap: number) =>
    w.turned
      ? `vec4<f32>(${
        below(4).map((q) => `f32(weight[${(8 - tap) * n * k}u + (n + ${q}u) * ${k}u + k])`)
          .join(", ")
      })`
      : `vec4<f32>(weight[(${tap * k * n}u + k * ${n}u + n) >> 2u])`;
  return kernel(
    panels * vectors,
    "",
    `let n = min(group * 4u, ${n - 4}u);
  let at = group / ${vectors}u * ${k * vectors}u + group % ${vectors}u;
  for (var k = 0u; k < ${k}u; k++) {
${below(9).map((tap) => `let g${tap} = ${element(tap)};`).join("\n")}
${
      below(3).map((x) =>
        filtered(weights, [`g${x}`, `g${3 + x}`, `g${6 + x}`], (i) => `t${i}${x}`)
      )
        .join("\n")
    }
${
      below(side).map((y) =>
        `{ ${filtered(weights, below(3).map((x) => `t${y}${x}`), (j) => `u${j}`)} ${
          below(side).map((x) =>
            `panel[at + k * ${vectors}u + ${(side * y + x) * panels * k * vectors}u] = u${x};`
          ).join(" ")
        } }`
      ).join("\n")
    }
  }`,
  );
}

/** WGSL for one axis of the pixels under a tile: their coordinates, and 1 or 0 where some may lie outside. */
function coordinates(
  axis: "y" | "x",
  { outputs, side }: Filter,
  tiles: number,
  pixels: number,
  origin: number,
  upsample: number,
) {
  const extent = pixels * upsample;
  const pixel = (place: string) => upsample > 1 ? `(${place}) / ${upsample}u` : place;
  const sides = below(side);
  const last = outputs * (tiles - 1);
  const outside = sides.map((i) => i + origin < 0 || last + i + origin >= extent);
  // Outside the nearest pixel is read, which is one of the tile, and multiplied by 0.
  const code = sides.map((i) =>
    `let ${axis}${i} = ${
      pixel(`min(max(${outputs}u * t${axis} + ${i}u, ${-origin}u) - ${-origin}u, ${extent - 1}u)`)
    };` +
    (outside[i]
      ? ` let m${axis}${i} = f32(select(0u, 1u, ${outputs}u * t${axis} + ${
        u32(i + origin)
      } < ${extent}u));`
      : "")
  ).join("\n");
  /** Names of what lies in a line, without what lies outside. */
  const masked = (line: readonly string[], name: string): Filtered => ({
    code: line.map((v, i) => outside[i] ? `let ${name}${i} = m${axis}${i} * ${v};` : "").join(" "),
    values: line.map((v, i) => outside[i] ? `${name}${i}` : v),
  });
  return { code, masked };
}

/** Where a tile lies: its image and its place down and across. */
const place = (down: number, across: number): string =>
  `let b = group / ${down * across}u;
  let ty = group / ${across}u % ${down}u;
  let tx = group % ${across}u;`;

/** V = Bᵀ d B: an invocation takes a tile, four channels at a time. */
function transformTiles(w: Windows, filter: Filter) {
  const [, height, width, k] = w.image.shape;
  const [down, across, tiles] = tilesOf(w, filter);
  const { side, input } = filter;
  const { origin, upsample = 1 } = w;
  const y = coordinates("y", filter, down, height, origin[0], upsample);
  const x = coordinates("x", filter, across, width, origin[1], upsample);
  const quads = k / 4;
  const sides = below(side);
  return kernel(
    tiles,
    "",
    `${place(down, across)}
${y.code}
${x.code}
${
      sides.flatMap((i) =>
        sides.map((j) =>
          `let p${i}${j} = ((b * ${height}u + y${i}) * ${width}u + x${j}) * ${quads}u;`
        )
      ).join("\n")
    }
  for (var c = 0u; c < ${quads}u; c++) {
${
      sides.map((j) => {
        const loads = sides.map((i) => `let d${i}${j} = vec4<f32>(image[p${i}${j} + c]);`);
        const { code, values } = y.masked(sides.map((i) => `d${i}${j}`), `e${j}`);
        return `${loads.join(" ")} ${code}\n${filtered(input, values, (i) => `t${i}${j}`)}`;
      }).join("\n")
    }
${
      sides.map((i) => {
        const { code, values } = x.masked(sides.map((j) => `t${i}${j}`), `f${i}`);
        return `{ ${code} ${filtered(input, values, (j) => `v${j}`)}\n${
          sides.map((j) =>
            `tiles[${(side * i + j) * apart(tiles, k) / 4}u + group * ${quads}u + c] = v${j};`
          ).join(" ")
        } }`;
      }).join("\n")
    }
  }`,
  );
}

/** Y = Aᵀ M A: an invocation takes a tile, four channels at a time. */
function transformSums(w: Windows, filter: Filter, { epilogue }: GemmContext) {
  const [, oh, ow, n] = w.output;
  const [down, across, tiles] = tilesOf(w, filter);
  const { outputs, side, sums } = filter;
  const quads = n / 4;
  const sides = below(side);
  const inside = (i: number, j: number) =>
    [
      outputs * (down - 1) + i >= oh ? `ty < ${down - 1}u` : "",
      outputs * (across - 1) + j >= ow ? `tx < ${across - 1}u` : "",
    ].filter(Boolean).join(" && ");
  // Where neighbours are added up, an output is of two lines and two columns.
  const step = w.folded ? 2 : 1;
  const lines = (i: number) =>
    below(step).map((l) =>
      filtered(sums, sides.map((j) => `s${i + l}${j}`), (j) => `${"yz"[l]}${j}`)
    ).join("\n");
  const puts = (i: number) =>
    below(outputs / step).map((half) => {
      const j = half * step;
      const value = below(step).flatMap((l) => below(step).map((q) => `${"yz"[l]}${j + q}`));
      const at = (i / step * (ow / step) + half) * n;
      const put = `put(first + ${at}u + 4u * c, ${value.join(" + ")});`;
      const condition = inside(i, j);
      return condition ? `if (${condition}) { ${put} }` : put;
    }).join("\n");
  const [each, line] = [outputs / step, ow / step];
  return kernel(
    tiles,
    `fn put(index: u32, value: vec4<f32>) { ${epilogue.store("index", "value")} }
`,
    `${place(down, across)}
  let first = ((b * ${oh / step}u + ${each}u * ty) * ${line}u + ${each}u * tx) * ${n}u;
  for (var c = 0u; c < ${quads}u; c++) {
${
      sides.map((j) =>
        sides.map((i) =>
          `let m${i}${j} = sums[${(side * i + j) * apart(tiles, n) / 4}u + group * ${quads}u + c];`
        ).join(" ") + "\n" + filtered(sums, sides.map((i) => `m${i}${j}`), (i) => `s${i}${j}`)
      ).join("\n")
    }
${below(each).map((i) => `{ ${lines(step * i)}\n${puts(step * i)} }`).join("\n")}
  }`,
  );
}
