/** The express application of a witness: add-checkpoint of C2SP tlog-witness, and what its operators see. */
import type { RequestListener } from "node:http";
import type { Response } from "express";
import type { Witness, WitnessAnswer } from "../auditor/witness.ts";
import { fromUtf8 } from "../base/bytes.ts";
import { MAX_ADD_CHECKPOINT_CHARACTERS, SIZE_TYPE } from "../merkle/add-checkpoint.ts";
import { readBody } from "./body.ts";
import { addSigningPages, type SigningAppOptions } from "./operations-pages.ts";
import { answerError, limited, newApp, noSuchPage, page, wrongMethod } from "./pages.ts";

interface WitnessAppOptions extends SigningAppOptions {
  readonly witness: Pick<Witness, "addCheckpoint">;
}

/** UTF-8 has at most three bytes for what is one character here. */
const MAX_BODY_BYTES = 3 * MAX_ADD_CHECKPOINT_CHARACTERS;

function send(response: Response, answer: WitnessAnswer): void {
  response.set("cache-control", "no-store");
  if (answer.status === 200) response.status(200).type("text/plain; charset=utf-8").end(answer.cosignatures);
  else if (answer.status === 409) {
    // Node's own: express would add a charset to a type that has none.
    response.setHeader("content-type", SIZE_TYPE);
    response.status(409).end(`${answer.size}\n`);
  } else response.status(answer.status).type("text/plain; charset=utf-8").end(`${answer.problem}\n`);
}

export function createWitnessApp(options: WitnessAppOptions): RequestListener {
  const { witness, admit, count } = options;
  const app = newApp();
  app.use("/add-checkpoint", page("witness", options), limited(options));
  app
    .route("/add-checkpoint")
    .post(async (request, response) => {
      admit();
      count(1);
      try {
        const body = await readBody(request, MAX_BODY_BYTES);
        send(response, await witness.addCheckpoint(fromUtf8(body)));
      } finally {
        count(-1);
      }
    })
    .all(wrongMethod("POST"));
  addSigningPages(app, options);
  app.use(noSuchPage);
  app.use(answerError);
  return app;
}
