/** Running a verb as its users may: in a process of its own with the permissions that it says it needs, and no others. */
import { needs } from "../../cli/main.ts";
import { VARIABLES } from "../../device/environment.ts";

const NEEDS = needs();
/** Verbs that compute. */
export const COMPUTING = new Set(
  "train generate edit attention merge evaluate verify demo doctor".split(" "),
);
const CLI = new URL("../../cli.ts", import.meta.url).pathname;

/** Which paths the places of a verb's needs stand for in one run; those that are not given are left out. */
export type Places = Readonly<Record<string, string | readonly string[]>>;

let cache: Promise<string> | undefined;
/** Where Deno keeps packages. */
export const packages = (): Promise<string> =>
  cache ??= new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output().then((o) =>
    JSON.parse(new TextDecoder().decode(o.stdout)).npmCache
  );

/** The permission flags of a verb, without one place where that is asked for. */
export function flagsOf(verb: string, places: Places, without = ""): string[] {
  const flag = (name: "read" | "write") => {
    const paths = NEEDS[verb][name].filter((p) => `${name} ${p}` !== without)
      .flatMap((place) => places[place] ?? []);
    return paths.length ? [`--allow-${name}=${paths.join(",")}`] : [];
  };
  return [...flag("read"), ...flag("write"), "--deny-net", "--no-prompt"];
}

/** What a run printed and how it ended. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The device of this run, for a verb that takes one: it may not read the variable that the tests go by. */
function deviceFlag([verb]: readonly string[]): string[] {
  const device = Deno.env.get(VARIABLES.device);
  return device && COMPUTING.has(verb) ? ["--device", device] : [];
}

/** Runs `moongate <args>` with just these flags, on the device that the tests run on. */
export async function runWith(
  flags: readonly string[],
  args: readonly string[],
  cwd?: string,
): Promise<Ran> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", ...flags, CLI, ...args, ...deviceFlag(args)],
    cwd,
    env: plainEnvironment(),
    clearEnv: true,
    stdin: "null",
  });
  const { code, stdout, stderr } = await child.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trimEnd());
  return { code, out, err };
}

/** This process's, but as most users have it: with nothing said about colours, which would answer a question for commander. */
function plainEnvironment(): Record<string, string> {
  const env: Record<string, string> = { ...Deno.env.toObject(), XDG_RUNTIME_DIR: "/tmp" };
  for (const name of ["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"]) delete env[name];
  return env;
}
