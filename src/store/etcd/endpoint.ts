/**
 * One member of a cluster as a caller sees it: unary calls over TLS with a deadline, so many at once and no more.
 *
 * gRPC's own retries are off: a transaction is sent again only by who knows what that means (cluster.ts,
 * etcd-store.ts). What remains is HTTP/2's guarantee for streams that a server refused unseen.
 */
import { isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  connectivityState,
  credentials,
  Metadata,
  status,
  type VerifyOptions,
} from "@grpc/grpc-js";
import { type Answer, failureOf, notConnected, notSent } from "./answer.ts";
import { STATUS } from "./messages.ts";

/** Beyond this many calls on one connection some starve until their deadline. */
const CALLS_PER_CHANNEL = 64;
/** Calls that may wait for a place; more are turned away, since they would only time out. */
const WAITING_PER_CHANNEL = 1024;

const OPTIONS: ChannelOptions = {
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  // Members are named in the configuration; a proxy from the environment has no business between.
  "grpc.enable_http_proxy": 0,
  // Each channel is a connection of its own; otherwise channels to one member would share one.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 250,
  "grpc.max_reconnect_backoff_ms": 1000,
  // Finds connections that died without a word. etcd allows pings every 5 s, and only while calls are under way.
  "grpc.keepalive_time_ms": 6000,
  "grpc.keepalive_timeout_ms": 2000,
  "grpc.keepalive_permit_without_calls": 0,
  "grpc.max_send_message_length": 2 * 2 ** 20,
  "grpc.max_receive_message_length": 32 * 2 ** 20,
};

/** gRPC waits for ever for a member that takes the connection and then says nothing: a host that froze or lost power. */
const HANDSHAKE_MS = 5_000;

/**
 * Certificates are renewed while the service runs, and a connection may outlive them: each new one takes what there is by
 * then. A pair that is just being replaced does not fit; then the one before it is tried once more.
 */
function connecting(read: () => ChannelCredentials): ChannelCredentials {
  const secure = read();
  const first = secure._createSecureConnector.bind(secure);
  let create = first;
  secure._createSecureConnector = (...args) => {
    const connector = first(...args);
    connector.connect = async (socket) => {
      try {
        const newest = read();
        create = newest._createSecureConnector.bind(newest);
      } catch {}
      const late = new AbortController();
      const silent = sleep(HANDSHAKE_MS, undefined, { ref: false, signal: late.signal }).then(() => {
        throw new Error("no TLS handshake in time");
      });
      try {
        return await Promise.race([create(...args).connect(socket), silent]);
      } finally {
        silent.catch(() => undefined);
        late.abort();
      }
    };
    return connector;
  };
  return secure;
}

/** Without it a member that has lost its leader lets the caller wait for seconds; with it, it says so at once. */
function withLeader(): Metadata {
  const metadata = new Metadata();
  metadata.set("hasleader", "true");
  return metadata;
}

/** PEM: the members' authority, the client's certificate and its key. */
export interface TlsIdentity {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** @throws what `read` throws; Error if certificate and key are not that */
function newClient(url: URL, read: () => TlsIdentity): Client {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const secure = (verify?: VerifyOptions): ChannelCredentials =>
    connecting(() => {
      const { ca, cert, key } = read();
      return credentials.createSsl(ca, key, cert, verify);
    });
  if (isIP(host) === 0) return new Client(url.host, secure(), OPTIONS);
  // TLS knows no server names that are addresses (RFC 6066 §3), so the name asked for is a placeholder; what the
  // certificate is checked for is the address.
  const verify = {
    checkServerIdentity: (_: string, peer: PeerCertificate) => checkServerIdentity(host, peer),
  };
  return new Client(url.host, secure(verify), {
    ...OPTIONS,
    "grpc.ssl_target_name_override": "etcd-member",
  });
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
const asBytes = (buffer: Buffer): Uint8Array =>
  new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);

interface Channel {
  readonly client: Client;
  inFlight: number;
}

export class Endpoint {
  /** `host:port`. */
  readonly address: string;
  readonly #channels: readonly Channel[];
  readonly #waiting: ((channel: Channel | undefined) => void)[] = [];
  #closed = false;

