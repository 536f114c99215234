// Broadcasts: one notification for a whole audience. The key needs the scope `broadcast`.

import { Calls, askUntil, segment } from "./calls.js";
import { newKey } from "./web-crypto.js";

const PATH = "/api/v1/broadcasts";

export class Broadcasts extends Calls {
  async create(broadcast, { idempotencyKey, signal } = {}) {
    return this.call("POST", PATH, broadcast, { idempotencyKey: idempotencyKey ?? (await newKey()), signal });
  }

  get(id, options) {
    return this.call("GET", `${PATH}/${segment(id)}`, undefined, options);
  }

  list({ status } = {}, options) {
    return this.pages(PATH, { status }, options);
  }

  recipients(id, { status, channel } = {}, options) {
    return this.pages(`${PATH}/${segment(id)}/recipients`, { status, channel }, options);
  }

  pause(id) {
    return this.#change(id, "pause", true);
  }

  resume(id) {
    return this.#change(id, "resume", true);
  }

  cancel(id) {
    return this.#change(id, "cancel", true);
  }

  // Sends what has failed again, and what is `unknown`, which may have arrived.
  retryFailed(id) {
    return this.#change(id, "retry-failed", false);
  }

  // Until it is finished, cancelled or paused.
  wait(id, { timeoutMs = 600_000, signal } = {}) {
    const isOver = ({ status }) => !["scheduled", "running"].includes(status);
    return askUntil(() => this.get(id, { signal }), isOver, timeoutMs, signal);
  }

  #change(id, change, repeatable) {
    return this.call("POST", `${PATH}/${segment(id)}/${change}`, undefined, { repeatable });
  }
}
