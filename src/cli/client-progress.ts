/** How far along, how fast, how long still: one line that rewrites itself on a terminal, and nothing elsewhere. */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const REFRESH_MS = 200;
/** The rate is that of the last few seconds, so that it follows a disk that slows down. */
const WINDOW_MS = 5_000;

/** Decimal units, as disks are sold: `1.2 GB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `0:42`, `12:07`, `3:05:00`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** `0.3 s` for what hardly took time, then as `formatDuration`. */
export function formatElapsed(seconds: number): string {
  return seconds < 10 ? `${seconds.toFixed(1)} s` : formatDuration(seconds);
}

/** @param rate bytes per second, 0 where it is not known yet */
export function progressLine(doing: string, bytes: number, total: number | undefined, rate: number): string {
  const parts = [
    doing,
    total === undefined ? formatBytes(bytes) : `${formatBytes(bytes)} of ${formatBytes(total)}`,
  ];
  if (total !== undefined && total > 0) parts.push(`${Math.min(100, Math.floor((bytes / total) * 100))}%`);
  if (rate > 0) parts.push(`${formatBytes(rate)}/s`);
  if (total !== undefined && rate > 0 && bytes < total)
    parts.push(`${formatDuration((total - bytes) / rate)} left`);
  return parts.join("  ");
}

export interface ProgressLine {
  /** Bytes so far. */
  update(bytes: number): void;
  /** Takes the line away. */
  clear(): void;
}

export function showProgress(doing: string, total: number | undefined): ProgressLine {
  const screen = process.stderr;
  if (!screen.isTTY) return { update: () => undefined, clear: () => undefined };
  let shownAt = 0;
  let points = [{ at: Date.now(), bytes: 0 }];
  return {
    update(bytes) {
      const now = Date.now();
      if (now - shownAt < REFRESH_MS) return;
      shownAt = now;
      points = [...points.filter(({ at }) => now - at < WINDOW_MS), { at: now, bytes }];
      const first = points[0] ?? { at: now, bytes };
      const rate = now > first.at ? ((bytes - first.bytes) * 1000) / (now - first.at) : 0;
      screen.write(`\r\u001b[2K${progressLine(doing, bytes, total, rate)}`);
    },
    clear: () => {
      screen.write("\r\u001b[2K");
    },
  };
}
