/** What `moongate inspect` asks for: a path, or a named architecture. */
/** `moongate inspect` of a path */
export interface InspectRequest {
  /** A file or folder. */
  path: string;
  /** The folder of the model that a delta was trained on. */
  model?: string;
}

/** `moongate inspect` of an architecture */
export interface ArchitectureRequest {
  /** Its name: "sd15". */
  architecture: string;
  /** Which part of it: "unet". */
  component: string;
}
