/** What is to be trained and measured for the experiments that were asked for, before anything is done. */
import type { ModelDefaults } from "../concepts/training/model_settings.ts";
import { COMPRESSIONS, MAPS, METHODS_SHOWN, TABLES } from "./experiments.ts";
import { endOf, type Recipe, recipeOf, type Training, trainingsOf } from "./recipes.ts";
import type { Settings } from "./settings.ts";
import { OURS, PAIRED, PRETRAINED, SINGLE, type Variant, variantsNamed } from "./variants.ts";

/** Whose pictures: a subject from a model. */
export interface Source {
  readonly subject: readonly string[];
  /** The variant's id; in Figure 13 the compression's. */
  readonly variant: string;
  readonly title: string;
  readonly seed: number;
  /** Undefined: the untouched model. */
  readonly recipe?: Recipe;
}

/** A row to be measured: pictures and their scores. */
export interface Wanted extends Source {
  /** The table or figure that wants it; or "untouched", for what others are held against. */
  readonly experiment: string;
  readonly guidance: number;
  /** Share of the training steps that are done. */
  readonly share: number;
  readonly prompts: number;
  /** Pictures a prompt. */
  readonly samples: number;
  /** Pictures of the class, for KID; 0 for none. */
  readonly ofClass: number;
}

/** Attention maps to be made (Figure 16). */
export interface WantedMaps extends Source {
  readonly count: number;
}

/** Everything that is to be done, in its order. */
export interface Plan {
  /** Their names. */
  readonly experiments: readonly string[];
  readonly rows: readonly Wanted[];
  readonly maps: readonly WantedMaps[];
  /** Training runs, each once. */
  readonly trainings: readonly Training[];
}

/** Plans the experiments of these names: all of a seed before the next. */
export function planOf(
  settings: Settings,
  defaults: ModelDefaults,
  only: readonly string[],
): Plan {
  const from = (of: readonly Variant[], id: string, subject: readonly string[], seed: number) => {
    const [v] = variantsNamed(of, [id]);
    const recipe = recipeOf(v, subject, seed, settings, defaults);
    return { subject, variant: id, title: v.title, seed, recipe };
  };
  const { guidance } = defaults.sampling;
  const rows: Wanted[] = [], maps: WantedMaps[] = [], bare: Recipe[] = [];
  const { prompts, samples, ofClass, pairPrompts, pairSamples } = settings;
  const ofSingle = { guidance, share: 1, prompts, samples, ofClass };
  const ofPair = { ...ofSingle, prompts: pairPrompts, samples: pairSamples, ofClass: 0 };
  for (const seed of settings.seeds) {
    for (const { id: experiment, of, variants } of TABLES.filter((t) => only.includes(t.id))) {
      const single = of === "single", how = single ? ofSingle : ofPair;
      for (const subject of single ? settings.concepts.map((name) => [name]) : settings.pairs) {
        const one = (v: string) => from(single ? SINGLE : PAIRED, v, subject, seed);
        rows.push({ ...one(PRETRAINED), ...how, experiment: "untouched" });
        for (const v of variants) rows.push({ ...one(v), ...how, experiment });
      }
    }
    for (const name of settings.concepts) {
      const one = (id: string) => from(SINGLE, id, [name], seed);
      const figures = figureRows(name, one, settings, guidance, only);
      if (figures.length) rows.push({ ...one(PRETRAINED), ...ofSingle, experiment: "untouched" });
      rows.push(...figures);
      for (const [figure, id] of [["figure3", "custom-all"], ["figure12", OURS]]) {
        if (only.includes(figure)) bare.push(one(id).recipe!);
      }
    }
  }
  if (only.includes("figure16")) {
    const { pairs: [pair], seeds: [seed] } = settings;
    for (const v of [PRETRAINED, "joint"]) {
      maps.push({ ...from(PAIRED, v, pair, seed), count: MAPS });
    }
  }
  const needed = [...rows, ...maps].map((row) => row.recipe);
  const runs = [...needed, ...bare].flatMap(trainingsOf);
  return {
    experiments: only,
    rows,
    maps,
    trainings: [...new Map(runs.map((t) => [JSON.stringify(t), t])).values()],
  };
}

/** Rows of Figures 8, 13 and 17 for a concept. */
function figureRows(
  name: string,
  one: (id: string) => Source,
  { concepts, detailed, prompts, figureSamples, guidances, shares }: Settings,
  guidance: number,
  only: readonly string[],
): Wanted[] {
  const how = { guidance, share: 1, prompts, samples: figureSamples, ofClass: 0 };
  const rows: Wanted[] = [];
  const ours = one(OURS), whole = ours.recipe as Training;
  if (only.includes("figure13")) {
    const shared = { ...ours, ...how, experiment: "figure13" };
    rows.push({ ...shared, title: "Whole" });
    for (const { id: variant, title, target } of COMPRESSIONS) {
      rows.push({ ...shared, variant, title, recipe: { kind: "compressed", of: whole, target } });
    }
  }
  if (concepts.indexOf(name) >= detailed) return rows;
  for (const from of METHODS_SHOWN.map(one)) {
    for (const g of only.includes("figure8") ? [guidance, ...guidances] : []) {
      rows.push({ ...from, ...how, experiment: "figure8", guidance: g });
    }
    // The whole run first: it leaves the others on its way.
    for (const share of only.includes("figure17") ? [1, ...shares] : []) {
      const recipe = partOf(from.recipe as Training, share);
      rows.push({ ...from, ...how, experiment: "figure17", recipe, share });
    }
  }
  return rows;
}

/** The same run, stopped after a share of its steps; of few steps that may be all of them. */
function partOf(whole: Training, share: number): Training {
  const until = Math.max(1, Math.round(whole.steps * share));
  return until < whole.steps ? { ...whole, until } : whole;
}

/** Runs that a run passes on its way: parts of it. */
export function passedBy(run: Training, trainings: readonly Training[]): Training[] {
  const same = ({ until: _, ...rest }: Training) => JSON.stringify(rest);
  return trainings.filter((t) => endOf(t) < endOf(run) && same(t) === same(run));
}
