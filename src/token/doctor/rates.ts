/** How often per second the token does what the vault does most, one call after the other in one process. */
import { randomBytes } from "node:crypto";
import { addPoints, GENERATOR } from "../../crypto/node/p256.ts";
import { chooseKeyWrap, wrapMechanism } from "../key-wrap.ts";
import { UNWRAPPED_SHARE } from "./share-template.ts";
import { hostKey } from "./software.ts";
import type { Workbench } from "./workbench.ts";

export interface Rate {
  /** Stable, for machines. */
  readonly id: string;
  readonly title: string;
  readonly perSecond: number;
}

const SECONDS = 0.5;

function perSecond(run: () => void): number {
  // One round to warm up: the first call of a kind loads and allocates.
  run();
  const start = performance.now();
  let count = 0;
  let elapsed = 0;
  while (elapsed < SECONDS) {
    run();
    count++;
    elapsed = (performance.now() - start) / 1000;
  }
  return Math.round(count / elapsed);
}

/** Takes about half a second per line. @throws token errors */
export function measureRates(bench: Workbench): readonly Rate[] {
  const { session } = bench;
  const { traits } = session;
  const wrap = wrapMechanism(chooseKeyWrap(session));
  const kek = bench.secret("AES", { WRAP: true, UNWRAP: true });
  const mac = bench.secret("generic secret", { SIGN: true });
  const derives = bench.ecPair();
  const signs = bench.ecPair({ SIGN: true }, { VERIFY: true });
  const first = hostKey().point;
  const second = addPoints(first, GENERATOR);
  const blob = session.wrap(wrap, kek, bench.ecPair({ DERIVE: true, EXTRACTABLE: true }).privateKey);
  const data = Uint8Array.from(randomBytes(64));
  const digest = data.subarray(0, 32);

  const evaluate = (): void => {
    const share = session.unwrap(wrap, kek, blob, UNWRAPPED_SHARE);
    try {
      if (traits.sealAfterUnwrap) session.setAttributes(share, { SENSITIVE: true, EXTRACTABLE: false });
      session.secrecy(share);
      bench.derive(share, first);
      bench.derive(share, second);
    } finally {
      session.discard(share);
    }
  };
  const create = (): void => {
    const pair = bench.ecPair({ DERIVE: true, EXTRACTABLE: true });
    try {
      bench.derive(pair.privateKey, first);
      bench.derive(pair.privateKey, second);
      session.wrap(wrap, kek, pair.privateKey);
    } finally {
      bench.release(pair.privateKey, pair.publicKey);
    }
  };
  return [
    {
      id: "ecdh",
      title: "ECDH: derive, read, destroy",
      perSecond: perSecond(() => bench.derive(derives.privateKey, first)),
    },
    {
      id: "evaluateShare",
      title: "evaluate a share: unwrap, 2 ECDH, destroy",
      perSecond: perSecond(evaluate),
    },
    {
      id: "createShare",
      title: "create a share: generate, 2 ECDH, wrap, destroy",
      perSecond: perSecond(create),
    },
    {
      id: "hmac",
      title: "HMAC-SHA-256 of 64 bytes",
      perSecond: perSecond(() => session.sign(traits.mechanisms.hmac, mac, data)),
    },
    {
      id: "ecdsa",
      title: "ECDSA signature",
      perSecond: perSecond(() => session.sign(traits.mechanisms.ecdsa, signs.privateKey, digest)),
    },
  ];
}
