/** A member that takes the connection and says nothing, as a host does that froze. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { authority, certificate } from "../../scripts/lib/etcd-certificates.ts";
import { Endpoint } from "../../src/store/etcd/endpoint.ts";
import { STATUS } from "../../src/store/etcd/messages.ts";

test("is given up in time, and its connection with it", async () => {
  const dir = mkdtempSync(join(tmpdir(), "strongroom-endpoint-"));
  const client = await certificate(dir, "client", await authority(dir, "ca"), { commonName: "vault" }, [
    "clientAuth",
  ]);
  let given: (socket: Socket) => void = () => undefined;
  const accepted = new Promise<Socket>((resolve) => {
    given = resolve;
  });
  const silent = createServer((socket) => given(socket.on("error", () => undefined).resume()));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  const read = (file: string): Buffer => readFileSync(file);
  const identity = { ca: read(client.ca), cert: read(client.cert), key: read(client.key) };
  const endpoint = new Endpoint(`https://127.0.0.1:${port}`, () => identity, 1);
  try {
    expect(await endpoint.call(STATUS, new Uint8Array(), 500, false)).toMatchObject({ ok: false });
    endpoint.close();
    const socket = await accepted;
    // Otherwise it would stay open for ever, and keep the process.
    await new Promise((resolve) => socket.once("close", resolve));
  } finally {
    silent.close();
    rmSync(dir, { recursive: true });
  }
}, 15_000);
