/** What `moongate generate` asks for. */
import type { SampledRequest } from "../shared/sampled_request.ts";

/** `moongate generate` */
export interface GenerateRequest extends SampledRequest {
  /** At least one. */
  prompts: string[];
  /** A picture to start from instead of noise. */
  image?: string;
  /** How far to go from it. */
  imageStrength?: number;
  /** Take prompts without a taught word, too. */
  plain: boolean;
}
