/**
 * What the GPU said of something that was asked of it: nothing yet, nothing at all, or that it refused. WebGPU answers late,
 * so values computed by a refused kernel look like values until the answer comes. Each carries the healths that it hangs
 * on, and is refused by name when one of them turns out bad; everything else on the device stays good.
 */
import type { DeviceError } from "./errors.ts";

/** The state of a kernel, a program or an allocation. */
export class Health {
  #open = 0;
  /** What the GPU answered, when it refused. */
  refusal: DeviceError | undefined;

  /** One more answer is waited for. */
  wait(): void {
    this.#open++;
  }

  /** An answer has come. */
  answer(refusal?: DeviceError): void {
    this.#open--;
    this.refusal ??= refusal;
  }

  /** Whether it is known to be good: all answers have come, and none was a refusal. */
  get proven(): boolean {
    return this.#open === 0 && !this.refusal;
  }
}

/** Those of which it is not known yet that they are good; each once. */
export function unproven(healths: Iterable<Health>): Health[] {
  const found = new Set<Health>();
  for (const h of healths) if (!h.proven) found.add(h);
  return [...found];
}

/** Throws the first refusal. */
export function checkAll(healths: Iterable<Health>): void {
  for (const { refusal } of healths) if (refusal) throw refusal;
}
