// One call of the API: with a key or a token, tried again while that makes sense and time is left.

import { Problem, Unreachable } from "./errors.js";
import { VERSION } from "./version.js";

const REPEATABLE = ["GET", "PUT", "DELETE"];
const NOT_CARRIED_OUT = [429, 503]; // what the server answers with before it has done anything
const FROM_A_PROXY = [502, 504];
const LONGEST_PAUSE_MS = 5_000;
const RENEWED_BEFORE_MS = 30_000;
const NOT_CONNECTED = /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT/;
const NOT_TRUSTED = /CERT|SIGNED|VERIFY/;
const AGENT = globalThis.process?.versions?.node ? { "User-Agent": `notifier-client/${VERSION} node` } : {};

export class Transport {
  #authorization;
  #fetch;

  // `authorization()` → what is sent as that header; `renew(refused)` → whether it may be another one now.
  constructor(url, { authorization, renew = () => false, timeoutMs = 30_000, patienceMs = 90_000, fetch }) {
    const parts = new URL(url);
    if (!/^https?:$/.test(parts.protocol) || parts.username || parts.password || parts.search) {
      throw new TypeError("the URL of Notifier is needed, such as https://notifier.example");
    }
    this.base = parts.href.replace(/#.*$/, "").replace(/\/+$/, "");
    this.timeoutMs = timeoutMs;
    this.patienceMs = patienceMs;
    this.#authorization = { header: authorization, renew };
    this.#fetch = fetch ?? ((...call) => globalThis.fetch(...call));
  }

  // → {status, headers, text} of a success. `once`: the idempotency key; `body`: text.
  async call(method, path, options = {}) {
    const { body, query = {}, headers = {}, once, repeatable = false, longestWaitMs = 0, signal } = options;
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const search = String(new URLSearchParams(given));
    const url = `${this.base}${path}${search && `?${search}`}`;
    const sent = { Accept: "application/json", ...AGENT, ...headers };
    if (body !== undefined) sent["Content-Type"] ??= "application/json";
    if (once !== undefined) sent["Idempotency-Key"] = once;
    const isRepeatable = repeatable || once !== undefined || REPEATABLE.includes(method);
    try {
      const authorize = !("Authorization" in headers);
      return await this.#untilItSucceeds(method, url, { body, sent, isRepeatable, authorize, longestWaitMs, signal });
    } catch (error) {
      if (error instanceof Problem || error instanceof Unreachable) error.idempotencyKey = once ?? null;
      throw error;
    }
  }

  async #untilItSucceeds(method, url, { body, sent, isRepeatable, authorize, longestWaitMs, signal }) {
    const giveUpAt = Date.now() + this.patienceMs;
    let isRenewed = false;
    for (let tries = 1; ; tries += 1) {
      signal?.throwIfAborted();
      if (authorize) sent.Authorization = await this.#authorization.header();
      let failure;
      let toldMs = 0;
      const answer = await this.#once(method, url, { body, sent, timeoutMs: this.timeoutMs + longestWaitMs, signal });
      if (answer.error) {
        const code = String(answer.error.cause?.code ?? "");
        failure = new Unreachable(`no answer from ${this.base}${code && ` (${code})`}`, { cause: answer.error });
        if (NOT_TRUSTED.test(code) || !(isRepeatable || NOT_CONNECTED.test(code))) throw failure;
      } else {
        if (answer.status >= 200 && answer.status < 300) {
          const kind = answer.headers.get("Content-Type") ?? "no type";
          if (answer.text && !kind.includes("json")) throw new Unreachable(`${this.base} answered with ${kind}: it is not Notifier`);
          return answer;
        }
        toldMs = retryAfterMs(answer.headers);
        failure = new Problem(answer.status, parsed(answer), { retryAfter: toldMs ? toldMs / 1000 : null });
        if (answer.status === 401 && authorize && !isRenewed) {
          isRenewed = await this.#authorization.renew(sent.Authorization);
          if (isRenewed) continue;
        }
        const isBusy = [...NOT_CARRIED_OUT, ...(isRepeatable ? FROM_A_PROXY : [])].includes(answer.status);
        if (!isBusy && failure.code !== "idempotency_in_progress") throw failure; // …: of an earlier try of ours
      }
      // Every client waits a little differently, so that they do not all come back at once
      const pauseMs = toldMs + Math.random() * Math.min(LONGEST_PAUSE_MS, 100 * 2 ** tries);
      if (Date.now() + pauseMs >= giveUpAt) throw failure;
      await pause(pauseMs, signal);
    }
  }

  // → the answer, read to its end, or {error}. Throws only if the caller has ended it.
  async #once(method, url, { body, sent, timeoutMs, signal }) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(new Error("it took too long")), timeoutMs);
    const end = () => stop.abort(signal.reason);
    signal?.addEventListener("abort", end);
    try {
      const options = { method, headers: sent, body, signal: stop.signal, redirect: "manual", credentials: "omit" };
      const answer = await this.#fetch(url, options);
      return { status: answer.status, headers: answer.headers, text: await answer.text() };
    } catch (error) {
      signal?.throwIfAborted();
      return { error };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
    }
  }
}

// The authorization of a client with OAuth 2 credentials: an access token, kept until it is about to end. `call` makes
// the call that gets one.
export function accessToken({ clientId, clientSecret, scope }, call) {
  const pair = [clientId, clientSecret].map(encodeURIComponent).join(":"); // RFC 6749, section 2.3.1
  let kept = null; // a promise of {header, renewAt}: whoever comes meanwhile waits for the same one

  async function got() {
    const askedAt = Date.now();
    const { text } = await call("POST", "/oauth/token", {
      body: `${new URLSearchParams({ grant_type: "client_credentials", ...(scope ? { scope } : {}) })}`,
      headers: { Authorization: `Basic ${btoa(pair)}`, "Content-Type": "application/x-www-form-urlencoded" },
      repeatable: true,
    });
    const issued = JSON.parse(text);
    const livesMs = issued.expires_in * 1000;
    const renewAt = askedAt + Math.max(livesMs / 2, livesMs - RENEWED_BEFORE_MS);
    return { header: `Bearer ${issued.access_token}`, renewAt };
  }

  async function current() {
    const before = kept;
    if (before && Date.now() >= (await before).renewAt && kept === before) kept = null;
    kept ??= got().catch((error) => {
      kept = null;
      throw error;
    });
    return (await kept).header;
  }

  async function renew(refused) {
    const before = kept;
    if (before && (await before).header === refused && kept === before) kept = null;
    return true;
  }

  return { authorization: current, renew };
}

// The body of a refusal; a proxy's is no JSON. Redirects are not followed: they could lead the key astray.
function parsed({ text, headers }) {
  try {
    return Object(JSON.parse(text));
  } catch {
    const location = headers.get("Location");
    return location ? { detail: `redirected to ${location}: give the client that address` } : {};
  }
}

// 0 where there is none, or none that can be read.
function retryAfterMs(headers) {
  const told = headers.get("Retry-After");
  if (!told) return 0;
  const ms = /^\d+$/.test(told.trim()) ? Number(told) * 1000 : Date.parse(told) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
}

export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const end = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, ms);
    signal?.addEventListener("abort", end, { once: true });
  });
}
