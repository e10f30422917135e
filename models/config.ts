/**
 * Reading a model's `config.json`. A field that asks for something this library does not compute must stop the
 * program with the field's name: a model run with a wrong option gives pictures that are merely bad.
 */
import { FileError } from "../files/errors.ts";

/** Layers of a kind that a model may have in a row. */
const MOST_LAYERS = 100;

/** A parsed `config.json`. */
export type ConfigObject = { readonly [field: string]: unknown };

/** Typed access to the fields of a config, remembering which were looked at. */
export class ConfigReader {
  readonly #seen = new Set<string>();
  readonly #fields: ConfigObject;

  /**
   * @param config the parsed file
   * @param file its path, for messages
   * @throws FileError when it is not an object
   */
  constructor(config: unknown, readonly file: string) {
    if (typeof config !== "object" || config === null || Array.isArray(config)) {
      throw new FileError(file, "is not a model's config: its outermost value is not an object");
    }
    this.#fields = config as ConfigObject;
  }

  /** The raw value; null counts as absent, as it does in diffusers. */
  raw(field: string): unknown {
    this.#seen.add(field);
    return this.#fields[field] ?? undefined;
  }

  /** A whole number of at least `least`. */
  count(field: string, fallback?: number, least = 1): number {
    const value = this.raw(field) ?? fallback;
    if (!isCount(value, least)) this.refuse(field, `a whole number of at least ${least}`);
    return value as number;
  }

  /** A number of layers: what has to be gone through one by one, and so must not be beyond reason. */
  layers(field: string, fallback?: number): number {
    const value = this.count(field, fallback);
    if (value > MOST_LAYERS) this.refuse(field, `at most ${MOST_LAYERS}`);
    return value;
  }

  /** A whole number for each of `n` levels, from one number or a list. */
  countPerLevel(field: string, n: number, fallback?: number): number[] {
    const value = this.raw(field) ?? fallback;
    if (isCount(value, 1)) return new Array<number>(n).fill(value as number);
    if (Array.isArray(value) && value.length === n && value.every((v) => isCount(v, 1))) {
      return value as number[];
    }
    return this.refuse(field, `a whole number, or a list of ${n} of them`);
  }

  /** A list of whole numbers. */
  counts(field: string, fallback?: readonly number[]): number[] {
    const value = this.raw(field) ?? fallback;
    if (Array.isArray(value) && value.length && value.every((v) => isCount(v, 1))) {
      return value as number[];
    }
    return this.refuse(field, "a list of whole numbers");
  }

  /** A finite positive number. */
  number(field: string, fallback?: number): number {
    const value = this.raw(field) ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
      this.refuse(field, "a positive number");
    }
    return value as number;
  }

  /** True or false. */
  flag(field: string, fallback: boolean): boolean {
    const value = this.raw(field) ?? fallback;
    if (typeof value !== "boolean") this.refuse(field, "true or false");
    return value as boolean;
  }

  /** One of some words. */
  oneOf<T extends string>(field: string, words: readonly T[], fallback?: T): T {
    const value = this.raw(field) ?? fallback;
    return words.find((w) => w === value) ?? this.refuse(field, words.join(" or "));
  }

  /** A list of words, each one of `words`. */
  listOf<T extends string>(field: string, words: readonly T[], fallback?: readonly T[]): T[] {
    const value = this.raw(field) ?? fallback;
    const known = Array.isArray(value) && value.length > 0 &&
      value.every((v) => words.includes(v as T));
    return known ? value as T[] : this.refuse(field, `a list of ${words.join(" or ")}`);
  }

  /** Refuses every value of a field but these (absent is always accepted). */
  only(field: string, ...values: unknown[]): void {
    const value = this.raw(field);
    const fits = (v: unknown): boolean =>
      Array.isArray(v) ? v.every(fits) : values.some((w) => w === v);
    if (value !== undefined && !fits(value)) {
      this.refuse(field, values.length ? values.map(show).join(" or ") : "absent or null");
    }
  }

  /** Marks fields that change nothing that is computed here. */
  ignore(...fields: string[]): void {
    for (const f of fields) this.#seen.add(f);
  }

  /** Refuses every field that nobody has asked for, unless it is off (null, false) or a note of the writer (`_…`). */
  refuseUnknown(): void {
    for (const [field, value] of Object.entries(this.#fields)) {
      const off = value === null || value === false;
      if (!field.startsWith("_") && !off && !this.#seen.has(field)) {
        throw new FileError(
          this.file,
          `sets ${field} to ${show(value)}, a field that is not known here`,
          "The model may be of a newer kind than this library computes",
        );
      }
    }
  }

  /** Throws for a field whose value is of no use. */
  refuse(field: string, supported: string): never {
    const value = this.#fields[field];
    throw new FileError(this.file, `its ${field} is ${show(value)}`, `Supported is ${supported}`);
  }

  /** Throws unless a condition between fields holds. */
  demand(condition: boolean, fault: string): void {
    if (!condition) throw new FileError(this.file, fault);
  }
}

const isCount = (value: unknown, least: number): boolean =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= least && value < 2 ** 31;

const show = (value: unknown): string => value === undefined ? "missing" : JSON.stringify(value);
