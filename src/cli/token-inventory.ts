/** `strongroom token inventory`: every object on a token, and whether it should be there. */
import { Command } from "commander";
import { toHex } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { type Classified, classify, type Missing } from "../keys/classify.ts";
import { readManifest } from "../keys/manifest-file.ts";
import { type MemberKeys, memberKeys } from "../keys/member-keys.ts";
import { attributeSupport } from "../keys/provision.ts";
import { vaultKeys } from "../keys/roles.ts";
import { type AttributeName, attributeEntries, showAttribute, type Template } from "../token/attributes.ts";
import { listObjects } from "../token/inventory.ts";
import { dim, green, printJson, red, say, table } from "./terminal.ts";
import { chooseToken, openChosen, profileOption, type TokenOptions, uriOption } from "./token-options.ts";

interface InventoryOptions extends TokenOptions {
  readonly uri: string;
  readonly fleet?: readonly string[];
  readonly manifest?: string;
  readonly site?: string;
  readonly json?: boolean;
}

const USES: readonly AttributeName[] = ["ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "WRAP", "UNWRAP", "DERIVE"];
const show = (attributes: Template, name: AttributeName): string =>
  attributes[name] === undefined ? "" : showAttribute(name, attributes[name]);

/** What stands between the object and a copy of it; what is unusual is in capitals. */
function protection(attributes: Template): string {
  const { SENSITIVE, EXTRACTABLE, LOCAL, MODIFIABLE, COPYABLE, PRIVATE, TRUSTED } = attributes;
  const secret = SENSITIVE !== undefined || EXTRACTABLE !== undefined;
  return [
    ...(secret ? [SENSITIVE === true ? "sensitive" : red("NOT SENSITIVE")] : []),
    ...(secret ? [EXTRACTABLE === false ? "not extractable" : red("EXTRACTABLE")] : []),
    ...(secret && PRIVATE !== true ? [red("NOT PRIVATE")] : []),
    ...(LOCAL === false ? ["made elsewhere"] : []),
    ...(MODIFIABLE === true ? ["modifiable"] : []),
    ...(COPYABLE === true ? ["copyable"] : []),
    ...(TRUSTED === true ? [red("TRUSTED")] : []),
  ].join(", ");
}

const STATUS: Readonly<Record<Classified["status"], (text: string) => string>> = {
  expected: green,
  drift: red,
  duplicate: red,
  unexpected: red,
};

function row({ object, status, drift }: Classified, withStatus: boolean): string[] {
  const { attributes, label } = object;
  const { ID } = attributes;
  return [
    show(attributes, "CLASS"),
    show(attributes, "KEY_TYPE"),
    label === "" ? dim("(no label)") : label,
    ID instanceof Uint8Array ? toHex(ID.subarray(0, 4)) : "",
    USES.filter((use) => attributes[use] === true)
      .join(" ")
      .toLowerCase(),
    protection(attributes),
    ...(withStatus
      ? [STATUS[status](drift.length > 0 ? `${status}: ${drift.map((d) => d.attribute).join(", ")}` : status)]
      : []),
  ];
}

/** The keys that belong on the token: of fleets of one by name, of a site of a larger fleet by its manifest. */
async function belonging({ fleet = [], manifest, site }: InventoryOptions): Promise<MemberKeys> {
  const alone = fleet.flatMap((name) => vaultKeys(name, [0]));
  if (manifest === undefined) return { keys: alone, stage: () => "sealed" };
  const read = await readManifest(manifest);
  if (!read) throw new StrongroomError("usage", `there is no manifest ${manifest}`);
  const member = memberKeys(read, site);
  return {
    keys: [...alone, ...member.keys],
    stage: (key) => (alone.includes(key) ? "sealed" : member.stage(key)),
  };
}

async function inventory(options: InventoryOptions): Promise<void> {
  const { keys, stage } = await belonging(options);
  const token = chooseToken(options);
  const { session, profile } = await openChosen(token);
  try {
    const objects = listObjects(session);
    const fleets = options.fleet ?? [];
    const { classified, missing } = classify(objects, keys, attributeSupport(profile), stage);
    const { label, serial } = session.info();
    const judged = keys.length > 0;
    if (options.json)
      printJson({
        token: { label, serial },
        profile: profile.name,
        fleets,
        objects: classified.map(({ object, status, drift }) => ({
          label: object.label,
          ...(judged ? { status, drift: drift.map(({ attribute }) => attribute) } : {}),
          attributes: Object.fromEntries(
            attributeEntries(object.attributes).map(([name, value]) => [
              name,
              typeof value === "boolean" ? value : showAttribute(name, value),
            ]),
          ),
        })),
        ...(judged ? { missing } : {}),
      });
    else {
      const heading = ["class", "type", "label", "id", "use", "protection", ...(judged ? ["status"] : [])];
      const rows = classified.map((one) => row(one, judged));
      const absent = missing.map((one) => [one.class, "", one.label, "", "", "", red("missing")]);
      process.stdout.write(`${table(heading, [...rows, ...absent])}\n`);
    }
    say(`token ${label}, serial ${serial}: ${objects.length} objects`);
    if (judged) judge(classified, missing);
  } finally {
    session.close();
  }
}

/** @throws key-drift, key-missing */
function judge(classified: readonly Classified[], missing: readonly Missing[]): void {
  const count = (...statuses: readonly Classified["status"][]): number =>
    classified.filter(({ status }) => statuses.includes(status)).length;
  const [unexpected, wrong] = [count("unexpected"), count("drift", "duplicate")];
  if (unexpected + wrong > 0)
    throw new StrongroomError(
      "key-drift",
      `${unexpected} objects unexpected, ${wrong} not as they should be, ${missing.length} missing`,
      {
        hint: "name every fleet of the token by --fleet or --manifest; what still is unexpected, somebody else put there",
        details: { unexpected, wrong, missing: missing.length },
      },
    );
  if (missing.length > 0)
    throw new StrongroomError("key-missing", `${missing.length} objects are missing`, {
      hint: "strongroom token provision makes what is missing",
    });
}

export function inventoryCommand(): Command {
  return new Command("inventory")
    .description("every object on a token, and whether it should be there")
    .addOption(uriOption().makeOptionMandatory())
    .addOption(profileOption())
    .option("--fleet <name...>", "fleets whose keys belong there; everything else is flagged")
    .option(
      "--manifest <file>",
      "the manifest of the fleet whose keys belong there, for a fleet of several sites",
    )
    .option("--site <name>", "the site of that fleet whose token it is")
    .option("--json", "for machines, on stdout, with all attributes")
    .action(inventory);
}
