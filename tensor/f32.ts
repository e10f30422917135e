/** Numbers of the host in the text of a kernel. */

/**
 * An f32 as WGSL source, to the last bit. WGSL has no constant that is infinite or NaN, and compilers differ on −0: those go by
 * their bits (`from_bits`, see `compile/kernels.ts`).
 */
export function f32(value: number): string {
  const f = Math.fround(value);
  if (!Number.isFinite(f) || Object.is(f, -0)) {
    return `from_bits(${new Uint32Array(Float32Array.of(f).buffer)[0]}u)`;
  }
  const s = String(f);
  return /[.e]/.test(s) ? s : `${s}.0`;
}
