/** A fleet's sites as a picture: which must work together, and that none of them can do anything alone. */
import type { Manifest } from "../wire/manifest.ts";
import { s } from "./dom.ts";

const SITE = { width: 116, height: 92, gap: 14 } as const;
const HEAD = 70;
const MARGIN = 10;

const short = (text: string): string => (text.length > 14 ? `${text.slice(0, 13)}…` : text);

/** A closed lock, 22 wide. */
function lock(x: number, y: number): SVGElement {
  return s(
    "g",
    { transform: `translate(${x} ${y})`, class: "lock" },
    s("path", { d: "M5 10V7a6 6 0 0 1 12 0v3", class: "shackle" }),
    s("rect", { x: "2", y: "10", width: "18", height: "13", rx: "3" }),
  );
}

export function fleetPicture({ fleet, sites, policy }: Manifest): SVGSVGElement {
  const width = Math.max(320, 2 * MARGIN + sites.length * (SITE.width + SITE.gap) - SITE.gap);
  const height = HEAD + SITE.height + MARGIN;
  const left = (width - (sites.length * (SITE.width + SITE.gap) - SITE.gap)) / 2;
  const active = sites.filter(({ retired }) => !retired);
  const sentence =
    active.length === 1
      ? "One site guards the keys."
      : `Any ${policy.threshold} of ${active.length} sites together help to recover; fewer learn nothing.`;
  const middle = String(width / 2);
  const drawn = sites.map(({ name, tokenSerial, retired }, i) => {
    const x = left + i * (SITE.width + SITE.gap);
    const centre = String(x + SITE.width / 2);
    return s(
      "g",
      { class: retired ? "site retired" : "site" },
      s("path", { class: "link", d: `M${middle} 46 C ${middle} 62 ${centre} 50 ${centre} ${HEAD}` }),
      s("rect", {
        class: "box",
        x: String(x),
        y: String(HEAD),
        width: String(SITE.width),
        height: String(SITE.height),
        rx: "10",
      }),
      retired ? undefined : lock(x + SITE.width / 2 - 11, HEAD + 10),
      s("text", { x: centre, y: String(HEAD + 56), "text-anchor": "middle", class: "name" }, short(name)),
      s(
        "text",
        { x: centre, y: String(HEAD + 78), "text-anchor": "middle", class: "faint" },
        retired ? "left the fleet" : short(`device ${tokenSerial}`),
      ),
    );
  });
  const picture = s(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width: String(width),
      height: String(height),
      class: "fleet",
      role: "img",
      "aria-label": `${fleet}: ${sentence}`,
    },
    s("rect", { class: "app", x: String(width / 2 - 92), y: "6", width: "184", height: "40", rx: "20" }),
    s("text", { x: middle, y: "31", "text-anchor": "middle" }, "your app and its code"),
    ...drawn,
  );
  // Smaller than that nobody can read it; then it is scrolled.
  picture.style.minWidth = `${0.72 * width}px`;
  return picture;
}

/** The same in words, under the picture. */
export function fleetSentences({ sites, policy }: Manifest): readonly string[] {
  const active = sites.filter(({ retired }) => !retired).length;
  return [
    active === 1
      ? "One site guards the keys, in a device of its own."
      : `The keys are spread over ${active} sites, each in a device of its own. Any ${policy.threshold} of them together can help an app to recover a backup; with fewer, nobody learns anything, not even the operator.`,
    `Whoever tries must know the recovery code: after ${policy.maxAttempts} wrong ones the record is destroyed.`,
  ];
}
