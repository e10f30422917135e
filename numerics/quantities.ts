/**
 * Quantities for people: three significant figures and a unit that fits, whatever the size. One place, since a figure
 * that is printed in several ways is compared with none.
 *
 * What is counted exactly (steps, pictures, ranks) is printed as it is. What is no number says so: "NaN", "∞".
 */

/** A number without a unit: "0.00", "0.123", "12.0", "1230", "1.23e7", "7.68e-5". */
export function figures(x: number): string {
  const rounded = round3(x);
  if (!Number.isFinite(rounded)) return noNumber(rounded);
  const size = Math.abs(rounded);
  if (size > 0 && (size >= 1e6 || size < 1e-4)) return rounded.toExponential(2).replace("e+", "e");
  return size >= 1000 ? String(rounded) : (rounded || 0).toPrecision(3);
}

/** A size in bytes: "768 B", "30.0 kB", "2.14 GB". */
export const bytes = (n: number): string => exact(n, BYTES[0]) ?? scaled(n, BYTES, 1000);

/** The same rounded up: what is needed must not look smaller than it is. */
export const bytesNeeded = (n: number): string => bytes(ceil3(n));

/** A size that is a power of two, as limits of adapters are: "128 MiB", "2.00 GiB". */
export const binaryBytes = (n: number): string => exact(n, BINARY[0]) ?? scaled(n, BINARY, 1024);

/** A time in seconds: "45.6 ms", "12.3 s", "1:45", "2:05:00", "3.20 d". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return noNumber(seconds);
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (round3(seconds) < 60) {
    const unit = TIMES.find(([, size]) => round3(seconds / size) >= 1);
    const [name, size] = unit ?? TIMES.at(-1)!;
    return `${figures(seconds / size)} ${name}`;
  }
  const whole = Math.round(seconds);
  if (whole >= 86_400) return `${figures(seconds / 86_400)} d`;
  const two = (n: number) => String(n).padStart(2, "0");
  const minutes = Math.floor(whole / 60), hours = Math.floor(minutes / 60);
  return hours
    ? `${hours}:${two(minutes % 60)}:${two(whole % 60)}`
    : `${minutes}:${two(whole % 60)}`;
}

/** How often something happens: "8.80k/s", "1.90/s"; under one a second the time of each: "4.00 s each". */
export function rate(perSecond: number): string {
  const size = Math.abs(round3(perSecond));
  if (size > 0 && size < 1) return `${duration(1 / perSecond)} each`;
  return `${prefixed(perSecond)}/s`;
}

/** A count that may be large: exact up to a million, then "1.23M", "860M". */
export const count = (n: number): string =>
  Number.isInteger(n) && Math.abs(n) < 1e6 ? String(n) : prefixed(n);

/** Work and its pace: `scale(8.1e11, "FLOP/s")` is "810 GFLOP/s". */
export const scale = (x: number, unit: string): string =>
  scaled(x, PREFIXES.map((p) => p + unit), 1000);

/** A part of a whole, in percent: `share(0.25)` is "25.0 %". */
export const share = (part: number): string => `${figures(100 * part)} %`;

const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];
const BYTES = PREFIXES.map((p) => `${p}B`);
const BINARY = PREFIXES.map((p) => p ? `${p.toUpperCase()}iB` : "B");
const TIMES = [["s", 1], ["ms", 1e-3], ["µs", 1e-6], ["ns", 1e-9]] as const;

/** Whole numbers of the smallest unit are no measurements: they stay as they are. */
const exact = (x: number, unit: string): string | undefined =>
  Number.isInteger(x) && Math.abs(x) < 1000 ? `${x} ${unit}` : undefined;

const prefixed = (x: number): string => scaled(x, PREFIXES, 1000).replace(" ", "");

/** In the first unit that keeps it under a thousand. */
function scaled(x: number, units: readonly string[], base: number): string {
  if (!Number.isFinite(x)) return `${noNumber(x)} ${units[0]}`.trimEnd();
  if (x === 0) return `0 ${units[0]}`.trimEnd();
  let i = 0, value = x;
  while (Math.abs(round3(value)) >= 1000 && i < units.length - 1) {
    value /= base;
    i++;
  }
  return `${figures(value)} ${units[i]}`.trimEnd();
}

const round3 = (x: number): number => Number(x.toPrecision(3));

function ceil3(x: number): number {
  if (!Number.isFinite(x) || x <= 0) return x;
  const grain = 10 ** Math.max(0, Math.floor(Math.log10(x)) - 2);
  return Math.ceil(x / grain) * grain;
}

const noNumber = (x: number): string => Number.isNaN(x) ? "NaN" : x < 0 ? "-∞" : "∞";
