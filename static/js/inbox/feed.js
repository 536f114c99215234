// What one person's inbox says, live: the counts, and which items are new or changed. One feed, one connection,
// shared by all inbox elements of a page that show the same person.
//
// Each change of an item raises the person's `seq` by one. Events are hints: whoever misses one sees the gap and asks
// for everything since; so does a tab that is looked at again. Counts are always the server's. Tells its listeners:
//   counts   unread, unseen are new
//   changed  detail.items are new or changed; detail.arrived is true for those that have just come in, or had while
//            nobody listened
//   reset    too much was missed: read the list again
//   status   this.status is new: connecting, online, offline or unauthorized

import { io } from "socket.io-client";

const feeds = new Map();

export function feedFor(server) {
  const key = `${server.base} ${server.token ?? ""}`;
  if (!feeds.has(key)) feeds.set(key, new Feed(server, () => feeds.delete(key)));
  return feeds.get(key);
}

const OFFLINE_AFTER_MS = 1500; // a blink is not worth a banner
const RETRY_AFTER_MS = 5000;
const EVENT_WITHIN_MS = 2000; // an answer's event that is not there by then was lost

class Feed extends EventTarget {
  status = "connecting";
  unread = 0;
  unseen = 0;
  seq = null; // up to where everything is known; null until the first answer

  #server;
  #forget;
  #socket = null;
  #users = 0;
  #isReset = false;
  #resetAt = 0;
  #isSyncing = false;
  #syncAgainFrom = null;
  #heardMeanwhile = new Map(); // item id → seq of an event that came while a sync was under way
  #arrived = new Set(); // ids of what was told as arrived
  #offlineTimer = null;
  #stop = null;

  constructor(server, forget) {
    super();
    this.#server = server;
    this.#forget = forget;
  }

  join() {
    this.#users += 1;
    if (!this.#socket) this.#connect();
  }

  leave() {
    this.#users -= 1;
    // An element that is merely moved leaves and joins again in the same task.
    queueMicrotask(() => {
      if (this.#users > 0 || !this.#socket) return;
      clearTimeout(this.#offlineTimer);
      this.#stop.abort();
      this.#socket.disconnect();
      this.#socket = null;
      this.#forget();
    });
  }

  // Takes a list's answer. Its items may be older or newer than the events heard: what lies between is asked for.
  take({ seq, unread, unseen }) {
    const known = this.seq;
    this.#isReset = false;
    if (known === null) this.seq = seq;
    if (known === null || seq >= known) this.#count(unread, unseen);
    if (seq !== known) this.#sync(Math.min(seq, known ?? seq));
  }

  // Takes the answer to a mark. Its event may come before or after it, and brings the items.
  counted({ seq, unread, unseen }) {
    if (this.seq !== null && seq < this.seq) return;
    this.#count(unread, unseen);
    setTimeout(() => this.seq !== null && seq > this.seq && this.#sync(this.seq), EVENT_WITHIN_MS);
  }

  #connect() {
    const { base, token } = this.#server;
    const auth = token ? { token } : {};
    const socket = io(`${base}/inbox`, { transports: ["websocket"], auth, reconnectionDelayMax: 5000, multiplex: false });
    this.#socket = socket;
    this.#stop = new AbortController();
    // Back at once when the network is, instead of at the end of the current pause.
    const comeBack = () => socket.connected || !socket.active || socket.disconnect().connect();
    window.addEventListener("online", comeBack, { signal: this.#stop.signal });
    window.addEventListener("offline", () => this.#goOffline(), { signal: this.#stop.signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#lookAgain(), { signal: this.#stop.signal });
    socket.on("connect", () => {
      this.#become("online");
      this.#lookAgain();
    });
    socket.on("disconnect", (reason) => {
      // The server ends a connection whose token or session has ended; coming back is then up to the page.
      if (reason === "io server disconnect") this.#become("unauthorized");
      else if (reason !== "io client disconnect") this.#goOffline();
    });
    socket.on("connect_error", () => {
      if (socket.active) this.#goOffline();
      else this.#become("unauthorized");
    });
    socket.on("item", (event) => this.#hear(event, [event.item], 1, true));
    socket.on("state", (event) => this.#hear(event, event.changed, event.changed.length, false));
  }

  #lookAgain() {
    if (this.seq !== null) this.#sync(this.seq);
    else if (this.#isReset) this.#reset();
  }

  // The lists are read again, which may fail.
  #reset() {
    this.seq = null;
    this.#isReset = true;
    this.#resetAt = performance.now();
    this.#tell("reset");
  }

  #hear({ seq, unread, unseen }, items, steps, arrived) {
    if (this.#isReset && performance.now() - this.#resetAt > RETRY_AFTER_MS) this.#reset();
    if (this.seq !== null && seq <= this.seq) return;
    if (this.seq === null || seq > this.seq + steps) {
      if (this.seq !== null) this.#sync(this.seq);
      return;
    }
    this.seq = seq;
    if (this.#isSyncing) for (const item of items) this.#heardMeanwhile.set(item.id, seq);
    this.#count(unread, unseen);
    this.#change(items, arrived);
  }

  #sync(since) {
    if (!this.#socket?.connected) return; // on connecting it is done anyway
    if (this.#isSyncing) {
      this.#syncAgainFrom = Math.min(since, this.#syncAgainFrom ?? since);
      return;
    }
    this.#isSyncing = true;
    this.#heardMeanwhile.clear();
    this.#socket.timeout(10_000).emit("sync", { since }, (failure, answer) => {
      this.#isSyncing = false;
      if (failure || answer.error) setTimeout(() => this.seq !== null && this.#sync(since), RETRY_AFTER_MS);
      else this.#catchUp(answer);
      const again = this.#syncAgainFrom;
      this.#syncAgainFrom = null;
      if (again !== null && this.seq !== null) this.#sync(again);
    });
  }

  #catchUp(answer) {
    if (answer.reset) {
      this.#reset();
      return;
    }
    if (this.seq === null || answer.seq >= this.seq) {
      this.seq = answer.seq;
      this.#count(answer.unread, answer.unseen);
    }
    // What an event has said since the answer was written is newer than the answer.
    const items = answer.changed.filter((item) => (this.#heardMeanwhile.get(item.id) ?? 0) <= answer.seq);
    const arrived = items.filter((item) => isUnseen(item) && !this.#arrived.has(item.id));
    this.#change(arrived, true);
    this.#change(items.filter((item) => !arrived.includes(item)), false);
  }

  #change(items, arrived) {
    if (items.length === 0) return;
    this.#tell("changed", { items, arrived });
    if (arrived) for (const { id } of items) this.#arrived.add(id);
  }

  #count(unread, unseen) {
    this.unread = unread;
    this.unseen = unseen;
    this.#tell("counts");
  }

  #goOffline() {
    if (this.status === "offline" || this.#offlineTimer) return;
    this.#offlineTimer = setTimeout(() => this.#become("offline"), OFFLINE_AFTER_MS);
  }

  #become(status) {
    clearTimeout(this.#offlineTimer);
    this.#offlineTimer = null;
    if (this.status === status) return;
    this.status = status;
    this.#tell("status");
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function isUnseen(item) {
  return !item.seen_at && !item.archived_at && !item.snoozed_until;
}
