/** Is this the device of the profile, and does it let the vault in? */
import { equal } from "../../base/bytes.ts";
import { mechanismText } from "../cryptoki.ts";
import { type Check, fail, pass } from "./check.ts";

export const TOKEN_CHECKS: readonly Check[] = [
  {
    id: "token.profile",
    title: "the profile says that the vault can run on it",
    level: "required",
    run({ profile }) {
      const { value, reason, note, verified } = profile.usable;
      if (value === false) return fail(reason ?? "it says no");
      const basis = verified ? "proved on the device" : "from documents, not proved on a device";
      return pass(value === "unknown" ? `not known; what follows decides${note ? ` (${note})` : ""}` : basis);
    },
  },
  {
    id: "token.login",
    title: "login as the user",
    level: "required",
    run(bench) {
      // C_Login has succeeded, or nothing would run; a private object proves that it also had its effect.
      bench.secret("generic secret", { SIGN: true });
      const { label, serial, model } = bench.session.info();
      return pass(`${label} (${model}, serial ${serial})`);
    },
  },
  {
    id: "token.mechanisms",
    title: "the mechanism list names what the profile uses",
    level: "recommended",
    run({ session }) {
      const listed = session.mechanisms();
      const { traits } = session;
      // Ed25519 has checks of its own: no vault needs it.
      const { edwardsKeygen: _, eddsa: __, ...ofVault } = traits.mechanisms;
      const used = [...Object.values(ofVault), ...traits.keyWrap.map(({ mechanism }) => mechanism)];
      const absent = used.filter((mechanism) => !listed.includes(mechanism));
      return absent.length === 0
        ? pass(`${listed.length} listed`)
        : fail(`not listed: ${absent.map(mechanismText).join(", ")}`);
    },
  },
  {
    id: "token.random",
    title: "random bytes",
    level: "required",
    run({ session }) {
      const [a, b] = [session.random(32), session.random(32)];
      if (a.length !== 32 || b.length !== 32) return fail(`${a.length} bytes instead of 32`);
      return equal(a, b) || a.every((byte) => byte === 0)
        ? fail("the same bytes twice")
        : pass("2 × 32 bytes");
    },
  },
];
