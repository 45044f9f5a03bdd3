/** What ties a share to its account, generation, receipt key and number of attempts (design §4). */
import { concat, framed, uintBE } from "../base/bytes.ts";
import { shareKeyName } from "../keys/roles.ts";
import type { ExpectedTag, ShareTag } from "../token/token.ts";
import type { SharePolicy } from "../vault/evaluator.ts";
import type { Share } from "../vault/record.ts";
import { UNCOMPRESSED_POINT_BYTES } from "../wire/limits.ts";

/** The tag of share `number`: HMAC(share-mac) over the framed fields, the share's public key in their middle. */
export function shareTag(policy: SharePolicy, number: number): ShareTag {
  const head = framed("strongroom/share/v1", policy.recordId, uintBE(policy.generation, 8));
  return {
    key: shareKeyName("share-mac", number),
    // `framed` gives every field its length; the token worker puts the public key itself behind this one.
    before: concat(head, uintBE(UNCOMPRESSED_POINT_BYTES, 4)),
    after: framed(policy.receiptPublicKey, uintBE(policy.maxAttempts, 4)),
  };
}

/** What a stored share's tag must be. */
export function expectedTag(policy: SharePolicy, share: Share): ExpectedTag {
  return { ...shareTag(policy, share.share), publicKey: share.publicKey, value: share.tag };
}
