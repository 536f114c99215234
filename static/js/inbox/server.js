// The users' API over HTTP. Knows how a request proves who asks: a token, or the cookie and its CSRF token.

export const MAX_IDS = 1000; // in one mark
const LATE_MS = 30_000; // an answer that is not there by then was lost on its way

export class Refused extends Error {
  constructor(status) {
    super(`the server answered ${status}`);
    this.status = status;
  }
}

export class Server {
  constructor(base, token) {
    this.base = new URL(base || "/", location.href).origin;
    this.token = token || null;
  }

  // In a page of somebody else's, where the person need not be signed in with us.
  get isEmbedded() {
    return this.token !== null || this.base !== location.origin;
  }

  // → {title, description, language, sentences}; `locale`: for a person whose own the server does not know.
  why(id, locale) {
    return this.#ask(`/api/v1/inbox/${encodeURIComponent(id)}/why${asked(locale)}`);
  }

  // `view` is {filter, category, q} of a list; what is empty is left out.
  page(view, { after, limit }) {
    const query = new URLSearchParams({ ...filled(view), limit });
    if (after) query.set("after", after);
    return this.#ask(`/api/v1/inbox?${query}`);
  }

  // What reaches the person, as switches: `locale` of the types' titles.
  choices(locale) {
    return this.#ask(`/api/v1/inbox/preferences${asked(locale)}`);
  }

  // `choice` is {switch}, {quiet_hours}, {mute_until} or {undo}. → the switches as they stand then, with `undo`.
  choose(choice, locale) {
    return this.#ask(`/api/v1/inbox/preferences${asked(locale)}`, { method: "POST", body: JSON.stringify(choice) });
  }

  // `mark` is seen, read, unread, archive, unarchive or snooze; `which` is {ids: […]}, {ids, until} or {all: true, …view}.
  mark(mark, which) {
    return this.#ask(`/api/v1/inbox/${mark}`, { method: "POST", body: JSON.stringify(which) });
  }

  async #ask(path, options = {}) {
    const headers = { Accept: "application/json" };
    if (options.body) headers["Content-Type"] = "application/json";
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    else if (options.method) headers["X-CSRFToken"] = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
    // A mark outlives the page: who follows an item's link has read the item.
    const keepalive = Boolean(options.body);
    const answer = await fetch(this.base + path, { ...options, headers, keepalive, credentials: this.token ? "omit" : "same-origin", signal: AbortSignal.timeout(LATE_MS) });
    if (!answer.ok) throw new Refused(answer.status);
    return answer.json();
  }
}

function asked(locale) {
  return locale ? `?${new URLSearchParams({ language: locale })}` : "";
}

export function filled(view) {
  return Object.fromEntries(Object.entries(view).filter(([, value]) => value));
}
