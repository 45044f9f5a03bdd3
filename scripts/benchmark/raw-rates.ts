/**
 * What the token itself can do, by the shortest loop over the binding and none of our driver: the rates that the
 * vault is measured against. Prints JSON; a process of its own, as a token worker is.
 *
 *   SOFTHSM2_CONF=… node --import tsx scripts/benchmark/raw-rates.ts MODULE LABEL PIN_FILE FLEET SECONDS
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type * as Pkcs11 from "pkcs11js";

// A CommonJS module whose constants Node cannot name as exports.
const P: typeof Pkcs11 = createRequire(import.meta.url)("pkcs11js");

const [modulePath = "", tokenLabel = "", pinFile = "", fleet = "", seconds = "1"] = process.argv.slice(2);
const token = new P.PKCS11();
token.load(modulePath);
token.C_Initialize({ flags: P.CKF_OS_LOCKING_OK });
const slot = token.C_GetSlotList(true).find((s) => token.C_GetTokenInfo(s).label.trim() === tokenLabel);
if (!slot) throw new Error(`no token ${tokenLabel}`);
const session = token.C_OpenSession(slot, P.CKF_SERIAL_SESSION | P.CKF_RW_SESSION);
token.C_Login(session, P.CKU_USER, readFileSync(pinFile, "utf8").trim());

function find(name: string, objectClass: number): Buffer {
  token.C_FindObjectsInit(session, [
    { type: P.CKA_LABEL, value: `strongroom/${fleet}/${name}` },
    { type: P.CKA_CLASS, value: objectClass },
  ]);
  const [handle] = token.C_FindObjects(session, 1);
  token.C_FindObjectsFinal(session);
  if (!handle) throw new Error(`no key ${name}`);
  return handle;
}

const bool = (type: number, value: boolean) => ({ type, value });
const P256 = { type: P.CKA_EC_PARAMS, value: Buffer.from("06082a8648ce3d030107", "hex") };
const readable = [
  { type: P.CKA_CLASS, value: P.CKO_SECRET_KEY },
  { type: P.CKA_KEY_TYPE, value: P.CKK_GENERIC_SECRET },
  bool(P.CKA_TOKEN, false),
  bool(P.CKA_PRIVATE, false),
  bool(P.CKA_SENSITIVE, false),
  bool(P.CKA_EXTRACTABLE, true),
  { type: P.CKA_VALUE_LEN, value: 32 },
];
const unwrapped = [
  { type: P.CKA_CLASS, value: P.CKO_PRIVATE_KEY },
  { type: P.CKA_KEY_TYPE, value: P.CKK_EC },
  bool(P.CKA_TOKEN, false),
  bool(P.CKA_PRIVATE, true),
  bool(P.CKA_SENSITIVE, true),
  bool(P.CKA_EXTRACTABLE, false),
  bool(P.CKA_DERIVE, true),
];

const identity = find("identity", P.CKO_PRIVATE_KEY);
const ake = find("ake", P.CKO_PRIVATE_KEY);
const record = find("record", P.CKO_SECRET_KEY);
const kek = find("share-kek.0", P.CKO_SECRET_KEY);

const generate = () =>
  token.C_GenerateKeyPair(
    session,
    { mechanism: P.CKM_EC_KEY_PAIR_GEN },
    [P256, bool(P.CKA_TOKEN, false), bool(P.CKA_PRIVATE, false)],
    [
      bool(P.CKA_TOKEN, false),
      bool(P.CKA_PRIVATE, true),
      bool(P.CKA_SENSITIVE, true),
      bool(P.CKA_EXTRACTABLE, true),
      bool(P.CKA_DERIVE, true),
    ],
  );
const pair = generate();
const [encoded] = token.C_GetAttributeValue(session, pair.publicKey, [{ type: P.CKA_EC_POINT }]);
if (!encoded) throw new Error("no public key");
const peer = (encoded.value as Buffer).subarray(2);

const CKM_AES_KEY_WRAP_PAD = 0x210a;
const wrap = () =>
  token.C_WrapKey(session, { mechanism: CKM_AES_KEY_WRAP_PAD }, kek, pair.privateKey, Buffer.alloc(256));
const wrapped = wrap();
const parameter: Pkcs11.ECDH1 = { type: P.CK_PARAMS_EC_DH, kdf: P.CKD_NULL, publicData: peer };
const derive = (key: Buffer) => {
  const derived = token.C_DeriveKey(
    session,
    {
      mechanism: P.CKM_ECDH1_DERIVE,
      parameter,
    },
    key,
    readable,
  );
  token.C_GetAttributeValue(session, derived, [{ type: P.CKA_VALUE }]);
  token.C_DestroyObject(session, derived);
};

const operations: Readonly<Record<string, () => void>> = {
  ecdh: () => derive(ake),
  ecdhSessionObject: () => derive(pair.privateKey),
  unwrap: () => {
    const mechanism = { mechanism: CKM_AES_KEY_WRAP_PAD };
    token.C_DestroyObject(session, token.C_UnwrapKey(session, mechanism, kek, wrapped, unwrapped));
  },
  hmac: () => {
    token.C_SignInit(session, { mechanism: P.CKM_SHA256_HMAC }, record);
    token.C_Sign(session, Buffer.alloc(64), Buffer.alloc(32));
  },
  sign: () => {
    token.C_SignInit(session, { mechanism: P.CKM_ECDSA }, identity);
    token.C_Sign(session, Buffer.alloc(32), Buffer.alloc(64));
  },
  keygen: () => {
    const made = generate();
    token.C_DestroyObject(session, made.privateKey);
    token.C_DestroyObject(session, made.publicKey);
  },
  wrap,
};

const rates: Record<string, number> = {};
for (const [name, operation] of Object.entries(operations)) {
  for (let i = 0; i < 50; i++) operation();
  const start = performance.now();
  const end = start + Number(seconds) * 1_000;
  let count = 0;
  while (performance.now() < end) {
    for (let i = 0; i < 20; i++) operation();
    count += 20;
  }
  rates[name] = (count * 1_000) / (performance.now() - start);
}
process.stdout.write(`${JSON.stringify(rates)}\n`);
token.C_CloseAllSessions(slot);
token.C_Finalize();
