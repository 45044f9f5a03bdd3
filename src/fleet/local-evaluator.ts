/**
 * The evaluator of a fleet of one: the only share lives in records of this site's own token.
 *
 * The tag ties a share to its account, generation, receipt key and number of attempts. It is checked in a message
 * of its own before the share is even unwrapped, so a record that somebody put together from parts of others gets
 * no evaluation at all.
 */
import { equal, framed, uintBE } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { derivationPoints, recoverProduct } from "../crypto/node/point-recovery.ts";
import { shareKeyName } from "../keys/roles.ts";
import type { HmacStep, Token } from "../token/token.ts";
import type { Evaluator, SharePolicy } from "../vault/evaluator.ts";

/** What a share's tag covers; `publicKey` is the share's, uncompressed. */
function shareTagMessage(policy: SharePolicy, publicKey: Uint8Array): Uint8Array {
  return framed(
    "strongroom/share/v1",
    policy.recordId,
    uintBE(policy.generation, 8),
    publicKey,
    policy.receiptPublicKey,
    uintBE(policy.maxAttempts, 4),
  );
}

/** @param options.share the number of the share whose keys the token holds; 0 in a fleet of one */
export function createLocalEvaluator(options: { token: Token; share: number }): Evaluator {
  const { token, share: number } = options;
  const kek = shareKeyName("share-kek", number);
  const tagStep = (policy: SharePolicy, publicKey: Uint8Array): HmacStep => ({
    op: "hmac",
    key: shareKeyName("share-mac", number),
    data: shareTagMessage(policy, publicKey),
  });

  return {
    async create(request) {
      const points = derivationPoints(request.blindedElement);
      const [created] = await token.run([{ op: "create-share", kek, points }]);
      const { mechanism, wrapped, publicKey, xs } = created;
      const evaluated = recoverProduct(request.blindedElement, publicKey, xs);
      const [tag] = await token.run([tagStep(request, publicKey)]);
      return { shares: [{ share: number, mechanism, wrapped, publicKey, tag }], evaluated };
    },

    async evaluate(request) {
      const [share, ...others] = request.shares;
      if (share?.share !== number || others.length > 0)
        throw new StrongroomError("record-corrupt", "the record's shares are not this fleet's");
      const [tag] = await token.run([tagStep(request, share.publicKey)]);
      if (!equal(tag, share.tag))
        throw new StrongroomError("record-corrupt", "a share's tag does not verify");
      const points = derivationPoints(request.blindedElement);
      const [xs] = await token.run([{ op: "evaluate-share", kek, share, points }]);
      return recoverProduct(request.blindedElement, share.publicKey, xs);
    },
  };
}
