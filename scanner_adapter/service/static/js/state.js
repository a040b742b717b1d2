// What the page knows of one scan, and how an event changes it. Pure: no clock, no page.
//
// Every status event carries the whole state of the scan, so that a page that missed some is right
// again with the next one, and nothing here grows with the length of a scan.

/**
 * Seconds without a word of a running scan after which the page says so. Scanners send a status
 * every few seconds even without news.
 */
export const SILENT_AFTER_S = 45;

export const START = Object.freeze({
  scan: null, // what the service says of the scan, without the two below
  status: null, // the scanner's own note; null = it publishes none
  control: Object.freeze({ stop: null, pin: [], exclude: [], boost: {} }), // what operators asked for
  isClosed: false, // the scan has ended
  lostSince: null, // the service does not answer since then, epoch seconds
  storeAwaySince: null, // the service is there, its store is not
  heardAt: null, // when the newest status arrived, by this page's clock
});

/** Return the state after an event of the stream, arriving at `now` (epoch seconds). */
export function received(state, type, data, now) {
  switch (type) {
    case "status":
      return withScan(state, data, now);
    case "closed":
      return { ...state, isClosed: true };
    case "disconnected":
      return { ...state, storeAwaySince: data.since ?? now };
    default:
      return state; // results: the next status shows them
  }
}

function withScan(state, { status, control, ...scan }, now) {
  // After a reconnection to another service an older note can come after a newer one.
  const isOlder = state.status !== null && status && status.updated_at < state.status.updated_at;
  const isNews = status?.updated_at !== state.status?.updated_at;
  return {
    ...state,
    scan,
    status: isOlder ? state.status : status,
    control,
    isClosed: state.isClosed || scan.is_closed || status?.state === "done",
    storeAwaySince: null,
    heardAt: isNews || state.heardAt === null ? now : state.heardAt,
  };
}

export function connected(state, isConnected, now) {
  return { ...state, lostSince: isConnected ? null : (state.lostSince ?? now) };
}

/** Since when (epoch seconds) a scan that should be running has said nothing, or null. */
export function silentSince(state, now) {
  const isExpected = !state.isClosed && state.lostSince === null && state.storeAwaySince === null;
  if (!isExpected || state.heardAt === null) return null;
  return now - state.heardAt > SILENT_AFTER_S ? state.heardAt : null;
}
