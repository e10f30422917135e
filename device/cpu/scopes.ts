/** Error scopes, uncaptured errors, and the loss of the device, as WebGPU has them. */

/** Kinds of error that a scope asks for. */
export type Filter = "validation" | "out-of-memory" | "internal";

/** An error of the device. */
export interface CpuError {
  readonly kind: Filter;
  readonly message: string;
}

/** Where errors of one device go. */
export class Scopes {
  readonly #open: { readonly filter: Filter; error: CpuError | null }[] = [];
  readonly #events = new EventTarget();
  #lose!: (info: { reason: "unknown" | "destroyed"; message: string }) => void;
  /** Resolves when the device is lost, or destroyed. */
  readonly lost: Promise<{ reason: "unknown" | "destroyed"; message: string }> = new Promise(
    (resolve) => this.#lose = resolve,
  );

  push(filter: Filter): void {
    this.#open.push({ filter, error: null });
  }

  pop(): Promise<CpuError | null> {
    const scope = this.#open.pop();
    return scope
      ? Promise.resolve(scope.error)
      : Promise.reject(new DOMException("no error scope is open", "OperationError"));
  }

  /** Hands an error to the innermost scope that asks for its kind. */
  report(kind: Filter, message: string): void {
    const scope = this.#open.findLast((s) => s.filter === kind);
    if (scope) {
      scope.error ??= { kind, message };
      return;
    }
    const event = Object.assign(new Event("uncapturederror"), { error: { kind, message } });
    queueMicrotask(() => this.#events.dispatchEvent(event));
  }

  listen(type: string, f: (e: Event) => void): void {
    this.#events.addEventListener(type, f);
  }

  lose(reason: "unknown" | "destroyed", message: string): void {
    this.#lose({ reason, message });
  }
}
