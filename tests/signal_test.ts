// Spectra beside sums in float64, of extents of every kind; windows, frames, and convolutions of signals that come in pieces.
import { assertThrows } from "@std/assert";
import * as m from "../mod.ts";
import { test } from "./support/devices.ts";
import { agrees, filled, numbers } from "./support/plain.ts";

/** Σ z e^(sign · 2πi t k / n), by definition. */
function dft(z: ArrayLike<number>, sign: number): number[] {
  const n = z.length / 2;
  return Array.from({ length: n }, (_, k) => {
    let [re, im] = [0, 0];
    for (let t = 0; t < n; t++) {
      const a = sign * 2 * Math.PI * ((t * k) % n) / n;
      const [c, s] = [Math.cos(a), Math.sin(a)];
      re += z[2 * t] * c - z[2 * t + 1] * s;
      im += z[2 * t] * s + z[2 * t + 1] * c;
    }
    return [re, im];
  }).flat();
}

test("fft of any extent is its sum: small, of factors, prime, and prime and long", async (device) => {
  // 257 and 521 have no factor of at most 64 and are convolutions; 131 is prime and one product; 4096 has two levels.
  for (
    const n of device.profile.cpu
      ? [1, 2, 3, 7, 64, 65, 96, 131, 257, 360, 521, 4096]
      : [6, 66, 257]
  ) {
    const z = numbers(2 * n, n);
    await agrees(m.fft(m.tensor(z, [n, 2])), [n, 2], dft(z, -1), 1e-5);
    await agrees(m.ifft(m.tensor(z, [n, 2])), [n, 2], dft(z, 1).map((v) => v / n), 1e-5);
  }
});

test("along any axis, of many rows, of f16, and back again", async (device) => {
  const x = filled([3, 10, 2, 2], 1);
  const y = m.fft(x, -2);
  await agrees(m.sub(m.ifft(y, 1), x), x.shape, new Array(x.size).fill(0));
  const rows = m.moveAxis(x, 1, 2);
  await agrees(m.sub(m.fft(rows, -1), m.moveAxis(y, 1, 2)), rows.shape, new Array(x.size).fill(0));
  for (const n of device.profile.cpu ? [1, 2, 5, 8, 90] : [5]) {
    const real = filled([2, n, 3], n + 1);
    const half = m.rfft(real, 1);
    const back = m.irfft(half, n, 1);
    await agrees(m.sub(back, real), real.shape, new Array(real.size).fill(0));
    // The length of what is there, without being told, is that of an even signal.
    if (n % 2 === 0) {
      await agrees(
        m.sub(m.irfft(half, undefined, 1), real),
        real.shape,
        new Array(real.size).fill(0),
      );
    }
    const whole = m.fft(m.stack([real, m.zerosLike(real)], -1), 1);
    await agrees(
      m.sub(m.slice(whole, 1, 0, half.shape[1]), half),
      half.shape,
      new Array(half.size).fill(0),
    );
  }
  await agrees(m.fft(m.cast(m.tensor([1, 0, 2, 0], [2, 2]), "f16")), [2, 2], [3, 0, -1, 0]);
  await agrees(m.rfft(m.tensor([NaN, 1])), [2, 2], new Array(4).fill(NaN));
  await agrees(m.fft(m.zeros([0, 4, 2])), [0, 4, 2], []);
});

test("windows are NumPy's where they are symmetric, and PyTorch's where they are periodic", async () => {
  await agrees(m.hann(4), [4], [0, 0.5, 1, 0.5]);
  await agrees(m.hann(5, { periodic: false }), [5], [0, 0.5, 1, 0.5, 0]);
  await agrees(m.hamming(3, { periodic: false }), [3], [0.08, 1, 0.08]);
  await agrees(m.blackman(5, { periodic: false }), [5], [0, 0.34, 1, 0.34, 0], 1e-7);
  await agrees(m.generalCosine(2, [0.25, 0.75]), [2], [-0.5, 1]);
  await agrees(m.hann(1), [1], [1]);
  await agrees(m.hann(0), [0], []);
});

test("stft is the spectrum of every frame", async () => {
  const x = numbers(2 * 23, 3);
  const [frame, hop] = [8, 3];
  const w = Array.from({ length: frame }, (_, t) => 0.5 - 0.5 * Math.cos(2 * Math.PI * t / frame));
  for (const window of [m.hann(frame), undefined]) {
    const expected = [0, 1].flatMap((row) =>
      Array.from({ length: Math.floor((23 - frame) / hop) + 1 }, (_, f) => {
        const z = w.flatMap((v, t) => [x[row * 23 + f * hop + t] * (window ? v : 1), 0]);
        return dft(z, -1).slice(0, 10);
      }).flat()
    );
    await agrees(m.stft(m.tensor(x, [2, 23]), frame, { hop, window }), [2, 6, 5, 2], expected);
  }
});

