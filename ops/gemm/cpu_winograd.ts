/**
 * Convolutions of 3×3 windows on the CPU device by Winograd's minimal filtering F(2×2, 3×3) (Lavin and Gray, "Fast
 * Algorithms for Convolutional Neural Networks", 2016, section 4.1): four neighbouring outputs of a channel take 16
 * multiplications in place of 36. A tile of 4×4 pixels becomes 16 numbers, V = Bᵀ d B, so do the weights, U = G g Gᵀ;
 * sixteen matrix products add over the channels; and 16 sums become four outputs, Y = Aᵀ M A.
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
import { matrix } from "./operands.ts";
import { type Gemm, u32 } from "./problem.ts";
import { type GemmContext, storeFunction } from "./store.ts";

/** A convolution by windows of 3×3 that move by one pixel, or the input gradient of one, which is such a convolution. */
export interface Windows {
  readonly label: string;
  /** What the windows move over, `[B, H, W, K]`: input 0. */
  readonly image: Spec;
  /** `[B, OH, OW, N]`. */
  readonly output: Shape;
  /** Pixel under the first tap of output (0, 0): 0, −1 or −2. */
  readonly origin: readonly [y: number, x: number];
  /** Input 1. */
  readonly weight: Spec;
  /** Whether it is used turned round, [tap, n, k] with its taps from last to first. */
  readonly turned: boolean;
}

const SIDES = [0, 1, 2, 3];
/** Tiles from which on weights that cannot be kept are worth being transformed at each run. */
const MANY = 64;
/** Channels in which what is saved outweighs the two transforms: of both sides together, as their harmonic mean. */
const CHANNELS = 48;
/** Most bytes of tiles and sums: a decoder's last layers would take more than everything else together. */
const ROOM = 2 ** 28;

/** Tiles down, across, and in all. */
function tilesOf({ output: [batch, oh, ow] }: Windows): [number, number, number] {
  const [down, across] = [Math.ceil(oh / 2), Math.ceil(ow / 2)];
  return [down, across, batch * down * across];
}

/**
 * Numbers from one of the sixteen matrices of so many rows to the next: a line of the cache more than they take. Apart by a
 * power of two, the sixteen numbers of a tile would all fall into one set of the cache.
 */
const apart = (rows: number, columns: number): number => rows * columns + 16;

/** The sixteen products. */
function products(w: Windows): Gemm {
  const [m, k, n] = [tilesOf(w)[2], w.image.shape[3], w.output[3]];
  const matrices: Spec = { shape: [16, m, k], dtype: "f32" };
  return {
    label: w.label,
    m,
    n,
    batch: 16,
    segments: 1,
    length: k,
    a: matrix("lhs", 0, matrices, { batch: apart(m, k), row: k, k: 1 }, 1),
    b: matrix("panel", 1, { shape: [16, k, n], dtype: "f32" }, { batch: k * n, row: 1, k: n }),
    row: (i) => i,
  };
}

/** The plan, or undefined where another way is as fast. */
export function planWinograd(w: Windows, ctx: GemmContext): KernelPlan | undefined {
  const g = products(w);
  const { m, n, length: k } = g;
  if (n % 4 || k % 4 || w.origin.some((o) => o < -2 || o > 0) || m === 0) return;
  if (2 * k * n / (k + n) < CHANNELS || 64 * m * (k + n) > ROOM) return;
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
      ...transformWeights(w, g, choice.tile.vectors),
      once,
    },
    {
      label: `${w.label} (tiles)`,
      buffers: [read(image), write(scratch(1, "tiles"))],
      ...transformTiles(w),
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
      ...transformSums(w, ctx),
    },
  ];
  return { dispatches, scratch: [packed, 64 * apart(m, k), 64 * apart(m, n)] };
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

/** U = G g Gᵀ in panels, as packing lays them: an invocation takes all of K for four columns. */
function transformWeights(w: Windows, g: Gemm, vectors: number) {
  const { n, length: k } = g;
  const panels = panelsOf(g, { rows: 1, vectors });
  const element = (tap: number) =>
    w.turned
      ? `vec4<f32>(${
        SIDES.map((q) => `f32(weight[${(8 - tap) * n * k}u + (n + ${q}u) * ${k}u + k])`).join(", ")
      })`
      : `vec4<f32>(weight[(${tap * k * n}u + k * ${n}u + n) >> 2u])`;
  const along = (a: string, b: string, c: string, name: string, line: number) =>
    `let ${name}0${line} = ${a}; let ${name}s${line} = 0.5 * (${a} + ${c});
let ${name}1${line} = ${name}s${line} + 0.5 * ${b}; let ${name}2${line} = ${name}s${line} - 0.5 * ${b}; let ${name}3${line} = ${c};`;
  return kernel(
    panels * vectors,
    "",
    `let n = min(group * 4u, ${n - 4}u);
  let at = group / ${vectors}u * ${k * vectors}u + group % ${vectors}u;
  for (var k = 0u; k < ${k}u; k++) {
${Array.from({ length: 9 }, (_, tap) => `let g${tap} = ${element(tap)};`).join("\n")}
${[0, 1, 2].map((x) => along(`g${x}`, `g${3 + x}`, `g${6 + x}`, "t", x)).join("\n")}
${SIDES.map((y) => along(`t${y}0`, `t${y}1`, `t${y}2`, "u", y)).join("\n")}
${
      SIDES.flatMap((y) =>
        SIDES.map((x) =>
          `panel[at + k * ${vectors}u + ${(4 * y + x) * panels * k * vectors}u] = u${x}${y};`
        )
      ).join("\n")
    }
  }`,
  );
}

