/** Errors of the device layer: each says what was asked of the GPU, what it answered, and what to do. */

/** No adapter, or one that lacks what is needed. */
export class AdapterError extends Error {
  /** Always "AdapterError". */
  override name = "AdapterError";
}

/** The GPU refused or failed an operation. */
export class DeviceError extends Error {
  /** "DeviceError", or the subclass's name. */
  override name = "DeviceError";
}

/** An allocation that the device could not make. */
export class OutOfMemoryError extends DeviceError {
  /** Always "OutOfMemoryError". */
  override name = "OutOfMemoryError";
}
