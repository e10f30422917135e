/** Which device tests run on: whoever runs them may leave one of the two. */
import type { Backend } from "../../device/adapter.ts";

/** The one device that is left to the tests; undefined where the engine's tests run on both. */
export const onlyBackend = (Deno.env.get("MOONGATE_DEVICE") || undefined) as Backend | undefined;
