/**
 * The auditor's public files and its page. What never changes may be kept for ever by whoever has it (C2SP tlog-tiles
 * asks for that); what says how far the log is, never. Evidence was written by strangers: a browser that opens a file of
 * it may do nothing with it.
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import express, { type RequestHandler, type Response } from "express";
import { CHANGING_FILES, CHECKPOINT_FILE } from "../auditor/places.ts";

const FOR_EVER = "public, max-age=31536000, immutable";
const ASK_EACH_TIME = "public, no-cache";

/** The page, as `npm run build` puts it together: two folders up from here is the package. */
export const WEB_DIR: string = fileURLToPath(new URL("../../dist/web/", import.meta.url));

/** Only the page's own scripts and styles, no other host, no frame around it. */
export const PAGE_POLICY: Readonly<Record<string, readonly string[]>> = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  connectSrc: ["'self'"],
  imgSrc: ["'self'", "data:"],
  baseUri: ["'none'"],
  formAction: ["'none'"],
  frameAncestors: ["'none'"],
};

function contentType(path: string): string {
  if (path.includes("/evidence/") && path.includes("/files/")) return "application/octet-stream";
  if (basename(path) === CHECKPOINT_FILE) return "text/plain; charset=utf-8";
  return path.endsWith(".json") ? "application/json" : "application/octet-stream";
}

function logHeaders(response: Response, path: string): void {
  response.setHeader("content-type", contentType(path));
  response.setHeader("cache-control", CHANGING_FILES.includes(basename(path)) ? ASK_EACH_TIME : FOR_EVER);
  response.setHeader("content-security-policy", "sandbox; default-src 'none'");
}

/** @param dir `public/log` of the data directory */
export function logFiles(dir: string): RequestHandler {
  return express.static(dir, { index: false, redirect: false, cacheControl: false, setHeaders: logHeaders });
}

/** The page; undefined where it was not built. */
export function pageFiles(dir: string = WEB_DIR): RequestHandler | undefined {
  if (!existsSync(dir)) return undefined;
  return express.static(dir, {
    redirect: false,
    cacheControl: false,
    setHeaders: (response) => response.setHeader("cache-control", ASK_EACH_TIME),
  });
}
