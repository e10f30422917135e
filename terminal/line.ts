/**
 * One line of progress, at any width. All numbers are there at 40 columns too: first the bar shrinks, then it goes, then
 * the label is cut, then words and spaces go, and numbers last.
 */
import { bytes, duration, figures, rate } from "../numerics/quantities.ts";

/** Numbers shown beside the count. */
export interface Readings {
  /** The newest loss. */
  loss?: number;
  /** Bytes of GPU memory in use. */
  memory?: number;
}

/** What one line of progress is made from. */
export interface Standing extends Readings {
  /** What is being done. */
  label: string;
  /** Steps done. */
  done: number;
  /** Steps in all. */
  total: number;
  /** Steps a second; undefined until one is known. */
  rate?: number;
  /** Seconds left; undefined until that is known. */
  left?: number;
  /** Kernels that are being compiled; `total` is 0 while they are not counted yet. */
  compiling?: { done: number; total: number };
}

/** "train 50/250 · 1.90/s · 1:45 left · loss 0.123 · 2.14 GB" */
export const formatLine = (at: Standing): string => lineOf(at, NOTHING_LEFT_OUT);

/** What is left out of a line that is too long. */
interface Shortening {
  /** Letters of the label. */
  readonly label: number;
  readonly separator: string;
  /** Whether words stand beside numbers. */
  readonly words: boolean;
}

const NOTHING_LEFT_OUT: Shortening = { label: Infinity, separator: " · ", words: true };

const SHORTENINGS: readonly Shortening[] = [
  NOTHING_LEFT_OUT,
  { label: 24, separator: " · ", words: true },
  { label: 12, separator: " · ", words: true },
  { label: 12, separator: " ", words: true },
  { label: 12, separator: " ", words: false },
  { label: 5, separator: " ", words: false },
  { label: 0, separator: " ", words: false },
];

const BAR = { most: 24, fewest: 6 };

/** A line of at most so many columns, with a bar where there is room for one. */
export function layout(at: Standing, columns: number): string {
  const full = formatLine(at);
  const room = columns - full.length - 1;
  if (room >= BAR.fewest) return `${bar(at, Math.min(BAR.most, room))} ${full}`;
  const lines = SHORTENINGS.map((shortening) => lineOf(at, shortening));
  return lines.find((line) => line.length <= columns) ?? lines.at(-1)!.slice(0, columns);
}

function bar({ done, total }: Standing, width: number): string {
  const filled = total > 0 ? Math.round(width * Math.min(1, Math.max(0, done / total))) : width;
  return "█".repeat(filled) + "░".repeat(width - filled);
}

function lineOf(at: Standing, { label, separator, words }: Shortening): string {
  const tight = (text: string) => words ? text : text.replace(" each", "").replace(" ", "");
  const name = at.label.length > label ? `${at.label.slice(0, label && label - 1)}…` : at.label;
  const parts = [`${label ? `${name} ` : ""}${Math.floor(at.done)}/${at.total}`];
  if (at.compiling) {
    const { done, total } = at.compiling;
    parts.push(`compiling${words ? " kernels" : ""}${total ? ` ${done}/${total}` : ""}`);
  } else {
    if (at.rate !== undefined && at.rate > 0) parts.push(tight(rate(at.rate)));
    if (at.left !== undefined && at.done < at.total) parts.push(leftOf(at.left, words));
  }
  if (at.loss !== undefined) parts.push(words ? `loss ${figures(at.loss)}` : figures(at.loss));
  if (at.memory !== undefined) parts.push(tight(bytes(at.memory)));
  return parts.join(separator);
}

/** "1:45 left", or as short as it goes: "2h05". */
function leftOf(seconds: number, words: boolean): string {
  const text = duration(seconds);
  if (words) return `${text} left`;
  return text.replace(/^(\d+):(\d\d):\d\d$/, "$1h$2").replace(" ", "");
}
