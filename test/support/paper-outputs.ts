/** What the steps of a ceremony on paper say, by the plan: keys are the test's own, and every answer is right. */
import { createECDH, randomBytes } from "node:crypto";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256HexOf } from "../../src/base/node/sha256.ts";
import { transportBytes } from "../../src/ceremony/actions/transport.ts";
import { certificatePem, makeCertificate } from "../../src/ceremony/certificate.ts";
import type { ActionOutputs, InventoryItem, PartText } from "../../src/ceremony/outputs.ts";
import { type CeremonyPlan, type Member, membersOf, ROOT } from "../../src/ceremony/plan.ts";
import { type ActionName, type CeremonyStep, originsOf, shapeOf, stepsOf } from "../../src/ceremony/steps.ts";
import type { TranscriptEntry } from "../../src/ceremony/transcript-lines.ts";
import { fingerprintWords } from "../../src/ceremony/words.ts";
import {
  carrierLabel,
  type FleetKey,
  fleetKeys,
  holdersOf,
  keysOfSite,
  originalOf,
  transportKey,
  trustedLabel,
} from "../../src/keys/fleet-keys.ts";
import { manifestOf } from "../../src/keys/manifest-of.ts";
import { attributeSupport } from "../../src/keys/provision.ts";
import { type KeySpec, ROLES } from "../../src/keys/roles.ts";
import { keyId, keyTemplates } from "../../src/keys/templates.ts";
import { attributeEntries, showAttribute, type Template } from "../../src/token/attributes.ts";
import type { Profile } from "../../src/token/profile.ts";
import { loadProfile } from "../../src/token/profile-file.ts";
import type { KeyName } from "../../src/token/token.ts";
import type { Manifest } from "../../src/wire/manifest.ts";
import { EcSigner } from "./signers.ts";

const TRANSPORT = { modulus: "c1".repeat(384), exponent: "010001", hashes: ["sha256"] } as const;

const profiles = new Map<string, Profile>();
function profileOf(name: string): Profile {
  const profile = profiles.get(name) ?? loadProfile(name);
  profiles.set(name, profile);
  return profile;
}

/** The keys of a fleet, which no test should ever have. */
export class PaperKeys {
  readonly root: EcSigner = new EcSigner();
  readonly ake: EcSigner = new EcSigner();
  readonly #of = new Map<string, EcSigner>();

  /** A member's identity or session pair. */
  pair(member: string, role: "identity" | "session"): EcSigner {
    const name = `${member}/${role}`;
    const pair = this.#of.get(name) ?? new EcSigner();
    this.#of.set(name, pair);
    return pair;
  }

  signing(station: string): EcSigner {
    return station === ROOT ? this.root : this.pair(station, "identity");
  }
}

interface Question {
  readonly scalar: Uint8Array;
  readonly point: Uint8Array;
}

/** x(k·point). */
function product({ scalar }: EcSigner, point: Uint8Array): string {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(scalar);
  return ecdh.computeSecret(point).toString("hex");
}

export class PaperOutputs {
  readonly plan: CeremonyPlan;
  readonly keys: PaperKeys;
  readonly #questions = new Map<string, Question>();
  readonly #certificates = new Map<string, Uint8Array>();
  readonly #nonce = randomBytes(32).toString("hex");

  constructor(plan: CeremonyPlan, keys: PaperKeys = new PaperKeys()) {
    this.plan = plan;
    this.keys = keys;
    for (const { name } of this.#answering())
      for (const key of ["session", "ake"]) {
        const { scalar, publicKey: point } = new EcSigner();
        this.#questions.set(`${name}/${key}`, { scalar, point });
      }
  }

  /** Makes the certificates, which takes time: before anything else. */
  async prepare(): Promise<this> {
    for (const station of [ROOT, ...membersOf(this.plan).map(({ name }) => name)])
      this.#certificates.set(station, await this.#certificate(station));
    return this;
  }

  #certificate(station: string): Promise<Uint8Array> {
    const { fleet, mode } = this.plan;
    const { root } = this.keys;
    return makeCertificate(
      {
        fleet,
        mode,
        station,
        publicKey: this.keys.signing(station).publicKey,
        issuer: root.publicKey,
        notBefore: Date.UTC(2026, 0, 1),
      },
      (message) => root.sign(message),
    );
  }

  certificate(station: string): Uint8Array {
    return this.#certificates.get(station) ?? new Uint8Array();
  }

