/**
 * The PKCS#11 functions that Strongroom calls, as the native binding has them. Beside the binding itself two things
 * have this form: what writes calls down on their way to it (call-record.ts), and the token of a dry run, which is
 * made of paper (paper-token.ts).
 */
import { createRequire } from "node:module";
import type { AttributeList, Handle, Mechanism } from "./module.ts";

interface Version {
  readonly major: number;
  readonly minor: number;
}

/** A failed call throws; `ckrOf` in ckr.ts reads the return code from what is thrown. */
export interface Binding {
  C_Initialize(options?: { flags?: number; libraryParameters?: string }): void;
  C_Finalize(): void;
  C_GetInfo(): {
    readonly manufacturerID: string;
    readonly libraryDescription: string;
    readonly libraryVersion: Version;
    readonly cryptokiVersion: Version;
  };
  C_GetSlotList(tokenPresent?: boolean): Handle[];
  C_GetTokenInfo(slot: Handle): {
    readonly label: string;
    readonly manufacturerID: string;
    readonly model: string;
    readonly serialNumber: string;
    readonly flags: number;
    readonly firmwareVersion: Version;
  };
  C_GetMechanismList(slot: Handle): number[];
  C_GetMechanismInfo(
    slot: Handle,
    mechanism: number,
  ): { readonly minKeySize: number; readonly maxKeySize: number; readonly flags: number };

  C_InitToken(slot: Handle, pin: string, label: string): string;
  C_InitPIN(session: Handle, pin: string): void;
  C_SetPIN(session: Handle, oldPin: string, newPin: string): void;
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_GetSessionInfo(session: Handle): { readonly state: number };
  C_Login(session: Handle, userType: number, pin: string): void;
  C_Logout(session: Handle): void;

  C_FindObjectsInit(session: Handle, template: AttributeList): void;
  C_FindObjects(session: Handle, max: number): Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    asked: { type: number }[],
  ): { type: number; value: Buffer }[];
  C_SetAttributeValue(session: Handle, object: Handle, template: AttributeList): void;
  C_CreateObject(session: Handle, template: AttributeList): Handle;
  C_CopyObject(session: Handle, object: Handle, template: AttributeList): Handle;
  C_DestroyObject(session: Handle, object: Handle): void;

  C_GenerateKey(session: Handle, mechanism: Mechanism, template: AttributeList): Handle;
  C_GenerateKeyPair(
    session: Handle,
    mechanism: Mechanism,
    publicTemplate: AttributeList,
    privateTemplate: AttributeList,
  ): { publicKey: Handle; privateKey: Handle };
  C_DeriveKey(session: Handle, mechanism: Mechanism, base: Handle, template: AttributeList): Handle;
  C_WrapKey(session: Handle, mechanism: Mechanism, wrapping: Handle, key: Handle, room: Buffer): Buffer;
  C_UnwrapKey(
    session: Handle,
    mechanism: Mechanism,
    unwrapping: Handle,
    wrapped: Buffer,
    template: AttributeList,
  ): Handle;
  C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Sign(session: Handle, data: Buffer, room: Buffer): Buffer;
  C_EncryptInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Encrypt(session: Handle, data: Buffer, room: Buffer): Buffer;
  C_GenerateRandom(session: Handle, room: Buffer): Buffer;
}

/**
 * The native binding with the library at `path`. It is loaded when it is first needed, so that what works without a
 * token works without native code.
 */
export function loadBinding(path: string): Binding {
  const { PKCS11 } = createRequire(import.meta.url)("pkcs11js") as typeof import("pkcs11js");
  const binding = new PKCS11();
  binding.load(path);
  return binding;
}
