/**
 * WGSL for a block of a few rows of an operand held in registers: addresses, loads, and names of the elements. A block
 * belongs to one invocation, or is spread over the lanes of a subgroup that all need the same rows.
 */
import { size } from "../../tensor/kernel.ts";
import type { Operand } from "./problem.ts";

const LANE = "xyzw";

/** A block of rows of an operand. */
export interface Block {
  readonly count: number;
  /** Statements to run once: addresses of the rows. */
  setup(): string;
  /** Statements to run where a segment begins. */
  enter(segment: string): string;
  /** Statements that load the elements at places `from … to − 1` after `k`. */
  load(k: string, from: number, to: number): string;
  /** Statements to run before the first `count` loaded elements of row `i` are used. */
  take(i: number, count: number): string;
  /** The element of row `i` at place `kk`: a f32 expression. */
  element(i: number, kk: number): string;
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

  take(): string {
    return "";
  }

  /** The element of row `i` at place `kk`: a f32 expression. */
  element(i: number, kk: number): string {
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
    return `vec4<f32>(${[0, 1, 2, 3].map((q) => this.element(4 * j + q, kk)).join(", ")})`;
  }
}

/**
 * A block that all lanes of a subgroup need: each lane loads a share of it, and elements are broadcast when they are
 * taken. The lane's number is the WGSL variable `lane`.
 */
export class Spread implements Block {
  /** Four rows per load; then lanes lie over groups of four rows first and places of K second. */
  readonly #quads: boolean;

  constructor(
    readonly operand: Operand,
    readonly rows: number,
    readonly count: number,
    readonly base: string,
    readonly prefix: string,
    readonly lanes: number,
  ) {
    this.#quads = operand.along === "row" && operand.width === 4;
  }

  /** Loads per lane that cover the block; with four rows per load, only its first `places` places of K. */
  #loads(places: number): number[] {
    const tasks = this.#quads ? this.count / 4 * places : this.count;
    return [...Array(Math.ceil(tasks / this.lanes)).keys()];
  }

  /** What load `l` of this lane is for: a flat number of a row, or of a group of rows and a place. */
  #task = (l: number): string => l ? `(lane + ${l * this.lanes}u)` : "lane";

  setup(): string {
    const groups = this.count / 4;
    return this.#loads(4).map((l) => {
      const r = this.#quads
        ? `min(${this.base} + (${this.#task(l)} % ${groups}u) * 4u, ${this.rows - 4}u)`
        : `min(${this.base} + ${this.#task(l)}, ${this.rows - 1}u)`;
      return this.operand.row(r, `${this.prefix}${l}`);
    }).join("\n");
  }

  enter(segment: string): string {
    return this.#loads(4).map((l) => {
      const id = `${this.prefix}${l}`;
      return this.operand.enter(id, segment, `${id}s`);
    }).join("\n");
  }

  load(k: string, from: number, to: number): string {
    const { operand, prefix } = this;
    if (this.#quads) {
      return this.#loads(to).map((l) => {
        const at = `${k} + ${this.#task(l)} / ${this.count / 4}u`;
        return `let ${prefix}${l}v = ${operand.load(`${prefix}${l}s`, at)};`;
      }).join("\n");
    }
    const lines: string[] = [];
    const together = operand.width === 4;
    for (let kk = from; kk < to; kk += together ? 4 : 1) {
      for (const l of this.#loads(4)) {
        const v = operand.load(`${prefix}${l}s`, kk ? `${k} + ${kk}u` : k);
        lines.push(`let ${prefix}${l}v${together ? "" : kk} = ${v};`);
      }
    }
    return lines.join("\n");
  }

  take(i: number, count: number): string {
    const lines: string[] = [];
    for (let kk = 0; kk < count; kk++) {
      const task = this.#quads ? kk * (this.count / 4) + (i >> 2) : i;
      const load = `${this.prefix}${Math.floor(task / this.lanes)}v`;
      const part = this.#quads
        ? `${load}.${LANE[i & 3]}`
        : this.operand.width === 4
        ? `${load}.${LANE[kk]}`
        : `${load}${kk}`;
      lines.push(`let ${this.element(i, kk)} = subgroupBroadcast(${part}, ${task % this.lanes}u);`);
    }
    return lines.join(" ");
  }

  element(i: number, kk: number): string {
    return `${this.prefix}${i}e${kk}`;
  }

  vector(j: number, kk: number): string {
    return `vec4<f32>(${[0, 1, 2, 3].map((q) => this.element(4 * j + q, kk)).join(", ")})`;
  }
}
