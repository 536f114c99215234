// Inbox: one person's notifications in a page or an app, by their token. Without a connection of its own: what is drawn
// live comes from <notifier-inbox> or createFeed (docs/embedding.md), and both can have the same token.

import { Calls, segment } from "./calls.js";
import { Transport } from "./transport.js";

const PATH = "/api/v1/inbox";

export class Inbox extends Calls {
  // `token`: a text, or a function that gets one from your server. That is called again when the token is refused.
  constructor({ url, token, ...options }) {
    const isRenewable = typeof token === "function";
    let kept = isRenewable ? null : Promise.resolve(token); // whoever comes meanwhile waits for the same one
    const got = () =>
      Promise.resolve()
        .then(token)
        .catch((error) => {
          kept = null;
          throw error;
        });
    const renew = async (refused) => {
      const before = kept;
      if (isRenewable && before && `Bearer ${await before}` === refused && kept === before) kept = null;
      return isRenewable;
    };
    super(new Transport(url, { ...options, authorization: async () => `Bearer ${await (kept ??= got())}`, renew }));
  }

  // A page: {data, next, unread, unseen, seq}. `filter`: all, unread, snoozed or archived.
  list({ filter, category, q, after, limit } = {}, { signal } = {}) {
    return this.call("GET", PATH, undefined, { query: { filter, category, q, after, limit }, signal });
  }

  // All items, page by page.
  items({ filter, category, q } = {}, options) {
    return this.pages(PATH, { filter, category, q }, options);
  }

  changes(since, { signal } = {}) {
    return this.call("GET", `${PATH}/changes`, undefined, { query: { since }, signal });
  }

  // Each takes ids, or `{all: true}` with a filter, and answers with the counts and `changed_ids`.
  read(which) {
    return this.#mark("read", which);
  }

  unread(which) {
    return this.#mark("unread", which);
  }

  archive(which) {
    return this.#mark("archive", which);
  }

  unarchive(which) {
    return this.#mark("unarchive", which);
  }

  // `until`: a Date; null brings them back.
  snooze(which, until) {
    return this.#mark("snooze", which, { until: until?.toISOString() ?? null });
  }

  // Everything in view, or the ids given.
  seen(ids) {
    return this.call("POST", `${PATH}/seen`, ids ? { ids } : {}, { repeatable: true });
  }

  why(id, { language } = {}) {
    return this.call("GET", `${PATH}/${segment(id)}/why`, undefined, { query: { language } });
  }

  preferences() {
    return this.call("GET", `${PATH}/preferences`);
  }

  choose(choice) {
    return this.call("POST", `${PATH}/preferences`, choice, { repeatable: true });
  }

  #mark(mark, which, more = {}) {
    const body = { ...(Array.isArray(which) ? { ids: which } : which), ...more };
    return this.call("POST", `${PATH}/${mark}`, body, { repeatable: true });
  }
}
