/** RFC 6962 §2.1 and RFC 9162 §2.1.3, §2.1.4: the published reference tree, and every proof of every tree to 64 leaves. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { logFaultOf } from "../../src/merkle/fault.ts";
import {
  consistencyProof,
  type HashReader,
  inclusionProof,
  rootAt,
  verifyConsistency,
  verifyInclusion,
} from "../../src/merkle/proofs.ts";
import { EMPTY_ROOT, Frontier, leafHash, nodeHash, peaksOf, rootOf } from "../../src/merkle/tree.ts";

interface Reference {
  readonly leaves: readonly string[];
  readonly roots: readonly string[];
  readonly inclusion: readonly {
    readonly index: number;
    readonly size: number;
    readonly proof: readonly string[];
  }[];
  readonly consistency: readonly {
    readonly from: number;
    readonly to: number;
    readonly proof: readonly string[];
  }[];
}
const reference = JSON.parse(readFileSync("test/vectors/rfc6962-reference-tree.json", "utf8")) as Reference;

/** Reads nodes by their definition. */
const readerOf =
  (leaves: readonly Uint8Array[]): HashReader =>
  (nodes) =>
    Promise.resolve(
      nodes.map(({ level, index }) => rootOf(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level))),
    );

/** MTH of §2.1 as it is written there, for comparison with the frontier. */
function definition(leaves: readonly Uint8Array[]): Uint8Array {
  const [first] = leaves;
  if (!first) return EMPTY_ROOT;
  if (leaves.length === 1) return first;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(definition(leaves.slice(0, split)), definition(leaves.slice(split)));
}

const faultOf = (work: () => void): string | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return logFaultOf(error) ?? "another error";
  }
};

/** Everything that is one step away from a proof: a bit flipped, a node added, removed, doubled, two exchanged. */
function* tampered(proof: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  const other = new Uint8Array(32).fill(0x5a);
  for (let at = 0; at <= proof.length; at++) {
    yield proof.toSpliced(at, 0, other);
    const node = proof[at];
    if (!node) continue;
    yield proof.toSpliced(at, 1);
    yield proof.toSpliced(at, 0, node);
    yield proof.with(
      at,
      Uint8Array.from(node, (byte, i) => (i === 31 ? byte ^ 1 : byte)),
    );
    const next = proof[at + 1];
    if (next) yield proof.with(at, next).with(at + 1, node);
  }
  yield [...proof, new Uint8Array(0)];
  yield [...proof, new Uint8Array(33)];
}

describe("the reference tree of Certificate Transparency", () => {
  const leaves = reference.leaves.map((leaf) => leafHash(fromHex(leaf)));
  test("has the published roots", () => {
    expect(toHex(EMPTY_ROOT)).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(reference.roots.map((_, at) => toHex(rootOf(leaves.slice(0, at + 1))))).toEqual(reference.roots);
  });
  test("published hashes of a leaf and a node", () => {
    expect(toHex(leafHash(utf8("L123456")))).toBe(
      "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56",
    );
    expect(toHex(nodeHash(utf8("N123"), utf8("N456")))).toBe(
      "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb",
    );
  });
  test.each(reference.inclusion)("published inclusion of $index in $size", async ({ index, size, proof }) => {
    const head = { size, root: fromHex(reference.roots[size - 1] ?? "") };
    verifyInclusion(head, index, leaves[index] ?? EMPTY_ROOT, proof.map(fromHex));
    expect((await inclusionProof(index, size, readerOf(leaves))).map(toHex)).toEqual(proof);
  });
  test.each(reference.consistency)("published consistency of $from and $to", async ({ from, to, proof }) => {
    const [before, after] = [from, to].map((size) => ({
      size,
      root: fromHex(reference.roots[size - 1] ?? ""),
    }));
    if (!before || !after) throw new Error("no heads");
    verifyConsistency(before, after, proof.map(fromHex));
    expect((await consistencyProof(from, to, readerOf(leaves))).map(toHex)).toEqual(proof);
  });
});

