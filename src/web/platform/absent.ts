/**
 * The page's build puts this in the place of Node's modules for files, processes and native code. Some of the code that
 * a dry run shares with a real ceremony names them; a dry run never gets there.
 */

function absent(): never {
  throw new TypeError("a browser has no files, no processes and no PKCS#11 modules");
}

export const basename: () => never = absent;
export const closeSync: () => never = absent;
export const constants: Readonly<Record<string, never>> = {};
export const createRequire: () => never = absent;
export const dirname: () => never = absent;
export const existsSync: () => never = absent;
export const fstatSync: () => never = absent;
export const openSync: () => never = absent;
export const readFileSync: () => never = absent;
export const readSync: () => never = absent;
