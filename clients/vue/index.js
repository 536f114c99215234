// Notifier's components for Vue 3. Thin: attributes and events of <notifier-inbox> and <notifier-preferences>, rows drawn by
// a slot, and the feed as a composable. The components themselves come from the server, so that they are always its version.

import { Teleport, defineComponent, h, onMounted, onScopeDispose, onUnmounted, shallowRef, toValue, watch } from "vue";

const EVENTS = {
  "item-click": "notifier-item-click",
  "item-action": "notifier-item-action",
  count: "notifier-count",
  change: "notifier-preferences-change",
  "token-expired": "notifier-token-expired",
};
const UNKNOWN = Object.freeze({ status: "connecting", unread: 0, unseen: 0, items: Object.freeze([]), state: "loading", hasMore: false, filter: "all", category: "", q: "" });
const FAILED = Object.freeze({ ...UNKNOWN, status: "offline", state: "failed" });
const hyphenated = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

// → a promise of the module. The browser keeps it, and asks again for one that did not come.
function load(server, file) {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ new URL(`/static/${file}`, server ?? location.href).href);
}

function component(name, tag, file) {
  return defineComponent({
    name,
    inheritAttrs: false,
    props: { server: String, labels: Object, onError: Function },
    emits: Object.keys(EVENTS),
    setup(props, { attrs, emit, slots }) {
      const host = shallowRef(null);
      const rows = shallowRef(new Map());
      const draw = (item, tools) => {
        const node = document.createElement("div");
        rows.value = new Map(rows.value).set(item.id, { node, item, tools });
        return node;
      };
      const prune = () => {
        const shown = [...rows.value].filter(([, row]) => row.node.isConnected);
        if (shown.length < rows.value.size) rows.value = new Map(shown);
      };
      const stop = new AbortController();
      let observer = null;
      onMounted(() => {
        for (const [event, told] of Object.entries(EVENTS)) host.value.addEventListener(told, (heard) => emit(event, heard), { signal: stop.signal });
        if (slots.item) {
          host.value.renderItem = draw;
          observer = new MutationObserver(prune); // rows that are gone
          observer.observe(host.value, { childList: true });
        }
        watch(() => props.labels, (labels) => labels && (host.value.labels = labels), { immediate: true });
        const ask = (server) => load(server, file).catch((error) => (props.onError ?? reportError)(error));
        watch(() => props.server, ask, { immediate: true });
      });
      onUnmounted(() => {
        stop.abort();
        observer?.disconnect();
      });
      // As attributes (^), which is what the components watch
      const attribute = (key) => (key === "class" || key === "style" ? key : `^${hyphenated(key)}`);
      const given = () => Object.fromEntries(Object.entries({ ...attrs, server: props.server }).map(([key, value]) => [attribute(key), value]));
      const drawn = () => (slots.item ? [...rows.value].map(([id, { node, item, tools }]) => h(Teleport, { key: id, to: node }, slots.item({ item, ...tools }))) : []);
      return () => [h(tag, { key: "component", ref: host, ...given() }), ...drawn()];
    },
  });
}

// The slot `item` ({ item, act }) draws what a row shows in place of its words.
export const NotifierInbox = component("NotifierInbox", "notifier-inbox", "inbox.js");
export const NotifierPreferences = component("NotifierPreferences", "notifier-preferences", "preferences.js");

// `options`: {server, token, filter, category, q}, or a ref or getter of it. → {snapshot, feed}, both shallow refs: what is
// listed, live, and its calls (read, archive, snooze, loadMore, …); null until it is there. A token that is null is
// awaited. Nothing is read while a server renders the page.
export function useFeed(options) {
  const feed = shallowRef(null);
  const snapshot = shallowRef(UNKNOWN);
  let generation = 0;
  const close = () => {
    generation += 1;
    feed.value?.close();
    feed.value = null;
    snapshot.value = UNKNOWN;
  };
  const open = async (wanted) => {
    close();
    if (wanted.token === null) return;
    const mine = generation;
    const module = await load(wanted.server, "inbox.js").catch(() => null);
    if (mine !== generation) return;
    if (module === null) {
      snapshot.value = FAILED;
      return;
    }
    feed.value = module.createFeed(wanted);
    snapshot.value = feed.value.snapshot;
    feed.value.subscribe((now) => (snapshot.value = now));
  };
  if (typeof window !== "undefined") watch(() => ({ ...toValue(options) }), open, { immediate: true });
  onScopeDispose(close);
  return { snapshot, feed };
}
