// Notifier's components for Vue 3. Thin: attributes and events of <notifier-inbox> and <notifier-preferences>, rows drawn by
// a slot, and the feed as a composable. The components themselves come from the server, so that they are always its version.

import { Teleport, defineComponent, h, onMounted, onUnmounted, shallowRef, toValue, watch } from "vue";

const EVENTS = {
  "item-click": "notifier-item-click",
  "item-action": "notifier-item-action",
  count: "notifier-count",
  change: "notifier-preferences-change",
  "token-expired": "notifier-token-expired",
};
const NOTHING = Object.freeze({ status: "connecting", unread: 0, unseen: 0, items: Object.freeze([]), state: "loading", hasMore: false, filter: "all", category: "", q: "" });

// → a promise of the module. The browser keeps it, and asks again for one that did not come.
function load(server, file) {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ new URL(`/static/${file}`, server ?? location.href).href);
}

function component(name, tag, file) {
  return defineComponent({
    name,
    inheritAttrs: false,
    props: { labels: { type: Object, default: undefined } },
    emits: Object.keys(EVENTS),
    setup(props, { attrs, emit, slots }) {
      const host = shallowRef(null);
      const rows = shallowRef(new Map());
      const draw = (item, tools) => {
        const node = document.createElement("div");
        rows.value = new Map([...rows.value].filter(([id, row]) => id !== item.id && row.node.isConnected)).set(item.id, { node, item, tools });
        return node;
      };
      const stop = new AbortController();
      onMounted(() => {
        for (const [event, told] of Object.entries(EVENTS)) host.value.addEventListener(told, (heard) => emit(event, heard), { signal: stop.signal });
        if (slots.item) host.value.renderItem = draw;
        watch(() => props.labels, (labels) => labels && (host.value.labels = labels), { immediate: true });
        load(attrs.server, file);
      });
      onUnmounted(() => stop.abort());
      // As attributes (^), which is what the components watch
      const given = () => Object.fromEntries(Object.entries(attrs).map(([key, value]) => [key === "class" || key === "style" ? key : `^${key}`, value]));
      const drawn = () => (slots.item ? [...rows.value].map(([id, { node, item, tools }]) => h(Teleport, { key: id, to: node }, slots.item({ item, ...tools }))) : []);
      return () => [h(tag, { key: "component", ref: host, ...given() }), ...drawn()];
    },
  });
}

// The slot `item` ({ item, act }) draws what a row shows in place of its words.
export const NotifierInbox = component("NotifierInbox", "notifier-inbox", "inbox.js");
export const NotifierPreferences = component("NotifierPreferences", "notifier-preferences", "preferences.js");

// `options`: {server, token, filter, category, q}, or a ref or getter of it. → {snapshot, feed}, both shallow refs: what is
// listed, live, and its calls (read, archive, snooze, loadMore, …); null until it is there.
export function useFeed(options) {
  const feed = shallowRef(null);
  const snapshot = shallowRef(NOTHING);
  let generation = 0;
  const close = () => {
    generation += 1;
    feed.value?.close();
    feed.value = null;
  };
  const open = async (wanted) => {
    close();
    const mine = generation;
    const { createFeed } = await load(wanted.server, "inbox.js");
    if (mine !== generation) return;
    feed.value = createFeed(wanted);
    snapshot.value = feed.value.snapshot;
    feed.value.subscribe((now) => (snapshot.value = now));
  };
  watch(() => ({ ...toValue(options) }), open, { immediate: true });
  onUnmounted(close);
  return { snapshot, feed };
}
