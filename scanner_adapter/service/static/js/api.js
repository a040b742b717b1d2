// Requests to the service. An answer that is no success becomes an ApiError with one sentence.

export class ApiError extends Error {
  /** @param status HTTP status, 0 = the service did not answer */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const TIMEOUT_MS = 15_000;

async function request(method, path, body) {
  const options = {
    method,
    credentials: "same-origin",
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ApiError(0, "The service does not answer.");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  throw new ApiError(response.status, await sentence(response));
}

// Errors come as problem+json (RFC 9457); a proxy in between may answer in any other way.
async function sentence(response) {
  try {
    const problem = await response.json();
    if (typeof problem.detail === "string") return problem.detail;
    if (typeof problem.title === "string") return problem.title;
  } catch {
    // no JSON: the status has to do
  }
  return `The service answered with status ${response.status}.`;
}

export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body);
export const put = (path) => request("PUT", path);
export const remove = (path) => request("DELETE", path);

const part = encodeURIComponent;
const ruleset = (name) => `api/v1/rulesets/${part(name)}`;
const scan = ({ ruleset: name, scan_id }) => `${ruleset(name)}/scans/${part(scan_id)}`;

/** Addresses; a scan is given by anything that has `ruleset` and `scan_id`. */
export const paths = {
  rulesets: "api/v1/rulesets",
  scans: (name, limit) => `${ruleset(name)}/scans?limit=${limit}`,
  scan,
  comparison: (name) => `${ruleset(name)}/comparison`,
  results: (of, after) =>
    `${scan(of)}/results?limit=500${after === null ? "" : `&after=${part(after)}`}`,
  csv: (of) => `${scan(of)}/results.csv`,
  events: (of) => `${scan(of)}/events`,
  stop: (of) => `${scan(of)}/stop`,
  /** @param what "pins" or "exclusions" */
  control: (of, what, symbol) => `${scan(of)}/${what}/${part(symbol)}`,
  symbolInScan: (of, symbol) => `${scan(of)}/symbols/${part(symbol)}`,
  symbol: (of, symbol) => `${ruleset(of.ruleset)}/symbols/${part(symbol)}`,
  scanners: "api/v1/scanners",
  start: (scanner) => `api/v1/scanners/${part(scanner)}/scans`,
  login: "login",
  logout: "logout",
};
