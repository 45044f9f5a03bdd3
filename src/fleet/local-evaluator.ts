/**
 * The evaluator of a fleet of one: the only share lives in records of this site's own token.
 *
 * The tag of a share is checked in the token's run before the share is even unwrapped, so a record that somebody
 * put together from parts of others gets no evaluation at all.
 */
import { StrongroomError } from "../base/errors.ts";
import { derivationPoints, takeProduct } from "../crypto/node/point-recovery.ts";
import { shareKeyName } from "../keys/roles.ts";
import type { Token } from "../token/token.ts";
import type { Evaluator } from "../vault/evaluator.ts";
import { expectedTag, shareTag } from "./share-tag.ts";

/** @param options.share the number of the share whose keys the token holds; 0 in a fleet of one */
export function createLocalEvaluator(options: { token: Token; share: number }): Evaluator {
  const { token, share: number } = options;
  const kek = shareKeyName("share-kek", number);

  return {
    async create(request) {
      const points = derivationPoints(request.blindedElement);
      const [created] = await token.run([
        { op: "create-share", kek, points, tag: shareTag(request, number) },
      ]);
      const { mechanism, wrapped, publicKey, xs, tag } = created;
      const evaluated = takeProduct(request.blindedElement, publicKey, xs);
      return { shares: [{ share: number, mechanism, wrapped, publicKey, tag }], evaluated };
    },

    async evaluate(request) {
      const [share, ...others] = request.shares;
      if (share?.share !== number || others.length > 0)
        throw new StrongroomError("record-corrupt", "the record's shares are not this fleet's");
      const points = derivationPoints(request.blindedElement);
      const [xs] = await token.run([
        { op: "evaluate-share", kek, share, points, tag: expectedTag(request, share) },
      ]);
      return takeProduct(request.blindedElement, share.publicKey, xs);
    },
  };
}
