// The users' API over HTTP. Knows how a request proves who asks: a token, or the cookie and its CSRF token.

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

  page({ filter, after, limit = 30 }) {
    const query = new URLSearchParams({ filter, limit });
    if (after) query.set("after", after);
    return this.#ask(`/api/v1/inbox?${query}`);
  }

  // `mark` is seen, read, unread, archive or unarchive; `which` is {ids: […]} or {all: true, filter}.
  mark(mark, which) {
    return this.#ask(`/api/v1/inbox/${mark}`, { method: "POST", body: JSON.stringify(which) });
  }

  absolute(path) {
    return new URL(path, this.base).href;
  }

  async #ask(path, options = {}) {
    const headers = { Accept: "application/json" };
    if (options.body) headers["Content-Type"] = "application/json";
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    else if (options.method) headers["X-CSRFToken"] = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
    const answer = await fetch(this.base + path, { ...options, headers, credentials: this.token ? "omit" : "same-origin" });
    if (!answer.ok) throw new Refused(answer.status);
    return answer.json();
  }
}