/** WGSL for one axis of the pixels under a tile: their coordinates, and 1 or 0 where some may lie outside. */
function coordinates(axis: "y" | "x", tiles: number, extent: number, origin: number) {
  const outside = SIDES.map((i) => i + origin < 0 || 2 * (tiles - 1) + i + origin >= extent);
  // Outside the nearest pixel is read, which is one of the tile, and multiplied by 0.
  const code = SIDES.map((i) =>
    `let ${axis}${i} = min(max(2u * t${axis} + ${i}u, ${-origin}u) - ${-origin}u, ${
      extent - 1
    }u);` +
    (outside[i]
      ? ` let m${axis}${i} = f32(select(0u, 1u, 2u * t${axis} + ${u32(i + origin)} < ${extent}u));`
      : "")
  ).join("\n");
  const masked = (i: number, value: string) => outside[i] ? `m${axis}${i} * ${value}` : value;
  return { code, masked };
}

/** One axis of Bᵀ d B. */
const input = (v: readonly string[]) => [
  `${v[0]} - ${v[2]}`,
  `${v[1]} + ${v[2]}`,
  `${v[2]} - ${v[1]}`,
  `${v[1]} - ${v[3]}`,
];

/** Where a tile lies: its image and its place down and across. */
const place = (down: number, across: number): string =>
  `let b = group / ${down * across}u;
  let ty = group / ${across}u % ${down}u;
  let tx = group % ${across}u;`;

/** V = Bᵀ d B: an invocation takes a tile, four channels at a time. */
function transformTiles(w: Windows) {
  const [, height, width, k] = w.image.shape;
  const [down, across, tiles] = tilesOf(w);
  const y = coordinates("y", down, height, w.origin[0]);
  const x = coordinates("x", across, width, w.origin[1]);
  const quads = k / 4;
  return kernel(
    tiles,
    "",
    `${place(down, across)}
${y.code}
${x.code}
${
      SIDES.flatMap((i) =>
        SIDES.map((j) =>
          `let p${i}${j} = ((b * ${height}u + y${i}) * ${width}u + x${j}) * ${quads}u;`
        )
      ).join("\n")
    }
  for (var c = 0u; c < ${quads}u; c++) {
${
      SIDES.map((j) =>
        SIDES.map((i) => `let d${i}${j} = vec4<f32>(image[p${i}${j} + c]);`).join(" ") + "\n" +
        input(SIDES.map((i) => y.masked(i, `d${i}${j}`))).map((v, i) => `let t${i}${j} = ${v};`)
          .join(" ")
      ).join("\n")
    }
${
      SIDES.map((i) =>
        input(SIDES.map((j) => x.masked(j, `t${i}${j}`))).map((v, j) =>
          `tiles[${(4 * i + j) * apart(tiles, k) / 4}u + group * ${quads}u + c] = ${v};`
        ).join("\n")
      ).join("\n")
    }
  }`,
  );
}

/** Y = Aᵀ M A: an invocation takes a tile, four channels at a time. */
function transformSums(w: Windows, { epilogue }: GemmContext) {
  const [, oh, ow, n] = w.output;
  const [down, across, tiles] = tilesOf(w);
  const quads = n / 4;
  const sum = (v: (i: number) => string) => [
    `${v(0)} + ${v(1)} + ${v(2)}`,
    `${v(1)} - ${v(2)} - ${v(3)}`,
  ];
  const inside = (i: number, j: number) =>
    [i && oh % 2 ? `ty < ${down - 1}u` : "", j && ow % 2 ? `tx < ${across - 1}u` : ""]
      .filter(Boolean).join(" && ");
  const puts = [0, 1].flatMap((i) =>
    sum((j) => `s${i}${j}`).map((value, j) => {
      const put = `put(first + ${(i * ow + j) * n}u + 4u * c, ${value});`;
      const condition = inside(i, j);
      return condition ? `if (${condition}) { ${put} }` : put;
    })
  );
  return kernel(
    tiles,
    `fn put(index: u32, value: vec4<f32>) { ${epilogue.store("index", "value")} }
`,
    `${place(down, across)}
  let first = ((b * ${oh}u + 2u * ty) * ${ow}u + 2u * tx) * ${n}u;
  for (var c = 0u; c < ${quads}u; c++) {
${
      SIDES.map((j) =>
        SIDES.map((i) =>
          `let m${i}${j} = sums[${(4 * i + j) * apart(tiles, n) / 4}u + group * ${quads}u + c];`
        ).join(" ") + "\n" +
        sum((i) => `m${i}${j}`).map((v, i) => `let s${i}${j} = ${v};`).join(" ")
      ).join("\n")
    }
${puts.join("\n")}
  }`,
  );
}
