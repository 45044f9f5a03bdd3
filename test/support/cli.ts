/** The command as it is built (`scripts/test` builds before it tests): from source, every start would compile it anew. */
import { join } from "node:path";

/** Arguments of `process.execPath` that come before those of the command. */
export const STRONGROOM: readonly string[] = [join(process.cwd(), "dist/cli/main.js")];