  /**
   * @param url `https://host:port`
   * @param tls read anew for each connection
   * @throws what `tls` throws; Error if certificate and key are not that
   */
  constructor(url: string, tls: () => TlsIdentity, channels: number) {
    this.address = new URL(url).host;
    this.#channels = Array.from({ length: channels }, () => ({
      client: newClient(new URL(url), tls),
      inFlight: 0,
    }));
  }

  /**
   * Makes one call, once. Never throws.
   *
   * @param timeoutMs for all of it: waiting for a place, connecting, and the call
   * @param leader    false: ask the member itself, whether or not it has a leader
   */
  async call(method: string, request: Uint8Array, timeoutMs: number, leader = true): Promise<Answer> {
    const deadline = performance.now() + timeoutMs;
    const channel = await this.#take(timeoutMs);
    if (channel === undefined)
      return { ok: false, failure: notSent(this.#closed ? "closed" : "too many calls at once") };
    try {
      const reason = await this.#connect(channel.client, deadline);
      if (reason !== undefined) return { ok: false, failure: notConnected(reason) };
      return await this.#send(channel.client, method, request, deadline, leader);
    } finally {
      this.#release(channel);
    }
  }

  close(): void {
    this.#closed = true;
    for (const wake of this.#waiting.splice(0)) wake(undefined);
    for (const { client } of this.#channels) client.close();
  }

  /** A channel with a free place, the emptiest; undefined if none became free in time. */
  async #take(timeoutMs: number): Promise<Channel | undefined> {
    if (this.#closed) return undefined;
    const free = this.#channels.reduce((best, one) => (one.inFlight < best.inFlight ? one : best));
    if (free.inFlight < CALLS_PER_CHANNEL) {
      free.inFlight++;
      return free;
    }
    if (this.#waiting.length >= WAITING_PER_CHANNEL * this.#channels.length) return undefined;
    return new Promise((resolve) => {
      const wake = (channel: Channel | undefined): void => {
        clearTimeout(timer);
        resolve(channel);
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(wake), 1);
        resolve(undefined);
      }, timeoutMs);
      this.#waiting.push(wake);
    });
  }

  #release(channel: Channel): void {
    const next = this.#waiting.shift();
    if (next === undefined) channel.inFlight--;
    else next(channel);
  }

  /**
   * Waits until the channel is connected, so that a call that fails afterwards may have been sent, and one that
   * fails here certainly was not. Returns why it is not connected.
   */
  async #connect(client: Client, deadline: number): Promise<string | undefined> {
    for (;;) {
      const channel = client.getChannel();
      let state: connectivityState;
      try {
        state = channel.getConnectivityState(true);
      } catch {
        return "closed";
      }
      if (state === connectivityState.READY) return undefined;
      if (state === connectivityState.SHUTDOWN) return "closed";
      if (state === connectivityState.TRANSIENT_FAILURE) {
        // The channel does not say why; a call that changes nothing does.
        const answer = await this.#send(client, STATUS, new Uint8Array(), deadline, false);
        if (!answer.ok) return answer.failure.message;
        continue;
      }
      const left = deadline - performance.now();
      const changed =
        left > 0 &&
        (await new Promise<boolean>((resolve) => {
          channel.watchConnectivityState(state, Date.now() + left, (error) => resolve(error === undefined));
        }));
      if (!changed) return "no connection in time";
    }
  }

  #send(
    client: Client,
    method: string,
    request: Uint8Array,
    deadline: number,
    leader: boolean,
  ): Promise<Answer> {
    return new Promise((resolve) => {
      client.makeUnaryRequest(
        method,
        asBuffer,
        asBytes,
        request,
        leader ? withLeader() : new Metadata(),
        { deadline: Date.now() + Math.max(0, deadline - performance.now()) },
        (error, message) => {
          if (message !== undefined && error === null) resolve({ ok: true, message });
          else
            resolve({
              ok: false,
              failure: failureOf(error?.code ?? status.UNKNOWN, error?.details ?? "no answer"),
            });
        },
      );
    });
  }
}