  certificateFiles(): readonly (readonly [string, Uint8Array])[] {
    return [...this.#certificates].map(([station, der]) => [
      `certificates/${station}.pem`,
      utf8(certificatePem(der)),
    ]);
  }

  manifest(): Manifest {
    const { fleet, threshold, maxAttempts, sites, change, predecessor } = this.plan;
    return manifestOf({
      fleet,
      threshold,
      maxAttempts,
      createdAt: Date.UTC(2026, 5, 1),
      predecessor: predecessor?.manifest,
      sites: sites.map(({ name, url }) => {
        const member = name === change?.site ? change.spare : name;
        if (member === undefined)
          return { name, url, tokenSerial: this.#serial(name), retired: true, publicKeys: new Map() };
        return {
          name,
          url,
          tokenSerial: this.#serial(member),
          publicKeys: new Map<KeyName, Uint8Array>([
            ["identity", this.keys.pair(member, "identity").publicKey],
            ["session", this.keys.pair(member, "session").publicKey],
            ["ake", this.keys.ake.publicKey],
          ]),
        };
      }),
    });
  }

  /** A call for each step: what the dry run lists is not what these tests are about. */
  calls(_step: CeremonyStep): readonly TranscriptEntry[] {
    return [];
  }

  of({ action, station }: CeremonyStep): unknown {
    const output: { readonly [A in ActionName]: () => ActionOutputs[A] } = {
      open: () => this.#open(station),
      initialise: () => ({
        state: "erased",
        label: station,
        serial: this.#serial(station),
      }),
      "make-root": () => ({
        publicKey: toHex(this.keys.root.publicKey),
        certificate: toHex(this.certificate(ROOT)),
      }),
      "make-site-keys": () => ({
        identity: toHex(this.keys.pair(station, "identity").publicKey),
        session: toHex(this.keys.pair(station, "session").publicKey),
        before: [],
        after: this.#inventory(
          station,
          this.#specs(station).filter(({ role }) => this.#isAlone() || ROLES[role].life === "kept"),
        ),
      }),
      certify: () => ({
        certificates: Object.fromEntries(
          [...this.#certificates].filter(([name]) => name !== ROOT).map(([name, der]) => [name, toHex(der)]),
        ),
        compared: membersOf(this.plan).map(({ name }) => ({
          member: name,
          words: fingerprintWords(this.keys.pair(name, "identity").publicKey),
          by: "Ada",
        })),
      }),
      "make-transport": () => ({ transport: TRANSPORT }),
      trust: () => {
        const made = this.#madeAt(station);
        const bytes = transportBytes(TRANSPORT);
        const trusted = this.#destinations(made);
        return {
          trusted: trusted.map((site) => ({ site, fingerprint: sha256HexOf(bytes) })),
          carriers: this.#destinations(made.filter(({ spec }) => ROLES[spec.role].type === "ec-p256")),
          compared: trusted.map((member) => ({ member, words: fingerprintWords(bytes), by: "Bela" })),
        };
      },
      "make-originals": () => ({ keys: this.#originals(station).map(({ name }) => name) }),
      export: () => ({
        packages: this.#madeAt(station).flatMap((key) =>
          holdersOf(shapeOf(this.plan), key).map((to) => ({
            fleet: this.plan.fleet,
            key: key.spec.name,
            to,
            oaepHash: "sha256" as const,
            oaep: "0a".repeat(384),
            nonce: this.#nonce,
            proof: this.#proof(key.spec.name),
          })),
        ),
      }),
      import: () => ({ keys: this.#held(station).map(({ name }) => name) }),
      challenge: () => ({
        nonce: this.#nonce,
        witness: "a ship in the harbour",
        points: this.#questionsBy(({ point }) => toHex(point)),
        commitments: this.#questionsBy(({ scalar }) => sha256HexOf(scalar)),
      }),
      prove: () => ({
        keys: this.#held(station).map(({ name }) => ({ key: name, proof: this.#proof(name) })),
        originals: this.#originals(station).map(({ name }) => ({ key: name, proof: this.#proof(name) })),
        possession: {
          session: this.#answer(station, "session"),
          ake: this.#answer(station, "ake"),
        },
      }),
      compare: () => ({
        equal: fleetKeys(shapeOf(this.plan))
          .map(({ spec, holders }) => ({
            key: spec.name,
            holders: this.#answering()
              .filter(({ seat }) => holders.includes(seat))
              .map(({ name }) => name),
          }))
          .filter(({ holders }) => holders.length > 0),
        scalars: this.#questionsBy(({ scalar }) => toHex(scalar)),
      }),
      "destroy-originals": () => ({
        destroyed: this.#originals(station).map((spec) => originalOf(spec).label),
      }),
      "remove-transport": () => ({ removed: [transportKey(this.plan.fleet).label] }),
      "remove-trusted": () => {
        const made = this.#madeAt(station);
        const carried = made.filter(({ spec }) => ROLES[spec.role].type === "ec-p256");
        return {
          removed: [
            ...this.#destinations(made).map((name) => trustedLabel(this.plan.fleet, name)),
            ...this.#destinations(carried).map((name) => carrierLabel(this.plan.fleet, name)),
          ],
        };
      },
      verify: () => ({
        keys: this.#specs(station).map((spec) => ({
          name: spec.name,
          label: spec.label,
          parts: this.#parts(station, spec),
        })),
        refusals: this.#specs(station).map(({ name }) => ({
          key: name,
          wrap: "CKR_KEY_UNEXTRACTABLE",
          reveal: "CKR_ATTRIBUTE_SENSITIVE",
          reopen: "CKR_ACTION_PROHIBITED",
          extend: "CKR_ACTION_PROHIBITED",
          copy: "CKR_ACTION_PROHIBITED",
        })),
        inventory: this.#inventory(station, this.#specs(station)),
        publicKeys: {
          identity: toHex(this.keys.pair(station, "identity").publicKey),
          session: toHex(this.keys.pair(station, "session").publicKey),
          ake: toHex(this.keys.ake.publicKey),
        },
      }),
      "seal-credentials": () => {
        const policy = this.plan.credentials;
        if (policy.soPin === "destroy") return { soPin: "destroyed" };
        return {
          soPin: "split",
          quorum: policy.quorum,
          commitment: "1c".repeat(32),
          salt: "5a".repeat(32),
          shares: policy.custodians.map((custodian) => ({ custodian, sha256: this.#proof(custodian) })),
        };
      },
      "destroy-keys": () => ({
        destroyed: this.#specs(station)
          .filter(({ role }) => role !== "identity")
          .map(({ label }) => label),
        inventory: this.#inventory(
          station,
          this.#specs(station).filter(({ role }) => role === "identity"),
        ),
      }),
      manifest: () => ({ sha256: "" }),
      close: () => ({}),
    };
    return output[action]();
  }

  #open(station: string): ActionOutputs["open"] {
    return {
      tool: this.plan.software,
      module: { sha256: "3d".repeat(32), manufacturer: "Paper", description: "Paper", version: "1.0" },
      token: {
        label: station,
        manufacturer: "Paper",
        model: "P1",
        serial: this.#serial(station),
        firmware: "7.1",
      },
      profile: profileOf(this.#token(station).profile).name,
      software: false,
    };
  }

  /** Members that take part. */
  #answering(): readonly Member[] {
    const stations = stepsOf(this.plan).map(({ station }) => station);
    return membersOf(this.plan).filter(({ name }) => stations.includes(name));
  }

  #token(station: string): Member["token"] {
    const member = membersOf(this.plan).find(({ name }) => name === station);
    return member?.token ?? this.plan.root.token;
  }

  #serial(station: string): string {
    return this.#token(station).serial ?? "";
  }

  #isAlone(): boolean {
    return membersOf(this.plan).length === 1;
  }

  #seat(station: string): number {
    return membersOf(this.plan).find(({ name }) => name === station)?.seat ?? 0;
  }

  #specs(station: string): readonly KeySpec[] {
    return keysOfSite(shapeOf(this.plan), this.#seat(station));
  }

  /** Fleet keys that the station holds. */
  #held(station: string): readonly KeySpec[] {
    return fleetKeys(shapeOf(this.plan))
      .filter(({ holders }) => holders.includes(this.#seat(station)))
      .map(({ spec }) => spec);
  }

  #madeAt(station: string): readonly FleetKey[] {
    return fleetKeys(shapeOf(this.plan)).filter(({ origin }) => origin === this.#seat(station));
  }

  #destinations(made: readonly FleetKey[]): readonly string[] {
    return [...new Set(made.flatMap((key) => holdersOf(shapeOf(this.plan), key)))];
  }

  #originals(station: string): readonly KeySpec[] {
    if (!originsOf(this.plan).some(({ name }) => name === station)) return [];
    return fleetKeys(shapeOf(this.plan))
      .filter(({ origin }) => origin === this.#seat(station))
      .map(({ spec }) => spec);
  }

  #proof(name: string): string {
    return sha256HexOf(Buffer.from(`${this.#nonce} ${name}`));
  }

  #answer(station: string, key: "session" | "ake"): string {
    const pair = key === "ake" ? this.keys.ake : this.keys.pair(station, key);
    return product(pair, this.#questions.get(`${station}/${key}`)?.point ?? new Uint8Array());
  }

  #questionsBy(pick: (question: Question) => string): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#questions].map(([name, question]) => [name, pick(question)]));
  }

  #objects(station: string, spec: KeySpec): readonly Template[] {
    const support = attributeSupport(profileOf(this.#token(station).profile));
    const stage = !this.#isAlone() && ROLES[spec.role].life === "sealed" ? "sealed-later" : "sealed";
    const templates = keyTemplates(spec, stage, support);
    return templates.kind === "secret"
      ? [templates.secret.expect]
      : [templates.private.expect, templates.public.expect];
  }

  #parts(station: string, spec: KeySpec): readonly PartText[] {
    return this.#objects(station, spec).map((template) => ({
      class: showAttribute("CLASS", template.CLASS),
      attributes: Object.fromEntries(
        attributeEntries(template).map(([name, value]) => [
          name,
          value instanceof Uint8Array ? toHex(value) : value,
        ]),
      ),
    }));
  }

  #inventory(station: string, specs: readonly KeySpec[]): readonly InventoryItem[] {
    return specs.flatMap((spec) =>
      this.#objects(station, spec).map(({ CLASS, KEY_TYPE }) => ({
        label: spec.label,
        class: showAttribute("CLASS", CLASS),
        keyType: showAttribute("KEY_TYPE", KEY_TYPE),
        id: toHex(keyId(spec.label)),
      })),
    );
  }
}
