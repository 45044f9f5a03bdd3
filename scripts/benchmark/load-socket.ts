/**
 * HTTP/1.1 as a load generator needs it: a POST on a connection that is kept, answered before the next one goes
 * out. Node's own client costs half as much again as the server that is being measured.
 */
import { createConnection, type Socket } from "node:net";

interface Answer {
  readonly status: number;
  readonly body: Uint8Array;
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

class Connection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;

  constructor(url: URL) {
    this.#socket = createConnection({ host: url.hostname, port: Number(url.port), noDelay: true });
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    const fail = (error?: Error): void =>
      this.#waiting?.reject(error ?? new Error("the service closed the connection"));
    this.#socket.on("error", fail).on("close", () => fail());
  }

  send(request: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const end = this.#received.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = this.#received.toString("latin1", 0, end);
    const length = Number(/\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.NaN);
    const body = this.#received.subarray(end + 4);
    if (body.length < length) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#received = Buffer.alloc(0);
    if (body.length !== length) waiting?.reject(new Error("the service sent more than an answer"));
    else waiting?.resolve({ status: Number(head.slice(9, 12)), body: new Uint8Array(body) });
  }
}

export interface Poster {
  /** @throws Error for a lost connection */
  post(body: Uint8Array): Promise<Answer>;
  close(): void;
}

/** More requests at once wait for a connection. */
const CONNECTIONS = 64;

/** Opens connections as they are needed. */
export function createPoster(url: URL, contentType: string): Poster {
  const idle: Connection[] = [];
  const all: Connection[] = [];
  const waiting: ((connection: Connection) => void)[] = [];
  const head = `POST ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: ${contentType}\r\ncontent-length: `;
  const connect = (): Connection => {
    const connection = new Connection(url);
    all.push(connection);
    return connection;
  };
  const free = (): Promise<Connection> => {
    const connection = idle.pop() ?? (all.length < CONNECTIONS ? connect() : undefined);
    return connection ? Promise.resolve(connection) : new Promise((resolve) => waiting.push(resolve));
  };
  return {
    async post(body) {
      const connection = await free();
      const request = Buffer.concat([Buffer.from(`${head}${body.length}\r\n\r\n`, "latin1"), body]);
      let usable: Connection | undefined;
      try {
        const answer = await connection.send(request);
        usable = connection;
        return answer;
      } finally {
        if (!usable) all.splice(all.indexOf(connection), 1);
        const next = waiting.shift();
        if (next) next(usable ?? connect());
        else if (usable) idle.push(usable);
      }
    },
    close() {
      for (const connection of all) connection.close();
    },
  };
}
