/** Matrix products, in every orientation and in batches, and the linear layer that is made of one. */
import { apply, type Tensor } from "../tensor/tensor.ts";
import { expectFloats, expectOptions, expectTensors } from "../tensor/arguments.ts";
import { type DType, isFloat } from "../tensor/dtype.ts";
import { sameShape, ShapeError, show, sizeOf, type Spec } from "../tensor/shape.ts";
import { multilinear } from "../tensor/forward.ts";
import { defineOp } from "../tensor/op.ts";
import { batchedMatmul } from "./batch/matmul.ts";
import { size } from "../tensor/kernel.ts";
import { matrix } from "./gemm/operands.ts";
import { planGemm } from "./gemm/plan.ts";
import { add } from "./elementwise/arithmetic.ts";
import { cast } from "./elementwise/cast.ts";
import { reshape, transpose } from "./movement.ts";
import { expand, sum } from "./broadcast.ts";

/** Which operands of {@linkcode matmul} are taken transposed, and what it gives. */
export interface MatmulOptions {
  /** Take Aᵀ: its last two axes are swapped. */
  readonly transposeA?: boolean;
  /** Take Bᵀ: its last two axes are swapped. */
  readonly transposeB?: boolean;
  /** Element type of the result, which is rounded once. Default: f16 when both operands are, else f32. */
  readonly dtype?: DType;
}

interface MatmulAttrs {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly dtype: DType;
}

/** The extents of a product; `shared` says that all batches use the same b. */
interface Extents {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly shared: boolean;
}

function extentsOf([a, b]: readonly Spec[], { transposeA, transposeB }: MatmulAttrs): Extents {
  const [ra, ca] = a.shape.slice(-2);
  const [rb, cb] = b.shape.slice(-2);
  const batch = sizeOf(a.shape.slice(0, -2));
  const shared = b.shape.length === 2;
  return {
    batch,
    m: transposeA ? ca : ra,
    k: transposeA ? ra : ca,
    n: transposeB ? rb : cb,
    shared,
  };
}

const matmulOp = defineOp<MatmulAttrs>({
  name: "matmul",
  shape([a, b], attrs) {
    const fail = (detail: string) => new ShapeError("matmul", `${show(a)} × ${show(b)}: ${detail}`);
    if (a.shape.length < 2 || b.shape.length < 2) {
      throw fail("both operands need at least two axes");
    }
    if (!isFloat(a.dtype) || !isFloat(b.dtype)) throw fail("both operands must be f32 or f16");
    const lead = a.shape.slice(0, -2);
    if (b.shape.length > 2 && !sameShape(lead, b.shape.slice(0, -2))) {
      throw fail("the leading axes must be equal, or b must have two axes");
    }
    const { m, n, k } = extentsOf([a, b], attrs);
    const other = b.shape.at(attrs.transposeB ? -1 : -2);
    if (k !== other) {
      const how = `${attrs.transposeA ? ", a transposed" : ""}${
        attrs.transposeB ? ", b transposed" : ""
      }`;
      throw fail(`the inner extents ${k} and ${other} differ${how}`);
    }
    return [{ shape: [...lead, m, n], dtype: attrs.dtype }];
  },
  vjp([g], { inputs: [a, b], attrs: { transposeA: ta, transposeB: tb } }, wanted) {
    if (!g) return [undefined, undefined];
    // y = A·B gives dA = dY·Bᵀ and dB = Aᵀ·dY, each turned round again where the operand was taken transposed.
    // Each in the element type of its operand: the gradient of what is held in f32 is never rounded to f16.
    const [of, to] = [{ dtype: a.dtype }, { dtype: b.dtype }];
    const da = () =>
      ta
        ? matmul(b, g, { transposeA: tb, transposeB: true, ...of })
        : matmul(g, b, { transposeB: !tb, ...of });
    const db = () => {
      const each = tb
        ? matmul(g, a, { transposeA: true, transposeB: ta, ...to })
        : matmul(a, g, { transposeA: !ta, ...to });
      const lead = each.shape.length - b.shape.length;
      return lead ? cast(sum(each, [...Array(lead).keys()]), b.dtype) : each;
    };
    // With b shared and a transposed, dA pairs a two-axis left operand with a batch: the other way round it fits.
    const shared = ta && b.shape.length < g.shape.length;
    const daShared = () => transpose(matmul(g, b, { transposeB: !tb, ...of }));
    return [
      wanted[0] ? (shared ? daShared() : da()) : undefined,
      wanted[1] ? db() : undefined,
    ];
  },
  batch: batchedMatmul,
  jvp: multilinear,
  reference([a, b], specs, attrs) {
    const { batch, m, n, k, shared } = extentsOf(specs, attrs);
    const y = new Float64Array(batch * m * n);
    for (let z = 0; z < batch; z++) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let dot = 0;
          for (let q = 0; q < k; q++) {
            const left = a[z * m * k + (attrs.transposeA ? q * m + i : i * k + q)];
            dot += left * b[(shared ? 0 : z * n * k) + (attrs.transposeB ? j * k + q : q * n + j)];
          }
          y[(z * m + i) * n + j] = dot;
        }
      }
    }
    return [y];
  },
  lowering: {
    kind: "kernel",
    epilogue: true,
    build(ctx) {
      const { batch, m, n, k, shared } = extentsOf(ctx.inputs, ctx.attrs);
      const { transposeA: ta, transposeB: tb } = ctx.attrs;
      const strides = (row: number, along: boolean, each: number) =>
        along ? { batch: each, row: k, k: 1 } : { batch: each, row: 1, k: row };
      const gemm = {
        label: "matmul",
        m,
        n,
        batch,
        segments: 1,
        length: k,
        a: matrix("lhs", 0, ctx.inputs[0], strides(m, !ta, m * k)),
        b: matrix("rhs", 1, ctx.inputs[1], strides(n, tb, shared ? 0 : n * k)),
        row: (i: string, z: string) => batch === 1 ? i : `${z} * ${size(m, "m")} + ${i}`,
      };
      return planGemm([gemm], batch * m * n, ctx);
    },
  },
});

