/** A share as the vault unwraps it: a session key that derives and never leaves again. */
import { KEY_TYPE, OBJECT_CLASS, type Template } from "../attributes.ts";

export const UNWRAPPED_SHARE: Template = {
  CLASS: OBJECT_CLASS["private key"],
  KEY_TYPE: KEY_TYPE.EC,
  TOKEN: false,
  PRIVATE: true,
  SENSITIVE: true,
  EXTRACTABLE: false,
  DERIVE: true,
};