describe("all trees to 64 leaves", () => {
  const leaves = Array.from({ length: 64 }, (_, at) => leafHash(utf8(`leaf ${at}`)));
  const byNode = new Map<string, Uint8Array>();
  const read: HashReader = async (nodes) => {
    const hashes = await readerOf(leaves)(
      nodes.filter(({ level, index }) => !byNode.has(`${level} ${index}`)),
    );
    let at = 0;
    return nodes.map(({ level, index }) => {
      const hash = byNode.get(`${level} ${index}`) ?? hashes[at++] ?? EMPTY_ROOT;
      byNode.set(`${level} ${index}`, hash);
      return hash;
    });
  };
  /** Touched proofs that were not refused as what they are; a list, as expecting each would take most of the time. */
  let wrong: string[] = [];
  let refused = 0;
  const note = (fault: string | undefined, of: string): void => {
    if (fault === "bad-proof") refused++;
    else wrong.push(`${of}: ${fault}`);
  };
  const checked = (): void => {
    expect(wrong).toEqual([]);
    expect(refused).toBeGreaterThan(10_000);
    [wrong, refused] = [[], 0];
  };
  const roots = Array.from({ length: 65 }, (_, size) => definition(leaves.slice(0, size)));
  const head = (size: number): { size: number; root: Uint8Array } => ({
    size,
    root: roots[size] ?? EMPTY_ROOT,
  });

  test("the frontier gives the root of the definition, and can begin anywhere", async () => {
    for (let size = 0; size <= 64; size++) {
      expect(rootOf(leaves.slice(0, size))).toEqual(roots[size]);
      expect(await rootAt(size, read)).toEqual(roots[size]);
      const frontier = new Frontier(size, size === 0 ? [] : await read(peaksOf(size)));
      for (const leaf of leaves.slice(size)) frontier.append(leaf);
      expect(frontier.root()).toEqual(roots[64]);
    }
  });

  test("every inclusion proof holds, and none that was touched", async () => {
    for (let size = 1; size <= 64; size++)
      for (let index = 0; index < size; index++) {
        const leaf = leaves[index] ?? EMPTY_ROOT;
        const proof = await inclusionProof(index, size, read);
        verifyInclusion(head(size), index, leaf, proof);
        for (const bad of tampered(proof))
          note(
            faultOf(() => verifyInclusion(head(size), index, leaf, bad)),
            `${index} in ${size}`,
          );
        const other = (index + 1) % size;
        if (other !== index)
          note(
            faultOf(() => verifyInclusion(head(size), other, leaf, proof)),
            `${other} in ${size}`,
          );
        const wrongRoot = { ...head(size), root: EMPTY_ROOT };
        note(
          faultOf(() => verifyInclusion(wrongRoot, index, leaf, proof)),
          `${index} in another root`,
        );
      }
    checked();
  });

  test("every consistency proof holds, and none that was touched", async () => {
    for (let to = 0; to <= 64; to++)
      for (let from = 0; from <= to; from++) {
        const proof = await consistencyProof(from, to, read);
        verifyConsistency(head(from), head(to), proof);
        for (const bad of tampered(proof))
          note(
            faultOf(() => verifyConsistency(head(from), head(to), bad)),
            `${from} to ${to}`,
          );
        if (from > 0 && from < to) {
          const [old, now] = [from, to].map((size) => ({ size, root: EMPTY_ROOT }));
          if (!old || !now) throw new Error("no heads");
          note(
            faultOf(() => verifyConsistency(old, head(to), proof)),
            `another root of ${from}`,
          );
          note(
            faultOf(() => verifyConsistency(head(from), now, proof)),
            `another root of ${to}`,
          );
        }
      }
    checked();
  });

  test("a proof for other sizes is refused wherever the roots differ", async () => {
    for (let to = 2; to <= 24; to++)
      for (let from = 1; from < to; from++) {
        const proof = await consistencyProof(from, to, read);
        for (let wrong = 1; wrong <= to; wrong++)
          if (wrong !== from)
            expect(
              faultOf(() => verifyConsistency({ size: wrong, root: head(from).root }, head(to), proof)),
            ).toMatch(/^(?:bad-proof|wrong-root)$/);
      }
  });
});

