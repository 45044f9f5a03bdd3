/** The style of evidence reports for a shadow tree: what is the page's there is the host's here. */
import { REPORT_STYLE } from "../ceremony/report-style.ts";

export const REPORT_CSS: string = REPORT_STYLE.replaceAll(":root", ":host").replaceAll(
  /(?<=^|[}\s])body(?= \{)/gm,
  ".body",
);
