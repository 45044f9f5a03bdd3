/** Puts a plan into the directory of its ceremony: its bytes as they are, once. */
import { resolve } from "node:path";
import { equal } from "../base/bytes.ts";
import { StrongroomError } from "../base/errors.ts";
import { CeremonyFolder } from "./ceremony-folder.ts";
import { checkPlan } from "./plan-check.ts";
import type { PlanFile } from "./plan-file.ts";
import { readPlan } from "./read-plan.ts";

/**
 * @param path of the plan
 * @returns the plan, which can work
 * @throws plan-invalid where it cannot, or where the directory is that of another one; file-failed
 */
export function placePlan(path: string, dir: string): PlanFile {
  const file = readPlan(path);
  checkPlan(file.plan);
  const folder = new CeremonyFolder(resolve(dir));
  const there = folder.read("plan.yaml");
  if (!there) folder.publish("plan.yaml", file.bytes);
  else if (!equal(there, file.bytes))
    throw new StrongroomError("plan-invalid", `${dir} is the directory of another plan`, {
      hint: "a plan that was changed is another plan: approve it, and give an empty directory",
    });
  return file;
}
