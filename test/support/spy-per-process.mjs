/**
 * Loaded into the processes of a site by --import: gives each of them a log of its own for pkcs11-spy. A token worker
 * that has grown is replaced while it still works, and in one log the handles of both could not be told apart.
 */
import process from "node:process";

const { PKCS11SPY_OUTPUT: output, STRONGROOM_TEST_SPY_BASE: base = output } = process.env;
if (base) {
  process.env.STRONGROOM_TEST_SPY_BASE = base;
  process.env.PKCS11SPY_OUTPUT = `${base}.${process.pid}.log`;
}
