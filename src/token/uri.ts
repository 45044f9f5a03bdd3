/**
 * PKCS#11 URIs (RFC 7512) that name tokens and objects. Path attributes match, query attributes configure.
 *
 * Two deliberate omissions: `slot-*`, because a slot number changes when a device is plugged in elsewhere and
 * the wrong token would be written to; and `pin-value`, because a URI ends up in argv, files and logs.
 */
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";

/** RFC 7512 §2.3 `type`. */
type UriObjectType = "cert" | "data" | "private" | "public" | "secret-key";

/** A parsed URI; an absent field does not restrict anything. */
export interface TokenUri {
  /** CKA_LABEL of the token, without its blank padding. */
  readonly token?: string;
  readonly manufacturer?: string;
  readonly serial?: string;
  readonly model?: string;
  /** CKA_LABEL of an object. */
  readonly object?: string;
  readonly type?: UriObjectType;
  /** CKA_ID of an object. */
  readonly id?: Uint8Array;
  /** Absolute path of the PKCS#11 module. */
  readonly modulePath?: string;
  /** Where the PIN is: a `file:` URI or an absolute path. Never the PIN itself. */
  readonly pinSource?: string;
  /**
   * Vendor attribute `x-library-parameters`: the string that C_Initialize hands to modules which take one
   * (NSS softokn), without which they have no token at all.
   */
  readonly libraryParameters?: string;
}

/** What C_GetTokenInfo says of a token, without padding. */
export interface TokenIdentity {
  readonly label: string;
  readonly manufacturer: string;
  readonly serial: string;
  readonly model: string;
}

interface UriAttribute {
  readonly name: string;
  readonly field: keyof TokenUri;
  readonly part: "path" | "query";
  /** Bytes that CK_TOKEN_INFO has for it: a longer value could never match. */
  readonly maxBytes?: number;
}

const ATTRIBUTES: readonly UriAttribute[] = [
  { name: "token", field: "token", part: "path", maxBytes: 32 },
  { name: "manufacturer", field: "manufacturer", part: "path", maxBytes: 32 },
  { name: "serial", field: "serial", part: "path", maxBytes: 16 },
  { name: "model", field: "model", part: "path", maxBytes: 16 },
  { name: "object", field: "object", part: "path" },
  { name: "type", field: "type", part: "path" },
  { name: "id", field: "id", part: "path" },
  { name: "module-path", field: "modulePath", part: "query" },
  { name: "pin-source", field: "pinSource", part: "query" },
  { name: "x-library-parameters", field: "libraryParameters", part: "query" },
];

/** Attributes of the RFC that are refused, and what to write instead. */
const REFUSED: Readonly<Record<string, string>> = {
  "slot-id": "slot numbers move; name the token by token= or serial=",
  "slot-description": "slots move; name the token by token= or serial=",
  "slot-manufacturer": "slots move; name the token by token= or serial=",
  "library-manufacturer": "name the module by module-path=",
  "library-description": "name the module by module-path=",
  "library-version": "name the module by module-path=",
  "module-name":
    "a bare name is searched for by rules that differ per host; give module-path= with an absolute path",
  "pin-value":
    "a PIN in a URI ends up in logs; put it into a file of mode 0600 and use pin-source=file:/path",
};

const OBJECT_TYPES: readonly UriObjectType[] = ["cert", "data", "private", "public", "secret-key"];
const isObjectType = (text: string): text is UriObjectType => OBJECT_TYPES.some((type) => type === text);

/** RFC 7512 §2.3: pk11-path-res-avail and pk11-query-res-avail with the unreserved characters of RFC 3986. */
const ALLOWED = {
  path: /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*$/,
  query: /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*$/,
} as const;

function invalid(message: string, hint: string): StrongroomError {
  return new StrongroomError("uri-invalid", `PKCS#11 URI: ${message}`, { hint });
}

function percentDecode(text: string, name: string, part: "path" | "query"): Uint8Array {
  if (!ALLOWED[part].test(text))
    throw invalid(
      `${name} has a character that must be percent-encoded`,
      "write a space as %20, a semicolon as %3B, a percent sign as %25",
    );
  const out: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const encoded = text[i] === "%";
    out.push(encoded ? Number.parseInt(text.slice(i + 1, i + 3), 16) : text.charCodeAt(i));
    if (encoded) i += 2;
  }
  return Uint8Array.from(out);
}

function decodeText(bytes: Uint8Array, name: string): string {
  let text: string;
  try {
    text = fromUtf8(bytes);
  } catch {
    throw invalid(`${name} is not UTF-8`, "percent-encode the UTF-8 bytes of the text");
  }
  // A C string ends at NUL: the module would see another value than the one that was checked here.
  if (text.includes("\0")) throw invalid(`${name} contains a NUL character`, "remove %00");
  return text;
}

function checkPath(path: string, name: string): string {
  if (path.startsWith("/")) return path;
  throw invalid(`${name} is not an absolute path`, `write ${name}=/absolute/path`);
}

