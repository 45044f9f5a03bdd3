export { makeFolder, moveFolder, writeDurably } from "../base/node/durable-file.ts";
