// The public signatures of @std/assert 1.x (MIT, the Deno authors), for the untyped npm republication.
// Why by hand: the republication ships JavaScript only, and an untyped `assert` would not narrow.

// deno-lint-ignore-file no-explicit-any

/** What every failed assertion throws. */
export declare class AssertionError extends Error {
  constructor(message: string, options?: ErrorOptions);
}

/** A constructor, abstract or not. */
export type AnyConstructor = new (...args: any[]) => any;
/** The type that a constructor makes. */
export type GetConstructorType<T extends AnyConstructor> = InstanceType<T>;
/** Array-likes with numeric keys. */
export type ArrayLikeArg<T> = ArrayLike<T> & object;
/** Values that are not truthy. */
export type Falsy = false | 0 | 0n | "" | null | undefined;

type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Passes when `expr` is truthy, and narrows it. */
export declare function assert(expr: unknown, msg?: string): asserts expr;
/** Passes when `expr` is falsy, and narrows it. */
export declare function assertFalse(expr: unknown, msg?: string): asserts expr is Falsy;
/** Deep equality of values. */
export declare function assertEquals<T>(actual: T, expected: T, msg?: string): void;
/** Deep inequality of values. */
export declare function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;
/** Same value or same reference, and narrows. */
export declare function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T;
/** Not the same value and not the same reference. */
export declare function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void;
/** |actual − expected| within `tolerance` (1e-7 of `expected` when it is left out). */
export declare function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void;
/** Every element of `expected` is somewhere in `actual`. */
export declare function assertArrayIncludes<T>(
  actual: ArrayLikeArg<T>,
  expected: ArrayLikeArg<T>,
  msg?: string,
): void;
/** Neither null nor undefined, and narrows. */
export declare function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T>;
/** `actual >= expected`. */
export declare function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void;
/** `actual > expected`. */
export declare function assertGreater<T>(actual: T, expected: T, msg?: string): void;
/** `actual <= expected`. */
export declare function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void;
/** `actual < expected`. */
export declare function assertLess<T>(actual: T, expected: T, msg?: string): void;
/** `actual instanceof expectedType`, and narrows. */
export declare function assertInstanceOf<T extends abstract new (...args: any[]) => any>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is InstanceType<T>;
/** Not an instance of `unexpectedType`. */
export declare function assertNotInstanceOf<A, T>(
  actual: A,
  unexpectedType: abstract new (...args: any[]) => T,
  msg?: string,
): asserts actual is Exclude<A, T>;
/** An error of the given class, with the given text in its message. */
export declare function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: ErrorClass<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E;
/** The string matches the pattern. */
export declare function assertMatch(actual: string, expected: RegExp, msg?: string): void;
/** The string does not match the pattern. */
export declare function assertNotMatch(actual: string, expected: RegExp, msg?: string): void;
/** `expected` is a subset of `actual`. */
export declare function assertObjectMatch(
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void;
/** `actual` contains `expected`. */
export declare function assertStringIncludes(actual: string, expected: string, msg?: string): void;
/** The function throws; gives what it threw. */
export declare function assertThrows(fn: () => unknown, msg?: string): unknown;
/** The function throws an error of the given class, with the given text in its message. */
export declare function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E;
/** The promise is rejected; gives the reason. */
export declare function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/** The promise is rejected with an error of the given class, with the given text in its message. */
export declare function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
/** Deep equality as a boolean. */
export declare function equal(a: unknown, b: unknown): boolean;
/** Fails always. */
export declare function fail(msg?: string): never;
/** Marks code that is not written yet. */
export declare function unimplemented(msg?: string): never;
/** Marks code that cannot be reached. */
export declare function unreachable(msg?: string): never;
