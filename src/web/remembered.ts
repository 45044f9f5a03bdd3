/** What this browser keeps between visits: the pins, and what it saw. Without a memory, going back in time is not noticed. */
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { isStrongroomError } from "../base/errors.ts";
import { decodePins, encodePins, type Pins } from "../trust/pins.ts";
import { decodeTrustState, encodeTrustState, type TrustState } from "../trust/state.ts";

const PINS = "strongroom/pins";
const STATE = "strongroom/state/";

/** Undefined where nothing is stored, where it is damaged, and where the browser keeps nothing. */
function load<T>(key: string, decode: (bytes: Uint8Array) => T): T | undefined {
  try {
    const text = localStorage.getItem(key);
    return text === null ? undefined : decode(utf8(text));
  } catch (error) {
    if (isStrongroomError(error) || error instanceof DOMException) return undefined;
    throw error;
  }
}

/** Whether it is kept. */
function save(key: string, text: string | undefined): boolean {
  try {
    if (text === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
    return true;
  } catch (error) {
    // Full, or forbidden by the visitor: then it is for this visit.
    if (error instanceof DOMException) return false;
    throw error;
  }
}

export function loadPins(): Pins | undefined {
  return load(PINS, decodePins);
}
export function savePins(pins: Pins | undefined): boolean {
  return save(PINS, pins && fromUtf8(encodePins(pins)));
}

/** What was seen under these keys: with others everything begins anew. */
const stateKey = ({ namespace, keys }: Pins): string => `${STATE}${namespace}/${JSON.stringify(keys)}`;

export function loadState(pins: Pins): TrustState | undefined {
  return load(stateKey(pins), decodeTrustState);
}
export function saveState(pins: Pins, state: TrustState | undefined): boolean {
  return save(stateKey(pins), state && fromUtf8(encodeTrustState(state)));
}