test("istft gives the signal back, whatever the window, but where there is none", async () => {
  const x = filled([2, 20], 9);
  for (
    const [frame, hop, window] of [[8, 3, m.hamming(8)], [5, 5, undefined], [
      8,
      2,
      m.hann(8),
    ]] as const
  ) {
    const spectra = m.stft(x, frame, { hop, window });
    const y = m.istft(spectra, frame, { hop, window });
    // Hann's window begins with 0, so that the first sample is in no frame.
    const first = window && frame === 8 && hop === 2 ? 1 : 0;
    const part = m.slice(m.sub(y, m.slice(x, 1, 0, y.shape[1])), 1, first, y.shape[1]);
    await agrees(part, part.shape, new Array(part.size).fill(0));
    if (first) await agrees(m.slice(y, 1, 0, 1), [2, 1], [0, 0]);
  }
  assertThrows(
    () => m.istft(m.zeros([2, 4, 2]), 8),
    m.ShapeError,
    "istft: frames of 8 in f32[2,4,2]",
  );
});

test("a signal in pieces is convolved as the whole, and nothing of what is to come is seen", async (device) => {
  for (
    const { dilation, groups, first } of [
      { dilation: 1, groups: 4, first: false },
      { dilation: 2, groups: 2, first: true },
      { dilation: 1, groups: 1, first: false },
    ]
  ) {
    const x = filled([2, 9, 4], 5), w = filled([3, 4 / groups, 4], 6);
    const turn = (t: m.Tensor) => first ? m.moveAxis(t, 2, 1) : t;
    const weight = first ? m.permute(w, [2, 1, 0]) : w;
    const options = { dilation, channelsFirst: first };
    const [whole, state] = m.causalConv1d(turn(x), weight, options);
    const padded = m.conv(turn(x), weight, { ...options, groups, padding: [[2 * dilation, 0]] });
    await agrees(m.sub(whole, padded), whole.shape, new Array(whole.size).fill(0));
    let past: m.Tensor | undefined;
    const pieces: m.Tensor[] = [];
    for (const [from, to] of [[0, 1], [1, 1], [1, 3], [3, 9]]) {
      const [y, next] = m.causalConv1d(turn(m.slice(x, 1, from, to)), weight, {
        ...options,
        state: past,
      });
      pieces.push(y);
      past = next;
    }
    const joined = m.concat(pieces, first ? 2 : 1);
    await agrees(m.sub(joined, whole), whole.shape, new Array(whole.size).fill(0));
    await agrees(m.sub(past!, state), state.shape, new Array(state.size).fill(0));
    if (!device.profile.cpu) break;
  }
  const [y, none] = m.causalConv1d(m.ones([1, 2, 1]), m.full([1, 1, 1], 3));
  await agrees(y, [1, 2, 1], [3, 3]);
  await agrees(none, [1, 0, 1], []);
});

Deno.test("what has no spectrum, no frame, no state is refused by name", () => {
  const x = m.zeros([2, 6]);
  const cases: [() => unknown, string][] = [
    [() => m.fft(x), "fft: takes f32 and f16 whose last axis is real part and imaginary part"],
    [() => m.rfft(m.zeros([2], "i32")), "rfft: takes f32 and f16, not i32[2]"],
    [() => m.rfft(m.zeros([2, 0])), "axis 1 of f32[2,0] has no numbers"],
    [() => m.irfft(m.zeros([4, 2]), 9), "irfft: 9 numbers of f32[4,2]"],
    [() => m.stft(x, 7), "stft: frames of 7 in f32[2,6]"],
    [() => m.stft(x, 4, { window: m.hann(5) }), "with a window f32[5]"],
    [
      () => m.causalConv1d(m.zeros([1, 3, 2]), m.zeros([2, 1, 2]), { state: m.zeros([1, 2, 2]) }),
      "expected [1,1,2]",
    ],
    [() => m.causalConv1d(m.zeros([1, 3, 3]), m.zeros([2, 2, 2])), "the image has 3 channels"],
  ];
  for (const [call, message] of cases) assertThrows(call, m.ShapeError, message);
});
