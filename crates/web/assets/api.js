// Requests to the node, as API.md has them: who asks (the bearer), and what a refusal becomes.

const KEPT = "thorp-bearer";

/** A refusal, or a node that cannot be reached. Its message is for the user. */
export class Refusal extends Error {
  constructor(status, code, message, wait) {
    super(message);
    this.name = "Refusal";
    this.status = status;
    this.code = code;
    this.wait = wait;
  }

  /** Whether the page has to be opened anew. */
  get isShut() {
    return this.status === 401;
  }
}

const SAID = {
  "no-bearer": "This page has been closed from the other side. Run `thorp page` again.",
  "bad-code": "This link was used before, or is older than a minute. Run `thorp page` again.",
  "too-many": "Too much is going on at once. Try again in a moment.",
  "too-soon": "The village was asked a moment ago.",
  "not-now": "That cannot be done now.",
  "not-found": "That is not there any more.",
  stopping: "The node is ending.",
};

/** Exchanges the code of a link for a bearer, which this tab keeps. */
export async function enter(code) {
  const { bearer } = await post("door", { code });
  sessionStorage.setItem(KEPT, bearer);
}

export function hasBearer() {
  return sessionStorage.getItem(KEPT) !== null;
}

export const get = (path, signal) => call("GET", path, undefined, signal);
export const post = (path, body, signal) => call("POST", path, body ?? {}, signal);

/** Returns pages of the snapshot, all from the same moment. */
export async function pages(...asks) {
  return (await post("pages", { asks })).pages;
}

/** Sends a request and returns the response, whose body has not been read. */
export async function request(method, path, body, signal) {
  const headers = {};
  const bearer = sessionStorage.getItem(KEPT);
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    // Nothing but the bearer says who asks; and where that has ended, a browser asks for no password.
    response = await fetch(`/api/${path}`, { method, headers, body: sent, signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "unreachable", "The node cannot be reached: it has ended, or is restarting.");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function call(method, path, body, signal) {
  return (await request(method, path, body, signal)).json();
}

async function refusal(response) {
  const { error = {} } = await response.json().catch(() => ({}));
  const message = error.message ?? SAID[error.code] ?? `The node has refused that (${response.status}).`;
  return new Refusal(response.status, error.code, message, error.wait);
}
