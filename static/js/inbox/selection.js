// Which items are selected. No DOM; tells `change`.

export class Selection extends EventTarget {
  ids = new Set();
  #anchor = null;

  has(id) {
    return this.ids.has(id);
  }

  // `order`: the ids as they stand in the list. With `isRange` everything from the one touched last to this one follows it.
  toggle(id, { isRange = false, order = [] } = {}) {
    const isOn = !this.ids.has(id);
    const from = isRange ? order.indexOf(this.#anchor) : -1;
    const to = order.indexOf(id);
    const touched = from < 0 || to < 0 ? [id] : order.slice(Math.min(from, to), Math.max(from, to) + 1);
    for (const each of touched) isOn ? this.ids.add(each) : this.ids.delete(each);
    this.#anchor = id;
    this.#tell();
  }

  all(order) {
    this.ids = new Set(order);
    this.#tell();
  }

  clear() {
    if (this.ids.size === 0) return;
    this.ids.clear();
    this.#anchor = null;
    this.#tell();
  }

  // What has left the list is selected no longer.
  keep(order) {
    const before = this.ids.size;
    if (before === 0) return;
    this.ids = new Set(order.filter((id) => this.ids.has(id)));
    if (this.ids.size !== before) this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
