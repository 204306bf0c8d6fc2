// Numbers and times as people read them, in the language of whoever looks.

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

export const count = (value) => whole.format(value ?? 0);
export const brief = (value) => (value >= 100000 ? short.format(value) : whole.format(value ?? 0));
export const percent = (share) => (share === null || share === undefined ? "–" : `${(share * 100).toFixed(share < 1 && share > 0.99 ? 2 : 1).replace(/\.0+$/, "")} %`);
export const onDay = (text) => day.format(new Date(`${text}T00:00:00Z`));
export const at = (text) => (text ? moment.format(new Date(text)) : "–");

export function ago(text) {
  if (!text) return "never";
  const seconds = (new Date(text) - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]])
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  return relative.format(Math.round(seconds), "second");
}

export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let place = 0;
  let left = value ?? 0;
  while (left >= 1024 && place < units.length - 1) {
    left /= 1024;
    place += 1;
  }
  return `${left.toFixed(place && left < 10 ? 1 : 0)} ${units[place]}`;
}

/** `INCREMENTAL_SYNC` → `incremental sync`, `birthDate` → `birth date`. */
export const plain = (name) => String(name ?? "").replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll("_", " ").toLowerCase();
export const several = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
