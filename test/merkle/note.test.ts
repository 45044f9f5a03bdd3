/**
 * C2SP signed notes, checkpoints, cosignatures and proofs: published notes and goldens of another implementation
 * verify, and everything that was tampered with is refused for its own reason.
 */
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex } from "../../src/base/bytes.ts";
import { formatAddCheckpoint, parseAddCheckpoint } from "../../src/merkle/add-checkpoint.ts";
import { formatCheckpoint, parseCheckpoint, verifyCheckpoint } from "../../src/merkle/checkpoint.ts";
import { logFaultOf } from "../../src/merkle/fault.ts";
import { toBase64 } from "../../src/merkle/lines.ts";
import {
  cosign,
  formatNote,
  knownSignatures,
  parseNote,
  type Sign,
  signNote,
  verifyNote,
} from "../../src/merkle/note.ts";
import { verifyConsistency } from "../../src/merkle/proofs.ts";
import { formatTlogProof, parseTlogProof, verifyTlogProof } from "../../src/merkle/tlog-proof.ts";
import { parseVkey, verifierKey } from "../../src/merkle/vkey.ts";

const golden = JSON.parse(readFileSync("test/vectors/golden-log.json", "utf8")) as Readonly<
  Record<
    | "logSeed"
    | "witnessSeed"
    | "origin"
    | "logKey"
    | "witness"
    | "witnessKey"
    | "checkpoint"
    | "tlogProof"
    | "addCheckpoint"
    | "root100",
    string
  >
> & { readonly time: number };
const logKey = parseVkey(golden.logKey);
const witnessKey = parseVkey(golden.witnessKey);
const keys = { logs: [logKey], witnesses: [witnessKey] };
const entry = (at: number): Uint8Array => Uint8Array.from(Buffer.from(`entry ${at}`));

/** Ed25519 by OpenSSL. */
function signerOf(seed: string): Sign {
  const pkcs8 = concat(fromHex("302e020100300506032b657004220420"), fromHex(seed)); // RFC 8410 §7
  const key: KeyObject = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  return (message) => Promise.resolve(Uint8Array.from(sign(null, message, key)));
}
const faultOf = (work: () => unknown): string | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    return logFaultOf(error) ?? "another error";
  }
};
const { text, signatures } = parseNote(golden.checkpoint);
const [logLine, witnessLine] = golden.checkpoint.split("\n").slice(4);

describe("published notes", () => {
  // golang.org/x/mod/sumdb/note, the package's example.
  const vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  const note =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n" +
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
  // A checkpoint of the Go checksum database (2023); its origin is not the name of its key.
  const sumdb =
    "go.sum database tree\n15081221\nBoMMe1wd25Tco0mYGROkyqxHZWx+hcSCtMV315Lu6Lg=\n\n" +
    "— sum.golang.org Az3grilD7vQqTrv66jRgKM84Y80KTprrSt4bKmiOPxgmS5ZVBTeCl6dUvjYnN13R+C8j0jGY1WnUADGMkok3U0m2Zgo=\n";
  const sumdbKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

  test.each([
    ["Go's example", vkey, note],
    ["the Go checksum database", sumdbKey, sumdb],
  ])("%s verifies, and not with another text", (_, key, signed) => {
    expect(formatNote(parseNote(signed))).toBe(signed);
    expect(verifyNote(parseNote(signed), [parseVkey(key)])).toHaveLength(1);
    expect(parseVkey(key).vkey).toBe(key);
    const changed = parseNote(signed.replace("database", "Database").replace("problem is", "problem was"));
    expect(faultOf(() => verifyNote(changed, [parseVkey(key)]))).toBe("bad-signature");
  });
});

