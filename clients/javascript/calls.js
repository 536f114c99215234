// What several calls share: JSON in and out, the pages of a list, waiting for an end.

import { pause } from "./transport.js";

export class Calls {
  #transport;

  constructor(transport) {
    this.#transport = transport;
  }

  // Any call of the API: `call("GET", "/api/v1/types")`. → its JSON; null for an answer without. GET, PUT, DELETE and
  // calls with an idempotency key are tried again whatever breaks, others only if they are `repeatable`, or were
  // certainly not carried out.
  async call(method, path, body, { query, idempotencyKey, repeatable, signal } = {}) {
    const { text } = await this.#transport.call(method, path, {
      body: body === undefined ? undefined : JSON.stringify(body),
      query,
      once: idempotencyKey,
      repeatable,
      signal,
    });
    return text ? JSON.parse(text) : null;
  }

  // All entries of a list, page by page: `for await (const schedule of notifier.pages("/api/v1/schedules"))`.
  async *pages(path, query = {}, { signal } = {}) {
    for (let after = null; ; ) {
      const page = await this.call("GET", path, undefined, { query: { ...query, after }, signal });
      yield* page.data;
      after = page.next ?? null;
      if (after === null) return;
    }
  }
}

// Ids are other people's texts.
export const segment = (text) => encodeURIComponent(text);

// The first answer that is the end. Throws an Error called TimeoutError after `timeoutMs`.
export async function askUntil(ask, isDone, timeoutMs, signal) {
  const giveUpAt = Date.now() + timeoutMs;
  for (let pauseMs = 100; ; pauseMs = Math.min(2_000, pauseMs * 1.5)) {
    const answer = await ask();
    if (isDone(answer)) return answer;
    if (Date.now() + pauseMs > giveUpAt) {
      throw Object.assign(new Error(`it is not finished after ${timeoutMs / 1000} seconds`), { name: "TimeoutError" });
    }
    await pause(pauseMs, signal);
  }
}
