/** What `moongate attention` asks for. */
import type { SampledRequest } from "../shared/sampled_request.ts";

/** `moongate attention` */
export interface AttentionRequest extends SampledRequest {
  /** At least one. */
  prompts: string[];
}