/**
 * Matrix product `a · b` with f32 accumulation. Leading axes broadcast; an operand with one axis is a row as a, a column as b,
 * and the result has no axis for it.
 *
 * @param a `[…, M, K]` (`[…, K, M]` with `transposeA`), or `[K]`
 * @param b `[…, K, N]` (`[…, N, K]` with `transposeB`), or `[K]`
 * @returns `[…, M, N]`
 * @throws ShapeError when the leading or inner extents do not fit
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  expectTensors("matmul", { a, b });
  expectOptions("matmul", 2, options, {
    transposeA: "true or false",
    transposeB: "true or false",
    dtype: "f32 or f16",
  });
  const attrs = {
    transposeA: options.transposeA ?? false,
    transposeB: options.transposeB ?? false,
    dtype: options.dtype ?? (a.dtype === "f16" && b.dtype === "f16" ? "f16" : "f32"),
  };
  if (a.shape.length === 1 || b.shape.length === 1) return ofVectors(a, b, attrs);
  const [lead, other] = [a, b].map((t) => t.shape.slice(0, -2));
  if (other.length && !sameShape(lead, other)) {
    const shape = leading(a, b);
    const wide = (t: Tensor) => expand(t, [...shape, ...t.shape.slice(-2)]);
    return apply(matmulOp, [wide(a), wide(b)], attrs)[0];
  }
  if (b.shape.length !== 2 || attrs.transposeA || !lead.length) {
    return apply(matmulOp, [a, b], attrs)[0];
  }
  // One tall product uses every row of b once for all batches.
  const rows = sizeOf(a.shape.slice(0, -1));
  const y = apply(matmulOp, [reshape(a, [rows, a.shape.at(-1)!]), b], attrs)[0];
  return reshape(y, [...lead, a.shape.at(-2)!, y.shape[1]]);
}

/** The leading axes of a product. */
function leading(a: Tensor, b: Tensor): number[] {
  const [x, y] = [a, b].map((t) => t.shape.slice(0, -2));
  const rank = Math.max(x.length, y.length);
  return Array.from({ length: rank }, (_, i) => {
    const [d, e] = [x, y].map((s) => s[i - rank + s.length] ?? 1);
    if (d === e || d === 1 || e === 1) return d === 1 ? e : d;
    throw new ShapeError(
      "matmul",
      `${show(a.spec)} × ${show(b.spec)}: the leading axes must be equal, or 1, or left out`,
    );
  });
}

/** A product with a row on the left, a column on the right, or both: vectors are not transposed. */
function ofVectors(a: Tensor, b: Tensor, attrs: MatmulAttrs): Tensor {
  const [row, column] = [a.shape.length === 1, b.shape.length === 1];
  const y = matmul(
    row ? reshape(a, [1, a.size]) : a,
    column ? reshape(b, [b.size, 1]) : b,
    {
      ...attrs,
      transposeA: attrs.transposeA && !row,
      transposeB: attrs.transposeB && !column,
    },
  );
  const axes = y.shape.length;
  return reshape(
    y,
    y.shape.filter((_, i) => !(row && i === axes - 2) && !(column && i === axes - 1)),
  );
}

/**
 * Linear layer: `x · weightᵀ + bias`.
 *
 * @param x `[…, in]`
 * @param weight `[out, in]`, as checkpoints store it
 * @param bias `[out]`
 * @returns `[…, out]` in the element type of x: weights stored in another leave activations as they are
 * @throws ShapeError when `in` or `out` differ
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  expectFloats("linear", { x, weight, "bias?": bias });
  if (weight.shape.length !== 2 || x.shape.at(-1) !== weight.shape[1]) {
    throw new ShapeError(
      "linear",
      `x is ${show(x.spec)}, weight ${show(weight.spec)}; expected […, in] and [out, in]`,
    );
  }
  if (bias && !sameShape(bias.shape, [weight.shape[0]])) {
    throw new ShapeError(
      "linear",
      `bias is ${show(bias.spec)}, weight ${show(weight.spec)}; expected [out]`,
    );
  }
  const rows = sizeOf(x.shape.slice(0, -1));
  const flat = matmul(reshape(x, [rows, weight.shape[1]]), weight, {
    transposeB: true,
    dtype: x.dtype,
  });
  const y = bias ? add(flat, cast(bias, flat.dtype)) : flat;
  return reshape(y, [...x.shape.slice(0, -1), weight.shape[0]]);
}
