/** WGSL for a block of a few rows of an operand that one invocation holds in registers: addresses, loads, names of the elements. */
import { size } from "../../tensor/kernel.ts";
import type { Operand } from "./problem.ts";

const LANE = "xyzw";

/** A block of rows of an operand. */
export interface Block {
  /** Statements to run once: addresses of the rows. */
  setup(): string;
  /** Statements to run where a segment begins. */
  enter(segment: string): string;
  /** Statements that load the elements at places `from … to − 1` after `k`. */
  load(k: string, from: number, to: number): string;
  /** The elements of rows 4j … 4j + 3 at place `kk`: a vec4<f32> expression. */
  vector(j: number, kk: number): string;
}

/** A block of `count` rows of an operand, from row `base` on. `count` is a multiple of 4. */
export class Fragment implements Block {
  readonly #step: number;

  /**
   * @param rows rows that the operand has; indices past them are moved back (what they give is never stored)
   * @param prefix prefix of every name that is declared
   */
  constructor(
    readonly operand: Operand,
    readonly rows: number,
    readonly count: number,
    readonly base: string,
    readonly prefix: string,
  ) {
    this.#step = operand.along === "row" ? operand.width : 1;
  }

  #groups(): number[] {
    return [...Array(this.count / this.#step).keys()];
  }

  /** Statements to run once: addresses of the rows. */
  setup(): string {
    return this.#groups().map((q) => {
      const r = `min(${this.base} + ${q * this.#step}u, ${size(this.rows - this.#step)})`;
      return this.operand.row(r, `${this.prefix}${q}`);
    }).join("\n");
  }

  /** Statements to run where a segment begins; `tag` tells several segments in one scope apart. */
  enter(segment: string, tag = "s"): string {
    return this.#groups().map((q) => {
      const id = `${this.prefix}${q}`;
      return this.operand.enter(id, segment, id + tag);
    }).join("\n");
  }

  /** Statements that load the elements at places `from … to − 1` after `k`; `guard` zeroes what lies past the end. */
  load(k: string, from: number, to: number, tag = "s", guard?: (k: string) => string): string {
    const { operand } = this;
    const together = operand.along === "k" && operand.width === 4;
    const lines: string[] = [];
    for (let kk = from; kk < to; kk += together ? 4 : 1) {
      const at = kk ? `${k} + ${kk}u` : k;
      for (const q of this.#groups()) {
        const v = operand.load(`${this.prefix}${q}${tag}`, at);
        const zero = operand.width === 4 ? "vec4<f32>()" : "0.0";
        const guarded = guard ? `select(${zero}, ${v}, ${guard(at)})` : v;
        lines.push(`let ${this.prefix}${q}v${together ? "" : kk} = ${guarded};`);
      }
    }
    return lines.join("\n");
  }

  /**
   * The block's 16 elements at places k … k + 3 as they lie in memory, four vectors: one for each row where memory goes
   * along K, else one for each place. With each, whether there is something (left out where there always is).
   */
  raws(k: string, tag = "s"): readonly { readonly value: string; readonly inside?: string }[] {
    const { operand, prefix } = this;
    return [0, 1, 2, 3].map((j) => {
      const [id, at] = operand.along === "k"
        ? [`${prefix}${j}${tag}`, k]
        : [`${prefix}0${tag}`, j ? `${k} + ${j}u` : k];
      return { value: operand.raw(id, at), inside: operand.inside?.(id, at) };
    });
  }

  /** The element of row `i` at place `kk`: a f32 expression. */
  #element(i: number, kk: number): string {
    const { along, width } = this.operand;
    if (along === "k") {
      return width === 4 ? `${this.prefix}${i}v.${LANE[kk]}` : `${this.prefix}${i}v${kk}`;
    }
    return width === 4
      ? `${this.prefix}${i >> 2}v${kk}.${LANE[i & 3]}`
      : `${this.prefix}${i}v${kk}`;
  }

  /** The elements of rows 4j … 4j + 3 at place `kk`: a vec4<f32> expression. */
  vector(j: number, kk: number): string {
    const { along, width } = this.operand;
    if (along === "row" && width === 4) return `${this.prefix}${j}v${kk}`;
    return `vec4<f32>(${[0, 1, 2, 3].map((q) => this.#element(4 * j + q, kk)).join(", ")})`;
  }
}