describe("what no tree has", () => {
  const root = leafHash(utf8("one"));
  test("an index outside", () => {
    expect(faultOf(() => verifyInclusion({ size: 1, root }, 1, root, []))).toBe("wrong-size");
    expect(faultOf(() => verifyInclusion({ size: 0, root: EMPTY_ROOT }, 0, root, []))).toBe("wrong-size");
  });
  test("sizes that are no numbers of entries", () => {
    for (const size of [-1, 1.5, Number.NaN, 2 ** 53])
      expect(faultOf(() => verifyInclusion({ size, root }, 0, root, []))).toBe("wrong-size");
  });
  test("a later tree that is smaller", () => {
    expect(faultOf(() => verifyConsistency({ size: 2, root }, { size: 1, root }, []))).toBe("wrong-size");
  });
  test("two roots of one size", () => {
    expect(faultOf(() => verifyConsistency({ size: 1, root }, { size: 1, root: EMPTY_ROOT }, []))).toBe(
      "wrong-root",
    );
  });
  test("an empty tree with entries' root", () => {
    expect(faultOf(() => verifyConsistency({ size: 0, root }, { size: 0, root }, []))).toBe("wrong-root");
    expect(faultOf(() => verifyConsistency({ size: 0, root }, { size: 1, root }, []))).toBe("wrong-root");
  });
});

describe("a path of another length than the size asks for, even where it leads to the root", () => {
  const [leaf, b, c] = ["leaf", "b", "c"].map((text) => leafHash(utf8(text)));
  if (!leaf || !b || !c) throw new Error("no hashes");
  test("inclusion", () => {
    expect(faultOf(() => verifyInclusion({ size: 1, root: nodeHash(b, leaf) }, 0, leaf, [b]))).toBe(
      "bad-proof",
    );
    expect(faultOf(() => verifyInclusion({ size: 3, root: nodeHash(leaf, b) }, 0, leaf, [b]))).toBe(
      "bad-proof",
    );
  });
  test("consistency", () => {
    const long = { size: 2, root: nodeHash(c, nodeHash(leaf, b)) };
    const before = { size: 1, root: nodeHash(c, leaf) };
    expect(faultOf(() => verifyConsistency(before, long, [b, c]))).toBe("bad-proof");
    const short = { size: 3, root: nodeHash(leaf, b) };
    expect(faultOf(() => verifyConsistency({ size: 1, root: leaf }, short, [b]))).toBe("bad-proof");
    expect(faultOf(() => verifyConsistency({ size: 3, root: leaf }, { size: 4, root: leaf }, []))).toBe(
      "bad-proof",
    );
  });
});

test("proofs of trees beyond 2^32 and up to 2^53 − 1 entries have their length and hold", async () => {
  // A tree whose leaves are all alike: each perfect subtree of a level has one hash.
  const byLevel = [leafHash(utf8("same"))];
  for (let level = 1; level < 53; level++) {
    const below = byLevel[level - 1] ?? EMPTY_ROOT;
    byLevel.push(nodeHash(below, below));
  }
  const read: HashReader = (nodes) => Promise.resolve(nodes.map(({ level }) => byLevel[level] ?? EMPTY_ROOT));
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      async (one, two) => {
        const [before, after] = [Math.min(one, two), Math.max(one, two)];
        const heads = await Promise.all(
          [before, after].map(async (size) => ({ size, root: await rootAt(size, read) })),
        );
        const [old, now] = heads;
        if (!old || !now) throw new Error("no heads");
        verifyConsistency(old, now, await consistencyProof(before, after, read));
        const proof = await inclusionProof(before - 1, after, read);
        verifyInclusion(now, before - 1, byLevel[0] ?? EMPTY_ROOT, proof);
        expect(proof.length).toBeLessThanOrEqual(53);
      },
    ),
    { numRuns: 100 },
  );
});