describe("goldens", () => {
  test("the same keys give the same vkeys, checkpoint and cosignature", async () => {
    expect(verifierKey("note", golden.origin, logKey.publicKey).vkey).toBe(golden.logKey);
    expect(verifierKey("cosignature", golden.witness, witnessKey.publicKey).vkey).toBe(golden.witnessKey);
    const { checkpoint } = verifyCheckpoint(golden.checkpoint, keys);
    expect(formatCheckpoint(checkpoint)).toBe(text);
    const own = await signNote(text, logKey, signerOf(golden.logSeed));
    const other = await cosign(text, golden.time, witnessKey, signerOf(golden.witnessSeed));
    expect(formatNote({ text, signatures: [own, other] })).toBe(golden.checkpoint);
  });
  test("the checkpoint verifies, and says who cosigned it and when", () => {
    const verified = verifyCheckpoint(golden.checkpoint, keys);
    expect(verified.checkpoint).toMatchObject({ origin: golden.origin, size: 300 });
    expect(verified.witnesses.map(({ key, time }) => [key.name, time])).toEqual([
      [golden.witness, golden.time],
    ]);
    expect(verifyCheckpoint(golden.checkpoint, { logs: [logKey] }).witnesses).toEqual([]);
  });
  test("the offline proof verifies, and is written the same", () => {
    const verified = verifyTlogProof(golden.tlogProof, entry(255), keys);
    expect([verified.index, verified.checkpoint.size, verified.witnesses.length]).toEqual([255, 300, 1]);
    expect(formatTlogProof(parseTlogProof(golden.tlogProof))).toBe(golden.tlogProof);
  });
  test("the witness's request is read and written the same, and its proof holds", () => {
    const request = parseAddCheckpoint(golden.addCheckpoint);
    expect(formatAddCheckpoint(request)).toBe(golden.addCheckpoint);
    const { checkpoint } = verifyCheckpoint(request.checkpoint, keys);
    verifyConsistency({ size: request.oldSize, root: fromHex(golden.root100) }, checkpoint, request.proof);
  });
  test("extra data is carried, and believed nothing", () => {
    const proof = { ...parseTlogProof(golden.tlogProof), extra: fromHex("00ff") };
    expect(formatTlogProof(proof).split("\n")[1]).toBe("extra AP8=");
    expect(parseTlogProof(formatTlogProof(proof))).toEqual(proof);
  });
});

describe("tampering: a checkpoint", () => {
  const resigned = async (changed: string, key = logKey): Promise<string> =>
    formatNote({ text: changed, signatures: [await signNote(changed, key, signerOf(golden.logSeed))] });

  test("wrong origin", async () => {
    const other = verifierKey("note", "another.example/log", logKey.publicKey);
    const note = await resigned(text.replace(golden.origin, other.name), other);
    expect(faultOf(() => verifyCheckpoint(note, keys))).toBe("wrong-origin");
  });
  test("wrong origin under the log's own key name", async () => {
    const note = await resigned(text.replace(golden.origin, "another.example/log"));
    expect(faultOf(() => verifyCheckpoint(note, keys))).toBe("wrong-origin");
  });
  test("wrong size", () => {
    const note = golden.checkpoint.replace("\n300\n", "\n301\n");
    expect(faultOf(() => verifyCheckpoint(note, keys))).toBe("bad-signature");
  });
  test("wrong root", () => {
    const note = golden.checkpoint.replace(/\n[A-Za-z0-9+/]{43}=\n/, `\n${toBase64(new Uint8Array(32))}\n`);
    expect(faultOf(() => verifyCheckpoint(note, keys))).toBe("bad-signature");
  });
  test("wrong key id", () => {
    const [own] = signatures;
    if (!own) throw new Error("no signature");
    const note = formatNote({ text, signatures: [{ ...own, keyId: "00000000" }] });
    expect(faultOf(() => verifyCheckpoint(note, keys))).toBe("wrong-key");
  });
  test("another key of the same name", async () => {
    const other = verifierKey("note", golden.origin, witnessKey.publicKey);
    const signature = await signNote(text, other, signerOf(golden.witnessSeed));
    expect(faultOf(() => verifyCheckpoint(formatNote({ text, signatures: [signature] }), keys))).toBe(
      "wrong-key",
    );
  });
  test("another key that claims the trusted key's id", async () => {
    const signature = await signNote(text, { ...logKey }, signerOf(golden.witnessSeed));
    const note = formatNote({ text, signatures: [signature] });
    expect(faultOf(() => verifyCheckpoint(note, keys))).toBe("bad-signature");
  });
  test("a bad signature by a known key beside a good one", () => {
    const [own] = signatures;
    if (!own) throw new Error("no signature");
    const bad = { ...own, signature: own.signature.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) };
    for (const all of [
      [own, bad],
      [bad, own],
    ])
      expect(faultOf(() => verifyNote({ text, signatures: all }, [logKey]))).toBe("bad-signature");
  });
  test("a cosignature moved to another time", () => {
    const changed = signatures.map((one) =>
      one.name === golden.witness
        ? { ...one, signature: one.signature.map((byte, at) => (at === 7 ? byte ^ 1 : byte)) }
        : one,
    );
    expect(faultOf(() => verifyCheckpoint(formatNote({ text, signatures: changed }), keys))).toBe(
      "bad-signature",
    );
  });
  test("a cosignature of another checkpoint", async () => {
    const other = await cosign(
      text.replace("300", "299"),
      golden.time,
      witnessKey,
      signerOf(golden.witnessSeed),
    );
    const note = formatNote({ text, signatures: [...signatures.slice(0, 1), other] });
    expect(faultOf(() => verifyCheckpoint(note, keys))).toBe("bad-signature");
  });
  test("a witness's key does not sign for the log, nor the log's for a witness", async () => {
    const asLog = verifierKey("note", golden.origin, witnessKey.publicKey);
    expect(faultOf(() => verifyCheckpoint(golden.checkpoint, { logs: [asLog] }))).toBe("wrong-key");
    const plain = verifierKey("note", golden.witness, witnessKey.publicKey);
    expect(knownSignatures({ text, signatures }, [plain])).toEqual([]);
    await expect(cosign(text, 0, logKey, signerOf(golden.logSeed))).rejects.toMatchObject({
      code: "internal",
    });
  });
  test("signatures by unknown keys are ignored, and one witness counts once", async () => {
    const again = await cosign(text, golden.time + 5, witnessKey, signerOf(golden.witnessSeed));
    const stranger = { name: "stranger.example", keyId: "01020304", signature: new Uint8Array(64) };
    const note = formatNote({ text, signatures: [stranger, ...signatures, again] });
    expect(verifyCheckpoint(note, keys).witnesses.map(({ time }) => time)).toEqual([golden.time + 5]);
  });
});

