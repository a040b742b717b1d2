// Numbers, times and sentences as the page shows them.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTH = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const CLOCK_S = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export const NONE = "–";

/** True for a number; the service writes null where there is none. */
export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** 1471 -> "1,471"; graded rewards give counts with a fraction, worth one decimal while small. */
export function count(value) {
  if (!isNumber(value)) return NONE;
  return (Math.abs(value) < 100 ? TENTH : WHOLE).format(value);
}

export function whole(value) {
  return isNumber(value) ? WHOLE.format(value) : NONE;
}

/** 0.934 -> "93%"; close to the ends a whole percent would say "all" or "none" too early. */
export function percent(share) {
  if (!isNumber(share)) return NONE;
  if (share > 0 && share < 0.0005) return "<0.1%";
  const isNearEnd = (share > 0.99 && share < 1) || (share > 0 && share < 0.01);
  let text = (100 * share).toFixed(isNearEnd ? 1 : 0);
  if (text === "100.0") text = "99.9";
  return `${text}%`;
}

/** 1.234 -> "+1.23", with a true minus. */
export function signed(value, digits = 2) {
  if (!isNumber(value)) return NONE;
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : "+") + text;
}

export function decimal(value, digits = 2) {
  return isNumber(value) ? value.toFixed(digits).replace("-", "−") : NONE;
}

/** Seconds as people say them: "under 1 s", "42 s", "3 min 5 s", "2 h 10 min". */
export function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  if (seconds < 1) return "under 1 s";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 10) return s % 60 ? `${min} min ${s % 60} s` : `${min} min`;
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 48) return min % 60 ? `${h} h ${min % 60} min` : `${h} h`;
  return `${Math.round(h / 24)} days`;
}

export function clock(epochSeconds) {
  return isNumber(epochSeconds) ? CLOCK.format(1000 * epochSeconds) : NONE;
}

export function clockWithSeconds(epochSeconds) {
  return isNumber(epochSeconds) ? CLOCK_S.format(1000 * epochSeconds) : NONE;
}

/** "18:03" today, "22 Nov 18:03" on any other day. */
export function moment(epochSeconds, now = Date.now() / 1000) {
  if (!isNumber(epochSeconds)) return NONE;
  const day = DAY.format(1000 * epochSeconds);
  return (day === DAY.format(1000 * now) ? "" : `${day} `) + clock(epochSeconds);
}

/** What stopping now would miss: "about 3 of 41 high-value symbols (95% interval: 0 to 7)". */
export function missed(estimate) {
  const total = Math.round(estimate.hits_found + estimate.hits_remaining);
  const left = Math.round(estimate.hits_remaining);
  const level = percent(estimate.confidence);
  const range = `${whole(estimate.remaining_low)} to ${whole(estimate.remaining_high)}`;
  const what = left === 0 ? "probably none" : `about ${whole(left)}`;
  return `${what} of ${whole(total)} high-value symbols (${level} interval: ${range})`;
}
