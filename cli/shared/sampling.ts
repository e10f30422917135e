/** What `generate` samples with: the flags, then the model folder's `moongate.json`, then its scheduler's class. */
import {
  chosenSampler,
  type SamplerChoice,
  trajectory,
} from "../../diffusion/samplers/samplers.ts";
import { UsageError } from "../../terminal/errors.ts";
import type { ModelFacts } from "./model.ts";
import type { SampledRequest } from "./sampled_request.ts";

/** How far a walk goes from a picture. */
const STRENGTH = 0.8;

/** Everything that is decided before a GPU is asked for. */
export interface SamplingPlan {
  /** Options of the walk. */
  readonly options: SamplerChoice & {
    readonly steps: number;
    readonly guidance: number;
    readonly strength?: number;
  };
  /** How often the model is asked for a picture. */
  readonly evaluations: number;
  /** The same for people. */
  readonly notes: Record<string, string>;
}

/** What is sampled; some verbs start from a picture. */
type Walked = SampledRequest & { image?: string; imageStrength?: number };

/** @throws UsageError for what makes no sense, or not together */
export function samplingPlan(facts: ModelFacts, request: Walked): SamplingPlan {
  const own = facts.defaults.sampling;
  const { steps = own.steps, guidance = own.guidance } = request;
  const strength = request.image === undefined ? undefined : request.imageStrength ?? STRENGTH;
  const options = { ...choice(own, request), steps, guidance, strength };
  try {
    const { sampler, eta } = chosenSampler(facts.schedule, options);
    return {
      options,
      evaluations: trajectory(facts.schedule, options).steps.length,
      notes: {
        sampler,
        ...(sampler === "ddim" && { eta: String(eta) }),
        steps: String(steps),
        guidance: String(guidance),
        ...(request.image !== undefined && {
          image: request.image.split(/[/\\]/).at(-1)!,
          strength: String(strength),
        }),
      },
    };
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

/** Asking for a sampler or an eta puts the model's own choice aside; its eta still holds for a DDIM without one. */
function choice(own: SamplerChoice, { sampler, eta }: Walked): SamplerChoice {
  if (sampler === undefined && eta === undefined) return { sampler: own.sampler, eta: own.eta };
  return { sampler, eta: eta ?? (sampler === "ddim" ? own.eta : undefined) };
}
