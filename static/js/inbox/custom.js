// Rows whose words the page draws itself: with `renderItem(item, { act, words })` → an element, set as a property, or with a
// `<template>` inside of the component. What it draws stands in the page's own tree (a slot shows it in the row), so that
// the page's styles and frameworks reach it.

export class Custom {
  #host;
  #act;
  #shown = new Map(); // id → the page's element

  // `act(command, id)` does what a tool of the row would.
  constructor(host, act) {
    this.#host = host;
    this.#act = act;
  }

  // → whether the page draws this one: what it cannot draw, or leaves to us, is drawn as ever.
  draw(item, words) {
    this.remove(item.id);
    const node = this.#drawn(item, words);
    if (!(node instanceof Element)) return false;
    node.slot = `item-${item.id}`;
    this.#shown.set(item.id, node);
    this.#host.append(node);
    return true;
  }

  #drawn(item, words) {
    if (typeof this.#host.renderItem !== "function") {
      const template = this.#host.querySelector(":scope > template");
      return template && fill(template, item, words);
    }
    try {
      return this.#host.renderItem(item, { act: (command) => this.#act(command, item.id), words });
    } catch (error) {
      reportError(error);
      return null;
    }
  }

  remove(id) {
    this.#shown.get(id)?.remove();
    this.#shown.delete(id);
  }

  clear() {
    for (const id of [...this.#shown.keys()]) this.remove(id);
  }
}

// `data-field` names what an element shows: title, body, time, type, category, or a key of the item's data ("data.actor").
function fill(template, item, words) {
  const node = template.content.firstElementChild?.cloneNode(true) ?? null;
  for (const part of node ? [node, ...node.querySelectorAll("*")] : []) {
    const field = part.dataset?.field;
    if (!field) continue;
    const value = field === "time" ? words.when.ago(new Date(item.created_at)) : field.startsWith("data.") ? item.data?.[field.slice(5)] : item[field];
    part.textContent = value === null || value === undefined || typeof value === "object" ? "" : value;
  }
  return node;
}