function checkPinSource(source: string): string {
  const path = source.startsWith("file:") ? source.slice(5).replace(/^\/\/(?=\/)/, "") : source;
  // RFC 7512 §2.4 also allows `|command`; running commands named in a URI is refused.
  if (path.startsWith("/") && !path.startsWith("//")) return source;
  throw invalid(
    "pin-source is not a file with an absolute path",
    "write pin-source=file:/absolute/path; the file holds the PIN on its first line",
  );
}

/** One value, decoded and checked. */
function attributeValue(attribute: UriAttribute, raw: string): Partial<TokenUri> {
  const { name, field, part, maxBytes } = attribute;
  const bytes = percentDecode(raw, name, part);
  // An empty value is almost always an unset variable; matching "nothing" would select any token.
  if (bytes.length === 0) throw invalid(`${name} is empty`, `give ${name} a value or leave it out`);
  if (maxBytes !== undefined && bytes.length > maxBytes)
    throw invalid(`${name} is longer than ${maxBytes} bytes`, `no token can have such a ${name}`);
  if (field === "id") return { id: bytes };
  const text = decodeText(bytes, name);
  if (field === "type") {
    if (isObjectType(text)) return { type: text };
    throw invalid(`type is not one of ${OBJECT_TYPES.join(", ")}`, "leave type out to match any object");
  }
  if (field === "modulePath") return { modulePath: checkPath(text, name) };
  if (field === "pinSource") return { pinSource: checkPinSource(text) };
  return { [field]: text };
}

function parsePart(text: string, part: "path" | "query"): Partial<TokenUri> {
  let parsed: Partial<TokenUri> = {};
  for (const pair of text === "" ? [] : text.split(part === "path" ? ";" : "&")) {
    const at = pair.indexOf("=");
    const name = at < 0 ? pair : pair.slice(0, at);
    if (!/^[a-z0-9-]+$/.test(name))
      throw invalid(`an attribute of the ${part} has no proper name`, "write name=value");
    const refusal = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
    if (refusal !== undefined) throw invalid(`${name} is refused`, refusal);
    const attribute = ATTRIBUTES.find((candidate) => candidate.name === name);
    if (!attribute) {
      const known = ATTRIBUTES.filter((candidate) => candidate.part === part).map((known) => known.name);
      throw invalid(`unknown ${part} attribute ${name}`, `known: ${known.join(", ")}`);
    }
    if (attribute.part !== part)
      throw invalid(
        `${name} belongs to the ${attribute.part}`,
        "path attributes are joined by ';', query attributes follow '?' and are joined by '&'",
      );
    if (at < 0) throw invalid(`${name} has no value`, `write ${name}=value`);
    if (Object.hasOwn(parsed, attribute.field)) throw invalid(`${name} occurs twice`, "give it once");
    parsed = { ...parsed, ...attributeValue(attribute, pair.slice(at + 1)) };
  }
  return parsed;
}

/** @throws uri-invalid; the message never repeats a value */
export function parseTokenUri(text: string): TokenUri {
  if (!text.startsWith("pkcs11:"))
    throw invalid(
      "it does not start with 'pkcs11:'",
      "e.g. 'pkcs11:token=site-a?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/strongroom/pin'",
    );
  const rest = text.slice("pkcs11:".length);
  const at = rest.indexOf("?");
  return {
    ...parsePart(at < 0 ? rest : rest.slice(0, at), "path"),
    ...parsePart(at < 0 ? "" : rest.slice(at + 1), "query"),
  };
}

function percentEncode(value: string | Uint8Array, part: "path" | "query"): string {
  // An id is bytes, not text: RFC 7512 §2.3 has every byte of it encoded.
  const plain =
    typeof value !== "string" ? /(?!)/ : part === "path" ? /[A-Za-z0-9\-._~:]/ : /[A-Za-z0-9\-._~:/]/;
  let out = "";
  for (const byte of typeof value === "string" ? utf8(value) : value) {
    const char = String.fromCharCode(byte);
    out += plain.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

function formatPart(uri: TokenUri, part: "path" | "query"): string {
  return ATTRIBUTES.filter((attribute) => attribute.part === part)
    .flatMap(({ name, field }) => {
      const value = uri[field];
      // Some tokens have no serial number: an attribute without a value is none.
      return value === undefined || value === "" ? [] : [`${name}=${percentEncode(value, part)}`];
    })
    .join(part === "path" ? ";" : "&");
}

/** The canonical text; `parseTokenUri` gives the same URI back. It names the PIN's file, never reads it. */
export function formatTokenUri(uri: TokenUri): string {
  const query = formatPart(uri, "query");
  return `pkcs11:${formatPart(uri, "path")}${query === "" ? "" : `?${query}`}`;
}

/** The part that says which token or object is meant: for logs and messages. */
export function describeTokenUri(uri: TokenUri): string {
  return `pkcs11:${formatPart(uri, "path")}`;
}

/** Does the token have every attribute that the URI names? */
export function matchesToken(uri: TokenUri, token: TokenIdentity): boolean {
  return (
    (uri.token === undefined || uri.token === token.label) &&
    (uri.manufacturer === undefined || uri.manufacturer === token.manufacturer) &&
    (uri.serial === undefined || uri.serial === token.serial) &&
    (uri.model === undefined || uri.model === token.model)
  );
}
