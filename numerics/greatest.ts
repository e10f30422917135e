/**
 * The greatest of numbers, however many: what is spread into the arguments of a call lies on the stack, which files with
 * hundreds of thousands of tensors overflow.
 */

/** The greatest of some numbers, and of `least`, which is the answer where there are none. */
export function greatest(numbers: Iterable<number>, least = 0): number {
  let most = least;
  for (const number of numbers) if (number > most) most = number;
  return most;
}
