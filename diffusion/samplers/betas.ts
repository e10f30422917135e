/**
 * β of every training timestep from a scheduler's config.
 * Source: Ho et al. 2020 (linear); Rombach et al. 2022 (scaled_linear); Nichol & Dhariwal 2021, eq. 17 (cosine); Lin et
 * al. 2024, algorithm 1 (zero terminal SNR).
 */
import type { ConfigReader } from "../../models/config.ts";

/**
 * @returns β `[trainSteps]`, float64
 * @throws FileError naming the entry that is missing or wrong
 */
export function betasOf(c: ConfigReader, trainSteps: number): Float64Array {
  const betas = plainBetas(c, trainSteps);
  return c.flag("rescale_betas_zero_snr", false) ? withZeroTerminalSnr(betas) : betas;
}

function plainBetas(c: ConfigReader, n: number): Float64Array {
  const isBeta = (b: unknown): b is number => typeof b === "number" && b > 0 && b < 1;
  const given = c.raw("trained_betas");
  if (given !== undefined) {
    const fits = Array.isArray(given) && given.length === n && given.every(isBeta);
    return fits
      ? Float64Array.from(given)
      : c.refuse("trained_betas", `a list of ${n} numbers between 0 and 1`);
  }
  const kind = c.oneOf("beta_schedule", ["scaled_linear", "linear", "squaredcos_cap_v2"]);
  if (kind === "squaredcos_cap_v2") {
    const bar = (t: number) => Math.cos((t + 0.008) / 1.008 * Math.PI / 2) ** 2;
    return Float64Array.from(
      { length: n },
      (_, i) => Math.min(1 - bar((i + 1) / n) / bar(i / n), 0.999),
    );
  }
  const [first, last] = ["beta_start", "beta_end"].map((key) => {
    const beta = c.raw(key);
    return isBeta(beta) ? beta : c.refuse(key, "a number between 0 and 1");
  });
  const line = (a: number, b: number, i: number) => n === 1 ? a : a + (b - a) * i / (n - 1);
  return kind === "linear"
    ? Float64Array.from({ length: n }, (_, i) => line(first, last, i))
    : Float64Array.from({ length: n }, (_, i) => line(Math.sqrt(first), Math.sqrt(last), i) ** 2);
}

/** Shifts and scales √ᾱ so that its last is 0 and its first stays. */
function withZeroTerminalSnr(betas: Float64Array): Float64Array {
  const roots = alphaBarsOf(betas).map(Math.sqrt);
  const first = roots[0], last = roots[roots.length - 1];
  const bars = roots.map((r) => ((r - last) * first / (first - last)) ** 2);
  return bars.map((bar, t) => 1 - (t === 0 ? bar : bar / bars[t - 1]));
}

/** ᾱ: running product of 1 − β. */
export function alphaBarsOf(betas: Float64Array): Float64Array {
  let product = 1;
  return betas.map((beta) => product *= 1 - beta);
}
