// The items one view holds, newest first: what was loaded of a filter, kept up to date by the feed. No DOM.

const PAGE = 30;
const MAX_PAGE = 200; // the server's limit
const MAX_KEPT = 1000; // as far as a return to the page goes

const FITS = {
  all: (item, q) => !item.archived_at && (!item.snoozed_until || q),
  unread: (item) => !item.archived_at && !item.snoozed_until && !item.read_at,
  snoozed: (item) => !item.archived_at && Boolean(item.snoozed_until),
  archived: (item) => Boolean(item.archived_at),
};

export class List {
  items = [];
  state = "loading"; // loading, ready, failed
  #server;
  #next = null;
  #generation = 0;
  #isLoadingMore = false;

  // `view`: {filter, category, q}, as the server understands them; no category and no q mean any.
  constructor(server, view) {
    this.#server = server;
    this.view = view;
  }

  get hasMore() {
    return this.#next !== null;
  }

  get ids() {
    return this.items.map((item) => item.id);
  }

  find(id) {
    return this.items.find((item) => item.id === id);
  }

  // The first page, and as many as it takes for `atLeast` items. → the answer, or null when another load overtook this
  // one. Throws what fetch throws.
  async load(atLeast = 0) {
    const generation = ++this.#generation;
    if (this.items.length === 0 || this.state === "failed") this.state = "loading";
    try {
      const answer = await this.#server.page(this.view, { limit: Math.max(PAGE, Math.min(atLeast, MAX_PAGE)) });
      if (generation !== this.#generation) return null;
      this.items = answer.data;
      this.#next = answer.next;
      while (this.hasMore && this.items.length < Math.min(atLeast, MAX_KEPT)) if (!(await this.more())) return null;
      this.state = "ready";
      return answer;
    } catch (error) {
      if (generation !== this.#generation) return null;
      this.state = "failed"; // what was there stays, and may be old
      throw error;
    }
  }

  // The next page. → the answer, its `added` being the items that were not there yet; null when there is nothing to do.
  async more() {
    if (this.#isLoadingMore || !this.hasMore) return null;
    const generation = this.#generation;
    this.#isLoadingMore = true;
    try {
      const answer = await this.#server.page(this.view, { after: this.#next, limit: PAGE });
      if (generation !== this.#generation) return null;
      this.#next = answer.next;
      const known = new Set(this.items.map((item) => item.id));
      const added = answer.data.filter((item) => !known.has(item.id));
      this.items.push(...added);
      return { ...answer, added };
    } finally {
      this.#isLoadingMore = false;
    }
  }

  // Takes changed items in, out, or over. → the ids of those that were not in view before.
  apply(changed) {
    const entered = [];
    for (const item of changed) {
      const place = this.items.findIndex((other) => other.id === item.id);
      if (!this.#fits(item)) {
        if (place >= 0) this.items.splice(place, 1);
      } else if (place >= 0) {
        this.items[place] = item;
      } else if (this.#isInLoadedPart(item)) {
        const before = this.items.findIndex((other) => isNewer(item, other));
        this.items.splice(before < 0 ? this.items.length : before, 0, item);
        entered.push(item.id);
      }
    }
    return entered;
  }

  // As the server's filter would judge it. One that another has taken the place of is in no list.
  #fits(item) {
    const { filter, category, q } = this.view;
    if (item.replaced_by || !FITS[filter](item, q) || (category && item.category !== category)) return false;
    return !q || `${item.title}\n${item.body}`.toLowerCase().includes(q.toLowerCase());
  }

  // An older item than the last one loaded comes with its own page.
  #isInLoadedPart(item) {
    return !this.hasMore || this.items.length === 0 || isNewer(item, this.items.at(-1));
  }
}

function isNewer(item, other) {
  return item.created_at > other.created_at || (item.created_at === other.created_at && item.id > other.id);
}
