/**
 * `@std/assert` for places where JSR cannot be reached.
 *
 * The code is the standard library's own, from its republication on npm (which carries no types); `types.d.ts`
 * beside this file gives it the types of the original. The root `deno.json` declares the `jsr:` package and
 * `links` to this folder, so that taking the link away gives the original and nothing else changes.
 *
 * @module
 */
// @ts-types="./types.d.ts"
export * from "npm:deno-std@1.4.0/assert/mod.js";
