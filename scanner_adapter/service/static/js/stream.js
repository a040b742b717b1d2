// One scan's events. EventSource reconnects by itself after a broken connection and asks for what
// came after the last event's id; what it does not survive (an answer that is no success, such as
// 503 while the service starts, or 401 after a log-out) is handled here.

const EVENTS = ["status", "results", "closed", "disconnected"];
const RETRY_MS = [1000, 2000, 4000, 8000, 15_000];

/**
 * Watch a scan until it ends or until `close()`.
 *
 * @param path address of the stream
 * @param probe asks for the scan without a stream, to learn why the stream was refused; throws an
 *   ApiError
 * @param on callbacks: `event(type, data)`, `connection(isOpen)`, `refused(error)`
 */
export function openStream(path, probe, on) {
  let source = null;
  let timer = null;
  let failures = 0;
  let isClosed = false;

  function connect() {
    timer = null;
    source = new EventSource(path);
    source.addEventListener("open", () => {
      failures = 0;
      on.connection(true);
    });
    source.addEventListener("error", lost);
    for (const type of EVENTS) source.addEventListener(type, receive);
  }

  function receive(event) {
    let data;
    try {
      data = JSON.parse(event.data);
    } catch {
      console.warn(`an event of type ${event.type} is not JSON and was ignored`);
      return;
    }
    on.event(event.type, data);
    // The service ends the stream now; EventSource would take that for a broken connection.
    if (event.type === "closed") close();
  }

  async function lost() {
    on.connection(false);
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    source.close();
    try {
      const scan = await probe();
      if (isClosed) return;
      on.event("status", scan);
      // A stream of a scan that has ended is refused for ever (204).
      if (scan.is_closed) {
        on.connection(true);
        return;
      }
    } catch (error) {
      if (isClosed) return;
      if (error.status >= 400 && error.status < 500 && error.status !== 429) {
        on.refused(error);
        return;
      }
    }
    const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
    failures += 1;
    // Spread over time, so that 200 pages do not fall upon a service that has just come back.
    timer = setTimeout(connect, wait * (0.75 + Math.random() / 2));
  }

  function close() {
    isClosed = true;
    clearTimeout(timer);
    source.close();
  }

  connect();
  return { close };
}
