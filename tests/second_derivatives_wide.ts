/** Images at places, signals, quantized numbers and sequences in `tests/golden/second_derivatives.py`, by the same names. */
import * as m from "../mod.ts";
import type { Tensor } from "../mod.ts";

const { add, mul, sub, square, neg } = m;

type Case = (x: Tensor[]) => Tensor;
const two = m.tensor(Int32Array.of(1, 0));
const withState = ([y, state]: readonly [Tensor, Tensor]) =>
  add(m.cast(y, "f32"), m.cast(m.mean(state), "f32"));
const turned = (x: Tensor, angle: Tensor, interleaved: boolean) =>
  m.rotaryEmbedding(x, m.cos(angle), m.sin(angle), { interleaved });

export const wideCases: Readonly<Record<string, Case>> = {
  "gridSample": ([x, g]) => m.gridSample(x, g),
  "gridSample cubic": ([x, g]) =>
    m.gridSample(x, mul(g, 1.3), { method: "cubic", outside: "edge", alignCorners: true }),
  "gridSample reflected": ([x, g]) => m.gridSample(x, mul(g, 2.2), { outside: "reflect" }),
  "affineGrid": ([t]) => m.affineGrid(square(t), [2, 3]),
  "roiAlign": ([x, b]) => {
    const places = m.cast(m.tensor([0.25, 0.375, 1.625, 1.75]), b.dtype);
    return m.roiAlign(x, add(b, places), two, [2, 2], { scale: 2 });
  },
  "deformConv": ([x, offset, w, mask]) =>
    m.deformConv(x, offset, w, { mask, stride: 2, padding: 1 }),
  "unfold": ([x]) => m.unfold(square(x), [2, 3], { padding: 1, stride: 2 }),
  "fold": ([x]) =>
    m.fold(square(x), [3, 3], [2, 2], { padding: 1, stride: 2, channelsFirst: true }),
  "depthToSpace": ([x]) => m.depthToSpace(square(x), 2, { order: "channels" }),
  "spaceToDepth": ([x]) => m.spaceToDepth(square(x), 2, { order: "channels" }),
  "centerCrop": ([a]) => m.centerCrop(square(a), [3, 3]),
  "dynamicSlice": ([a]) => m.dynamicSlice(square(a), [m.tensor(Int32Array.of(1)), 5], [2, 2]),
  "dynamicUpdateSlice": ([a, u]) =>
    m.dynamicUpdateSlice(square(a), square(u), [m.tensor(Uint32Array.of(1)), -2]),
  "lpPool": ([a]) => m.lpPool(a, { window: 2, stride: 1, ord: 3 }),
  "maxUnpool": ([a]) =>
    m.maxUnpool(square(a), m.tensor(Uint32Array.of(1, 2, 8, 11), [1, 2, 2, 1]), [3, 4]),
  "fft": ([z]) => m.fft(squared(z)),
  "ifft": ([z]) => m.ifft(squared(z), 0),
  "rfft": ([a]) => m.rfft(square(a)),
  "irfft": ([a]) => m.irfft(square(a), 5),
  "stft": ([a]) => m.stft(square(a), 4, { hop: 2, window: m.hann(4) }),
  "istft": ([z]) => m.istft(z, 4, { hop: 2, window: m.hann(4) }),
  "causalConv1d": ([x, w, state]) => m.causalConv1d(x, w, { state })[0],
  "rotaryEmbedding": ([x, a]) => turned(x, a, false),
  "rotaryEmbedding of neighbours": ([x, a]) => turned(square(x), a, true),
  "attention with functions of scores": ([q, k, v]) =>
    m.attention(q, k, v, {
      scoreMod: (scores, { query, key }) => {
        const behind = sub(query, key);
        const more = mul(scores, m.cast(add(behind, 1), "f32"));
        return m.where(m.greaterEqual(behind, 0), more, -Infinity);
      },
      weightMod: (weights) => square(weights),
    }),
  "linearAttention": ([q, k, v]) => withState(m.linearAttention(q, k, v, { chunk: 2 })),
  "linearAttention, gated": ([q, k, v, g]) =>
    withState(m.linearAttention(q, k, v, { decay: neg(square(g)), chunk: 2 })),
  "linearAttention by the delta rule": ([q, k, v, g, beta]) =>
    withState(m.linearAttention(q, k, v, { decay: neg(square(g)), beta })),
  "threshold": ([a]) => m.threshold(square(a), 0.25, 0.5),
  "standardize": ([a]) => m.standardize(a, [0, 1]),
  "hardmax": ([a]) => mul(a, m.hardmax(a)),
  "reducePrecision": ([a]) => m.reducePrecision(mul(a, 3), "float8_e4m3fn"),
  "fakeQuantize": ([a]) =>
    m.fakeQuantize(a, m.scalar(1 / 16), "int4", { zero: m.tensor(Int32Array.of(0)) }),
};

/** The square of complex numbers. */
function squared(z: Tensor): Tensor {
  const [re, im] = [0, 1].map((i) => m.slice(z, z.shape.length - 1, i, i + 1));
  return m.concat(
    [sub(square(re), square(im)), mul(mul(re, im), 2)],
    z.shape.length - 1,
  );
}
