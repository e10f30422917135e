/** How the functions of the library are called, as their sources say it: names of arguments, and those of options. */

/** An argument: its name and, where it has options, their names. */
export interface Argument {
  readonly name: string;
  readonly options?: ReadonlySet<string>;
}

// The parts of what `deno doc --json` writes that are read here.
interface Type {
  readonly kind?: string;
  readonly value?: unknown;
}
interface Parameter {
  readonly kind: string;
  readonly name?: string;
  readonly left?: Parameter;
  readonly arg?: Parameter;
  readonly tsType?: Type;
}
interface Definition {
  readonly params?: readonly Parameter[];
  readonly properties?: readonly { readonly name: string }[];
  readonly extends?: readonly Type[];
  readonly elements?: readonly Symbol[];
  readonly tsType?: Type;
}
interface Symbol {
  readonly name: string;
  readonly declarations: readonly { readonly kind: string; readonly def: Definition }[];
}

/** The fields of a type that is one of an object; undefined for another. */
function fieldsOf(
  type: Type | undefined,
  known: ReadonlyMap<string, Definition>,
): Set<string> | undefined {
  if (type?.kind === "typeLiteral") {
    return new Set((type.value as Definition).properties?.map(({ name }) => name));
  }
  if (type?.kind === "intersection") {
    const parts = (type.value as Type[]).map((t) => fieldsOf(t, known));
    return new Set(parts.flatMap((part) => [...part ?? []]));
  }
  if (type?.kind !== "typeRef") return undefined;
  const { typeName, typeParams = [] } = type.value as { typeName: string; typeParams?: Type[] };
  if (typeName === "Omit") {
    const left = fieldsOf(typeParams[0], known);
    left?.delete((typeParams[1].value as { string: string }).string);
    return left;
  }
  const found = known.get(typeName);
  if (!found?.properties && !found?.extends) return undefined;
  const above = found.extends?.flatMap((t) => [...fieldsOf(t, known) ?? []]) ?? [];
  return new Set([...above, ...found.properties?.map(({ name }) => name) ?? []]);
}

/** The arguments of every function of a door, by its name. */
export async function signaturesOf(door: string, prefix = ""): Promise<Map<string, Argument[]>> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["doc", "--json", door] })
    .output();
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout));
  const signatures = new Map<string, Argument[]>();
  const read = (
    symbols: readonly Symbol[],
    prefix: string,
    above: ReadonlyMap<string, Definition>,
  ) => {
    const interfaces = symbols.flatMap(({ name, declarations }) =>
      declarations.filter(({ kind }) => kind === "interface" || kind === "typeAlias")
        .map(({ def }) => [name, def] as const)
    );
    const known = new Map([...above, ...interfaces]);
    for (const { name, declarations } of symbols) {
      for (const { kind, def } of declarations) {
        if (kind === "namespace") read(def.elements!, `${prefix}${name}.`, known);
        const params = kind === "function" ? def.params : functionType(def, known)?.params;
        if (!params) continue;
        // Of several declarations the last is that of everything.
        signatures.set(prefix + name, params.map((p) => argumentOf(p, known)));
      }
    }
  };
  read(Object.values(nodes as Record<string, { symbols: Symbol[] }>)[0].symbols, prefix, new Map());
  return signatures;
}

/** The function that a constant is: by its type, or the name of that. */
function functionType(
  { tsType }: Definition,
  known: ReadonlyMap<string, Definition>,
): Definition | undefined {
  if (tsType?.kind === "fnOrConstructor") return tsType.value as Definition;
  const named = tsType?.kind === "typeRef" &&
    known.get((tsType.value as { typeName: string }).typeName);
  return named ? functionType(named, known) : undefined;
}

function argumentOf(p: Parameter, known: ReadonlyMap<string, Definition>): Argument {
  const inner = p.left ?? p.arg ?? p;
  const name = (p.kind === "rest" ? "..." : "") + (inner.name ?? "options").replace(/^_/, "");
  const options = fieldsOf(inner.tsType ?? p.tsType, known);
  return options ? { name, options } : { name };
}

/** The parts of a list between commas that are in no brackets. */
function parts(text: string): string[] {
  const found = [""];
  let depth = 0;
  for (const c of text) {
    if ("([{".includes(c)) depth++;
    if (")]}".includes(c)) depth--;
    if (c === "," && depth === 0) found.push("");
    else found[found.length - 1] += c;
  }
  return found.map((part) => part.trim()).filter((part) => part !== "");
}

const nameOf = (part: string): string => part.replace(/\s*=.*$/s, "").replace(/\?$/, "");

/** What is wrong with a call as a heading writes it, `topK(x, k, axis = -1, { smallest = false })`; undefined if nothing is. */
export function misstated(written: string, args: readonly Argument[]): string | undefined {
  const given = parts(written.slice(written.indexOf("(") + 1, -1));
  if (given.join() === "…") return undefined;
  if (given.length !== args.length) return `${written}: it takes ${args.map((a) => a.name).join()}`;
  for (const [i, part] of given.entries()) {
    const { name, options } = args[i];
    if (!part.startsWith("{")) {
      if (nameOf(part) !== name) return `${written}: argument ${i + 1} is called ${name}`;
      continue;
    }
    if (!options) return `${written}: argument ${i + 1}, ${name}, has no options`;
    const names = parts(part.slice(1, -1)).map(nameOf);
    const unknown = names.find((n) => n !== "…" && !options.has(n));
    if (unknown) return `${written}: there is no option ${unknown}`;
    const left = [...options].filter((n) => !names.includes(n));
    if (left.length > 0 && !names.includes("…")) {
      return `${written}: it has the options ${left}, too`;
    }
  }
}