describe("tampering: the form of a checkpoint", () => {
  const root = text.split("\n")[2] ?? "";
  test.each([
    ["an extension line", `${text}more\n`],
    ["no root", `${golden.origin}\n300\n`],
    ["an empty origin", `\n300\n${root}\n`],
    ["an origin with a space", `an origin\n300\n${root}\n`],
    ["a size with a leading zero", text.replace("300", "0300")],
    ["a size with a sign", text.replace("300", "+300")],
    ["a size beyond 2^53 − 1", text.replace("300", "9007199254740992")],
    ["a size in hexadecimal", text.replace("300", "0x12c")],
    ["a root without padding", text.replace("=\n", "\n")],
    ["a root with stray bits", text.replace(root, `${root.slice(0, 42)}${root[42] === "B" ? "C" : "B"}=`)],
    ["a root in the URL alphabet", text.replace(root, `${"-".repeat(43)}=`)],
    ["a root of 31 bytes", text.replace(root, toBase64(new Uint8Array(31)))],
    ["a root with white space", text.replace(root, ` ${root}`)],
    ["no line end", text.slice(0, -1)],
    ["line ends of another kind", text.replaceAll("\n", "\r\n")],
    ["a control character", text.replace("auditor", "audi\u0000tor")],
  ])("%s", (_, changed) => {
    expect(faultOf(() => parseCheckpoint(changed))).toBe("not-canonical");
  });
  test("an empty tree, and the largest", () => {
    expect(parseCheckpoint(text.replace("300", "0")).size).toBe(0);
    expect(parseCheckpoint(text.replace("300", "9007199254740991")).size).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe("tampering: the form of a note", () => {
  const signed = (line: string): string => `${text}\n${line}\n`;
  const encoded = logLine?.split(" ")[2] ?? "";
  test.each([
    ["no signature", `${text}\n`],
    ["no empty line", `${text}${logLine}\n`],
    ["no line end", golden.checkpoint.slice(0, -1)],
    ["an empty line after the signatures", `${golden.checkpoint}\n`],
    ["another dash", signed(`- ${golden.origin} ${encoded}`)],
    ["two spaces", signed(`—  ${golden.origin} ${encoded}`)],
    ["something after the signature", signed(`— ${golden.origin} ${encoded} x`)],
    ["a name with a plus", signed(`— a+b ${encoded}`)],
    ["base64 without padding", signed(`— ${golden.origin} ${encoded.replace(/=+$/, "")}`)],
    [
      "base64 with stray bits",
      signed(`— ${golden.origin} ${encoded.slice(0, -2)}${encoded.at(-2) === "B" ? "C" : "B"}=`),
    ],
    ["base64 in the URL alphabet", signed(`— ${golden.origin} ${encoded.replace(/[A-Za-z]/, "-")}`)],
    ["a key id alone", signed(`— ${golden.origin} ${toBase64(new Uint8Array(4))}`)],
    ["a lone surrogate", signed(`— ${golden.origin}\ud800 ${encoded}`)],
    ["a tab", signed(`—\t${golden.origin} ${encoded}`)],
  ])("%s", (_, note) => {
    expect(faultOf(() => verifyCheckpoint(note, keys))).toBe("not-canonical");
  });
  test("more signatures than anybody has, or more text", () => {
    const many = `${text}\n${`${witnessLine}\n`.repeat(65)}`;
    expect(faultOf(() => parseNote(many))).toBe("too-large");
    expect(faultOf(() => parseNote(`${"x".repeat(200_000)}\n\n${logLine}\n`))).toBe("too-large");
    // Sixteen must do (C2SP signed-note).
    expect(parseNote(`${text}\n${`${witnessLine}\n`.repeat(16)}`).signatures).toHaveLength(16);
  });
});

describe("tampering: an offline proof", () => {
  const parsed = parseTlogProof(golden.tlogProof);
  const verify = (proof: typeof parsed, of = entry(255)): string | undefined =>
    faultOf(() => verifyTlogProof(formatTlogProof(proof), of, keys));

  test("another entry", () => {
    expect(verify(parsed, entry(254))).toBe("bad-proof");
  });
  test("another index", () => {
    expect(verify({ ...parsed, index: 254 })).toBe("bad-proof");
    expect(verify({ ...parsed, index: 300 })).toBe("wrong-size");
  });
  test("a path with extra nodes", () => {
    const [first] = parsed.path;
    if (!first) throw new Error("no path");
    expect(verify({ ...parsed, path: [...parsed.path, first] })).toBe("bad-proof");
    expect(verify({ ...parsed, path: [first, ...parsed.path] })).toBe("bad-proof");
  });
  test("a path with a node less, or none", () => {
    expect(verify({ ...parsed, path: parsed.path.slice(0, -1) })).toBe("bad-proof");
    expect(verify({ ...parsed, path: [] })).toBe("bad-proof");
  });
  test("a checkpoint that is not signed", () => {
    const checkpoint = `${text}\n${witnessLine}\n`;
    expect(verify({ ...parsed, checkpoint })).toBe("wrong-key");
  });
  const lines = golden.tlogProof.split("\n");
  test.each([
    ["another header", golden.tlogProof.replace("@v1", "@v2")],
    ["no index", lines.toSpliced(1, 1).join("\n")],
    ["an index with a leading zero", golden.tlogProof.replace("index 255", "index 0255")],
    ["a hash that is not canonical base64", lines.with(2, `${lines[2]?.slice(0, 42)}B=`).join("\n")],
    ["a hash of another length", lines.with(2, toBase64(new Uint8Array(33))).join("\n")],
    ["a line end of another kind", golden.tlogProof.replace("index 255\n", "index 255\r\n")],
    ["no checkpoint", `${lines.slice(0, 4).join("\n")}\n`],
    ["extra data that is not canonical", lines.toSpliced(1, 0, "extra AP9=").join("\n")],
    ["extra data twice", lines.toSpliced(1, 0, "extra AP8=", "extra AP8=").join("\n")],
  ])("%s", (_, proof) => {
    expect(faultOf(() => verifyTlogProof(proof, entry(255), keys))).toBe("not-canonical");
  });
  test("more nodes than any tree has", () => {
    const path = Array.from({ length: 64 }, () => new Uint8Array(32));
    expect(verify({ ...parsed, path })).toBe("too-large");
  });
});

describe("tampering: a vkey", () => {
  const base64 = golden.logKey.split("+").slice(2).join("+");
  test.each([
    ["not-canonical", "name+033de0ae"],
    ["not-canonical", `+${logKey.id}+${base64}`],
    ["not-canonical", `a name+${logKey.id}+${base64}`],
    ["not-canonical", golden.logKey.replace(logKey.id, logKey.id.toUpperCase())],
    ["not-canonical", golden.logKey.slice(0, -1)],
    ["not-canonical", `${golden.origin}+${logKey.id}+${toBase64(concat(fromHex("02"), logKey.publicKey))}`],
    ["wrong-key", golden.logKey.replace(logKey.id, "00000000")],
    ["wrong-key", golden.logKey.replace(golden.origin, "another.example")],
  ])("%s: %s", (fault, vkey) => {
    expect(faultOf(() => parseVkey(vkey))).toBe(fault);
  });
  test("the kind is part of the id, so one key has two", () => {
    expect(verifierKey("cosignature", golden.origin, logKey.publicKey).id).not.toBe(logKey.id);
    expect(toHex(logKey.publicKey)).toHaveLength(64);
  });
});

describe("tampering: a witness's request", () => {
  test.each([
    ["no old size", golden.addCheckpoint.replace("old 100\n", "")],
    ["an old size with a leading zero", golden.addCheckpoint.replace("old 100", "old 0100")],
    ["a hash that is not canonical", golden.addCheckpoint.replace(/=\n/, "\n")],
    ["no checkpoint", "old 0\n"],
  ])("%s", (_, request) => {
    expect(faultOf(() => parseAddCheckpoint(request))).toBe("not-canonical");
  });
  test("more than 63 lines of proof", () => {
    const proof = Array.from({ length: 64 }, () => new Uint8Array(32));
    const request = formatAddCheckpoint({ oldSize: 1, proof, checkpoint: golden.checkpoint });
    expect(faultOf(() => parseAddCheckpoint(request))).toBe("too-large");
  });
});
