/** WebGPU's usage bits by name. They are globals only where there is WebGPU, and the CPU device needs none. */

/** What a buffer is for. */
export const BufferUsage = {
  MAP_READ: 0x1,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  QUERY_RESOLVE: 0x200,
} as const;

/** What buffers that hold tensors are for: kernels and copies. */
export const TENSOR_USAGE = BufferUsage.STORAGE | BufferUsage.UNIFORM | BufferUsage.COPY_SRC |
  BufferUsage.COPY_DST;

/** Which shaders see a binding. */
export const COMPUTE_STAGE = 0x4;
