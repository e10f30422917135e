/**
 * The `moongate` command: train, generate, merge, convert, inspect, tokens, evaluate, verify, demo, doctor.
 *
 *     deno run -A cli.ts --help
 *
 * @module
 */
import { main } from "./cli/main.ts";

if (import.meta.main) Deno.exit(await main(Deno.args));
