// Client: sending, and asking what became of it. It has a key, so it belongs on a server.

import { Broadcasts } from "./broadcasts.js";
import { Calls, askUntil, segment } from "./calls.js";
import { NotifierError, Problem } from "./errors.js";
import { Transport, accessToken } from "./transport.js";
import { newKey } from "./web-crypto.js";

export const MOST_IN_BULK = 1_000; // items of a call, as the OpenAPI document says
const MOST_BYTES = 1 << 20; // of a body
const UNDER_WAY = ["waiting", "queued", "sending"];

export class Client extends Calls {
  #transport;

  // `key`, or `clientId`, `clientSecret` and, for fewer rights, `scope`: then an access token is got, kept and renewed
  // (OAuth 2). A try may take `timeoutMs`; a call is tried again after 429, 503 and broken connections until
  // `patienceMs` have passed.
  constructor({ url, key, clientId, clientSecret, scope, ...options }) {
    if (Boolean(key) === Boolean(clientId && clientSecret)) {
      throw new TypeError("give either key, or clientId and clientSecret");
    }
    const authorized = key
      ? { authorization: () => `Bearer ${key}` }
      : accessToken({ clientId, clientSecret, scope }, (...call) => transport.call(...call));
    const transport = new Transport(url, { ...options, ...authorized });
    super(transport);
    this.#transport = transport;
    this.broadcasts = new Broadcasts(transport);
  }

  // Notifies up to 1,000 people of one event. Without `idempotencyKey` it gets one, so that its tries store it once.
  async send(submission, { idempotencyKey, signal } = {}) {
    const once = idempotencyKey ?? submission.idempotency_key ?? (await newKey());
    return this.call("POST", "/api/v1/notifications", submission, { idempotencyKey: once, signal });
  }

  // What `send` would do, and why, for up to 100 people. Nothing is stored or sent.
  async preview(submission, { signal } = {}) {
    const query = { dry_run: true };
    const answer = await this.call("POST", "/api/v1/notifications", submission, { query, repeatable: true, signal });
    return answer.notifications;
  }

  // Sends any number of events in as few calls as the API allows. A bad item affects no other. `items`: an iterable,
  // also an asynchronous one; `chunk`: items of a call at most, for keys whose rate limit is lower. If one of the calls
  // fails, those before it are carried out: do it again with the same items and the error's `idempotencyKey`.
  async sendMany(items, { idempotencyKey, chunk = MOST_IN_BULK, signal } = {}) {
    const key = idempotencyKey ?? (await newKey());
    const results = [];
    let number = 0;
    try {
      for await (const part of chunks(items, chunk)) {
        const body = `{"notifications":[${part.join(",")}]}`;
        const once = `${key}:${number}`;
        const { text } = await this.#transport.call("POST", "/api/v1/notifications/bulk", { body, once, signal });
        const before = results.length;
        results.push(...JSON.parse(text).results.map((one) => resultOf(one, before)));
        number += 1;
      }
    } catch (error) {
      if (error instanceof NotifierError) error.idempotencyKey = key;
      throw error;
    }
    return results;
  }

  // With its deliveries, attempts, receipts, and why it was decided so (scope `read`).
  notification(id, options) {
    return this.call("GET", `/api/v1/notifications/${segment(id)}`, undefined, options);
  }

  // All, newest first. `user`, `type`, `status`, `channel`: one value, or several separated by commas.
  notifications({ user, type, status, channel } = {}, options) {
    return this.pages("/api/v1/notifications", { user, type, status, channel, limit: 200 }, options);
  }

  // What of a notification has not gone out; a Problem with the code `nothing_to_cancel` where nothing is left.
  cancel(id) {
    return this.call("POST", `/api/v1/notifications/${segment(id)}/cancel`);
  }

  submission(id, options) {
    return this.call("GET", `/api/v1/submissions/${segment(id)}`, undefined, options);
  }

  // Until all of a submission has gone out, or will not. Quiet hours can take long.
  wait(id, { timeoutMs = 60_000, signal } = {}) {
    return askUntil(() => this.submission(id, { signal }), isOver, timeoutMs, signal);
  }

  // What became of messages, oldest first, from the cursor `after` on. `types`: such as `delivery.*`. `follow` goes on
  // for ever; then each call waits up to 20 seconds for the next, or `waitS` (at most 30).
  async *events({ after = null, types, waitS = 0, follow = false, signal } = {}) {
    const wait = waitS || (follow ? 20 : 0);
    for (;;) {
      const { text, headers } = await this.#transport.call("GET", "/api/v1/events", {
        query: { after, types, limit: 1_000 },
        headers: { Accept: "application/x-ndjson", ...(wait ? { Prefer: `wait=${wait}` } : {}) },
        longestWaitMs: wait * 1000,
        signal,
      });
      for (const line of text.split("\n")) if (line) yield JSON.parse(line);
      const following = nextAfter(headers);
      if (!follow && (following === null || following === after)) return;
      after = following ?? after;
    }
  }

  // Creates a person, or replaces the whole profile: what is left out is cleared (scope `users`).
  putUser(id, fields) {
    return this.call("PUT", `/api/v1/users/${segment(id)}`, fields);
  }

  // A token with which a page shows this person's inbox (docs/embedding.md; scope `users`).
  userToken(id, { expiresIn = 3600 } = {}) {
    return this.call("POST", `/api/v1/users/${segment(id)}/token`, { expires_in: expiresIn }, { repeatable: true });
  }
}

// The items as JSON, so many as one call takes: the same ones each time, since its idempotency key counts them.
export async function* chunks(items, most) {
  const encoder = new TextEncoder();
  let part = [];
  let size = 0;
  for await (const item of items) {
    const text = JSON.stringify(item);
    const bytes = encoder.encode(text).length;
    if (part.length && (part.length >= Math.min(most, MOST_IN_BULK) || size + bytes + 64 > MOST_BYTES)) {
      yield part;
      part = [];
      size = 0;
    }
    part.push(text);
    size += bytes + 1;
  }
  if (part.length) yield part;
}

function resultOf({ index, id = null, notifications = null, error }, before) {
  const problem = error ? new Problem(error.status, error, { at: `/notifications/${index}` }) : null;
  return { index: before + index, id, notifications, error: problem };
}

function isOver({ status, notifications }) {
  if (notifications === null || status === "expanding") return false;
  return notifications.every(({ deliveries }) => deliveries.every((delivery) => !UNDER_WAY.includes(delivery.status)));
}

// From the `Link` header, which leads on even where nothing was found.
function nextAfter(headers) {
  const target = /^<([^>]*)>/.exec(headers.get("Link") ?? "")?.[1];
  return target ? new URL(target, "http://x").searchParams.get("after") : null;
}
