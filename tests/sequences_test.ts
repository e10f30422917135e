// Linear attention beside its recurrence, rotary embeddings, attention with functions of scores, boxes that overlap.
import { assertEquals, assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import type { LinearAttentionOptions, Tensor } from "../mod.ts";
import { interpret } from "../compile/interpret.ts";
import { test } from "./support/devices.ts";
import { agrees, filled, numbers } from "./support/plain.ts";

interface Sizes {
  readonly b: number;
  readonly t: number;
  readonly h: number;
  readonly g: number;
  readonly d: number;
  readonly e: number;
}

/** The definition: a state of [D, E] for each head of keys, a step after the other. */
function recurrence(
  { b, t, h, g, d, e }: Sizes,
  [q, k, v]: number[][],
  decay?: { values: number[]; each: boolean },
  beta?: number[],
  begin?: number[],
) {
  const y: number[] = [], states: number[] = [];
  const out = new Array(b * t * h * e).fill(0);
  for (let i = 0; i < b; i++) {
    for (let j = 0; j < g; j++) {
      const s = begin
        ? begin.slice((i * g + j) * d * e, (i * g + j + 1) * d * e)
        : new Array(d * e).fill(0);
      for (let step = 0; step < t; step++) {
        const at = (i * t + step) * g + j;
        const key = k.slice(at * d, (at + 1) * d), value = v.slice(at * e, (at + 1) * e);
        for (let x = 0; x < d * e; x++) {
          if (decay) s[x] *= Math.exp(decay.values[decay.each ? at * d + Math.floor(x / e) : at]);
        }
        const u = value.map((w, c) =>
          beta ? beta[at] * (w - key.reduce((sum, kk, r) => sum + kk * s[r * e + c], 0)) : w
        );
        for (let r = 0; r < d; r++) for (let c = 0; c < e; c++) s[r * e + c] += key[r] * u[c];
        for (let p = j * h / g; p < (j + 1) * h / g; p++) {
          const query = q.slice(((i * t + step) * h + p) * d).slice(0, d);
          for (let c = 0; c < e; c++) {
            out[((i * t + step) * h + p) * e + c] = query.reduce((sum, w, r) =>
              sum + w * s[r * e + c], 0) / Math.sqrt(d);
          }
        }
      }
      states.push(...s);
    }
  }
  y.push(...out);
  return { y, states };
}

test("linear attention is its recurrence: plain, gated, by the delta rule, and both", async (device) => {
  // Of one step, of chunks that are whole, begun or one step long, and of more chunks than are written out.
  const lengths = device.profile.cpu
    ? [[1, 4], [4, 4], [5, 4], [11, 2], [37, 6], [7, 32]]
    : [[11, 2]];
  for (const [i, [t, chunk]] of lengths.entries()) {
    const s = { b: 2, t, h: i % 2 ? 4 : 2, g: 2, d: 3, e: 1 + i % 3 };
    const values = [[s.h, s.d], [s.g, s.d], [s.g, s.e]].map(([n, w], k) =>
      numbers(s.b * t * n * w, k + i)
    );
    const [q, k, v] = [[s.h, s.d], [s.g, s.d], [s.g, s.e]].map(([n, w], x) =>
      m.tensor(values[x], [s.b, t, n, w])
    );
    const gates = numbers(s.b * t * s.g, 30).map((x) => -Math.abs(x) * 3);
    const gatesOfEach = numbers(s.b * t * s.g * s.d, 31).map((x) => -Math.abs(x) * 3);
    const rates = numbers(s.b * t * s.g, 32).map((x) => Math.fround(Math.abs(x)));
    const begin = numbers(s.b * s.g * s.d * s.e, 33);
    const decay = m.tensor(gates, [s.b, t, s.g]),
      decayOfEach = m.tensor(gatesOfEach, [s.b, t, s.g, s.d]);
    const beta = m.tensor(rates, [s.b, t, s.g]), state = m.tensor(begin, [s.b, s.g, s.d, s.e]);
    const one = { values: gates, each: false }, each = { values: gatesOfEach, each: true };
    const kinds: [LinearAttentionOptions, ReturnType<typeof recurrence>][] = [
      [{}, recurrence(s, values)],
      [{ decay, state }, recurrence(s, values, one, undefined, begin)],
      [{ decay: decayOfEach }, recurrence(s, values, each)],
      [{ beta, state }, recurrence(s, values, undefined, rates, begin)],
      [{ decay: decayOfEach, beta, state }, recurrence(s, values, each, rates, begin)],
    ];
    for (const [options, { y, states }] of device.profile.cpu ? kinds : kinds.slice(4)) {
      const [got, end] = m.linearAttention(q, k, v, { ...options, chunk });
      assertEquals([got.shape, end.shape], [[s.b, t, s.h, s.e], [s.b, s.g, s.d, s.e]]);
      // One program: a software adapter compiles every product in a second.
      const both = m.concat([got, end].map((x) => m.reshape(x, [x.size])), 0);
      await agrees(both, both.shape, [...y, ...states], 2e-5);
    }
  }
});

test("a sequence in pieces is attended to as the whole; strong gates overflow nothing; nothing gives nothing", async (device) => {
  // A software adapter takes half a minute to compile these products; those of the test above are the same.
  if (!device.profile.cpu) return;
  const [q, k, v] = [1, 2, 3].map((seed) => filled([1, 9, 1, 4], seed));
  const options = { beta: m.full([1, 9, 1], 0.7), decay: m.full([1, 9, 1, 4], -0.2), chunk: 3 };
  const [whole, end] = m.linearAttention(q, k, v, options);
  let state: Tensor | undefined;
  const pieces = [[0, 4], [4, 5], [5, 9]].map(([from, to]) => {
    const part = (t: Tensor) => m.slice(t, 1, from, to);
    const [y, next] = m.linearAttention(part(q), part(k), part(v), {
      ...options,
      beta: part(options.beta),
      decay: part(options.decay),
      state,
    });
    state = next;
    return y;
  });
  await agrees(m.sub(m.concat(pieces, 1), whole), whole.shape, new Array(36).fill(0));
  await agrees(m.sub(state!, end), end.shape, new Array(16).fill(0));
  for (const decay of [m.full([1, 9, 1], -1000), m.full([1, 9, 1, 4], -1000)]) {
    // Only what a step writes itself is left of it.
    const [y] = m.linearAttention(q, k, v, { decay });
    const own = m.mul(m.sum(m.mul(q, k), [3], { keep: true }), m.mul(v, 0.5));
    await agrees(m.sub(y, own), y.shape, new Array(36).fill(0));
    const slopes = m.grad((g: Tensor) => m.sum(m.linearAttention(q, k, v, { decay: g })[0]))(decay);
    await agrees(slopes, decay.shape, new Array(decay.size).fill(0));
  }
  const none = m.linearAttention(
    m.zeros([1, 0, 2, 3]),
    m.zeros([1, 0, 1, 3]),
    m.zeros([1, 0, 1, 2]),
    {
      state: m.ones([1, 1, 3, 2]),
    },
  );
  await agrees(none[0], [1, 0, 2, 2], []);
  await agrees(none[1], [1, 1, 3, 2], new Array(6).fill(1));
  const half = m.linearAttention(m.cast(q, "f16"), k, v)[0];
  assertEquals(half.dtype, "f16");
});

test("derivatives of linear attention do not know of chunks: in a loop, written out, and in one", async (device) => {
  if (!device.profile.cpu) return;
  const [q, k, v] = [[2, 3], [1, 3], [1, 2]].map(([h, w], i) => filled([1, 7, h, w], i + 1));
  const decay = m.neg(m.abs(filled([1, 7, 1, 3], 4))), beta = m.abs(filled([1, 7, 1], 5));
  const gradients = (chunk: number) =>
    m.grad((p: Record<string, Tensor>) => {
      const [y, state] = m.linearAttention(p.q, p.k, p.v, { decay, beta, chunk });
      return m.add(m.sum(m.sin(y)), m.sum(m.square(state)));
    })({ q, k, v });
  const one = gradients(7);
  for (const chunk of [1, 2, 3]) {
    const others = gradients(chunk);
    for (const name of ["q", "k", "v"]) {
      const d = m.sub(others[name], one[name]);
      await agrees(d, one[name].shape, new Array(d.size).fill(0), 2e-5);
    }
  }
  const along = (chunk: number) => (g: Tensor, b: Tensor) =>
    m.sum(m.sin(m.linearAttention(q, k, v, { decay: g, beta: b, chunk })[0]));
  const [whole, parts] = [7, 1].map((chunk) => {
    const [g, b] = [
      m.grad((x: Tensor) => along(chunk)(x, beta))(decay),
      m.grad((x: Tensor) => along(chunk)(decay, x))(beta),
    ];
    return m.concat([m.reshape(g, [21]), m.reshape(b, [7])], 0);
  });
  await agrees(m.sub(whole, parts), [28], new Array(28).fill(0), 2e-5);
});

test("a rotary embedding turns pairs by the angle of their place, and keeps the rest", async () => {
  const [b, t, h, d, half] = [2, 3, 2, 6, 2];
  const x = numbers(b * t * h * d, 1), places = [4, 0, 2, 1, 1, 3];
  const angles = Array.from(
    { length: 5 * half },
    (_, i) => Math.floor(i / half) * 0.7 / 3 ** (i % half),
  );
  const table = (f: (x: number) => number) => m.tensor(angles.map(f), [5, half]);
  for (const interleaved of [false, true]) {
    const expected = [...x];
    for (let r = 0; r < b * t * h; r++) {
      for (let p = 0; p < half; p++) {
        const a = angles[places[Math.floor(r / h)] * half + p];
        const [i, j] = (interleaved ? [2 * p, 2 * p + 1] : [p, p + half]).map((k) => r * d + k);
        expected[i] = x[i] * Math.cos(a) - x[j] * Math.sin(a);
        expected[j] = x[j] * Math.cos(a) + x[i] * Math.sin(a);
      }
    }
    const positions = m.tensor(Int32Array.from(places), [b, t]);
    const y = m.rotaryEmbedding(m.tensor(x, [b, t, h, d]), table(Math.cos), table(Math.sin), {
      positions,
      interleaved,
    });
    await agrees(y, [b, t, h, d], expected);
    const rows = [table(Math.cos), table(Math.sin)].map((u) => m.take(u, positions));
    const same = m.rotaryEmbedding(m.tensor(x, [b, t, h, d]), rows[0], rows[1], { interleaved });
    await agrees(same, [b, t, h, d], expected);
  }
});

test("attention by functions of scores is that of its options", async () => {
  const [q, k, v] = [filled([2, 3, 2, 4], 1), filled([2, 5, 1, 4], 2), filled([2, 5, 1, 3], 3)];
  const same = async (a: Tensor, b: Tensor) =>
    await agrees(m.sub(a, b), a.shape, new Array(a.size).fill(0));
  await same(
    m.attention(q, k, v, {
      scoreMod: (scores, { query, key }) => m.where(m.greaterEqual(query, key), scores, -Infinity),
    }),
    m.attention(q, k, v, { causal: true }),
  );
  await same(
    m.attention(q, k, v, { scoreMod: (scores) => m.mul(m.tanh(m.div(scores, 2)), 2) }),
    m.attention(q, k, v, { softCap: 2 }),
  );
  const lengths = m.tensor(Int32Array.of(5, 2));
  await same(
    m.attention(q, k, v, { keyValueLengths: lengths }),
    m.attention(q, k, v, {
      scoreMod: (scores, { batch, key }) =>
        m.where(
          m.less(key, m.reshape(m.take(lengths, m.reshape(batch, [2])), [2, 1, 1, 1])),
          scores,
          -Infinity,
        ),
    }),
  );
  // A head of its own bias, weights of half the size, and a query that sees nothing.
  const byHead = m.attention(q, k, v, {
    scoreMod: (scores, { head }) =>
      m.add(scores, m.mul(m.cast(m.mul(head, -1), "f32"), m.tensor([0, 1, 2, 3, 4]))),
    weightMod: (weights) => m.div(weights, 2),
  });
  const bias = m.tensor([0, 0, 0, 0, 0, 0, -1, -2, -3, -4], [1, 2, 1, 5]);
  await same(m.mul(byHead, 2), m.attention(q, k, v, { bias }));
  await agrees(
    m.attention(q, k, v, { keyValueLengths: m.zeros([2], "u32") }),
    [2, 3, 2, 3],
    new Array(36).fill(0),
  );
});

test("boxes that overlap a better one are left out: a loop over boxes, for many images and classes at once", async (device) => {
  const [images, classes, n] = [2, 2, 9];
  const corners = numbers(images * n * 4, 5, 3), scores = numbers(images * classes * n, 6);
  scores[3] = scores[4] = NaN;
  scores[12] = scores[11];
  const share = (a: number[], b: number[]) => {
    const [p, q] = [a, b].map((c) =>
      [0, 1].map((i) => [Math.min(c[i], c[i + 2]), Math.max(c[i], c[i + 2])])
    );
    const area = (c: number[][]) => c.reduce((x, [low, high]) => x * (high - low), 1);
    const both = p.reduce(
      (x, [low, high], i) => x * Math.max(0, Math.min(high, q[i][1]) - Math.max(low, q[i][0])),
      1,
    );
    return both / (area(p) + area(q) - both);
  };
  for (
    const { size, overlap, score } of [{ size: 9, overlap: 0.3, score: -0.5 }, {
      size: 2,
      overlap: 0.1,
    }]
  ) {
    const chosen = Array.from({ length: images * classes }, (_, row) => {
      const box = (i: number) => corners.slice((Math.floor(row / classes) * n + i) * 4).slice(0, 4);
      const own = scores.slice(row * n, (row + 1) * n);
      const order = [...own.keys()].filter((i) => own[i] > (score ?? -Infinity)).sort((i, j) =>
        own[j] - own[i] || i - j
      );
      const kept: number[] = [];
      for (const i of order) if (kept.every((j) => share(box(i), box(j)) <= overlap)) kept.push(i);
      return kept.slice(0, size);
    });
    const of = (b: Tensor, s: Tensor) => {
      const { indices, count } = m.nonMaxSuppression(b, s, { size, overlap, score });
      return [indices, count];
    };
    const all = m.vmap(m.vmap(of, { inAxes: [null, 0] }));
    const [indices, counts] = all(
      m.tensor(corners, [images, n, 4]),
      m.tensor(scores, [images, classes, n]),
    );
    const filledUp = chosen.flatMap((c) => [...c, ...new Array(size - c.length).fill(0)]);
    await agrees(indices, [images, classes, size], filledUp, 0);
    await agrees(counts, [images, classes], chosen.map((c) => c.length), 0);
    if (!device.profile.cpu) return;
  }
  // Boxes without area overlap nothing, not even themselves, and are chosen once each.
  const points = m.nonMaxSuppression(m.zeros([3, 4]), m.tensor([1, 3, 2]), { overlap: 0 });
  await agrees(points.indices, [3], [1, 2, 0], 0);
  assertEquals([...interpret([m.nonMaxSuppression(m.zeros([1, 4]), m.tensor([NaN])).count])[0]], [
    0,
  ]);
  const nothing = m.nonMaxSuppression(m.zeros([0, 4]), m.zeros([0]), { size: 2 });
  await agrees(nothing.indices, [2], [0, 0], 0);
  await agrees(nothing.count, [], [0], 0);
  assertEquals(m.nonMaxSuppression(m.zeros([0, 4]), m.zeros([0])).indices.shape, [0]);
  const slope = m.grad((b: Tensor) =>
    m.sum(m.cast(m.nonMaxSuppression(b, m.tensor([1, 3])).indices, "f32"))
  )(m.ones([2, 4]));
  await agrees(slope, [2, 4], new Array(8).fill(0), 0);
});

Deno.test("what does not fit is refused by name", () => {
  const x = m.zeros([1, 3, 2, 4]);
  const cases: [() => unknown, string][] = [
    [() => m.linearAttention(x, x, m.zeros([1, 2, 2, 4])), "v f32[1,2,2,4]; expected q [B,T,H,D]"],
    [() => m.linearAttention(x, x, x, { decay: m.zeros([1, 3, 4]) }), "decay f32[1,3,4]"],
    [() => m.linearAttention(x, x, x, { state: m.zeros([1, 2, 4]) }), "state f32[1,2,4]"],
    [
      () => m.rotaryEmbedding(x, m.zeros([3, 3]), m.zeros([3, 3])),
      "at most 4/2 for each of [1,3] tokens",
    ],
    [() => m.rotaryEmbedding(x, m.zeros([3, 2]), m.zeros([3, 1])), "sin f32[3,1]"],
    [
      () => m.attention(x, x, x, { keyValueLengths: m.zeros([2], "u32") }),
      "keyValueLengths are u32[2], expected integers [1]",
    ],
    [
      () => m.attention(x, x, x, { scoreMod: (s) => m.sum(s) }),
      "scoreMod gave f32[] for f32[1,2,3,3]",
    ],
    [() => m.nonMaxSuppression(m.zeros([2, 3]), m.zeros([2])), "boxes f32[2,3], scores f32[2]"],
    [() => m.nonMaxSuppression(m.zeros([0, 4]), m.zeros([1])), "boxes f32[0,4], scores f32[1]"],
  ];
  for (const [call, message] of cases) assertThrows(call, m.ShapeError, message);
  // deno-lint-ignore no-explicit-any
  const nothing = (() => undefined) as any;
  assertThrows(
    () => m.attention(x, x, x, { weightMod: nothing }),
    TypeError,
    "what options.weightMod gave is undefined",
  );
});
