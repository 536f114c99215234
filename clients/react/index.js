// Notifier's components for React. Thin: attributes and events of <notifier-inbox> and <notifier-preferences>, rows drawn
// by React, and the feed as a hook. The components themselves come from the server, so that they are always its version.

import { createElement, useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { createPortal } from "react-dom";

const EVENTS = {
  onItemClick: "notifier-item-click",
  onItemAction: "notifier-item-action",
  onCount: "notifier-count",
  onChange: "notifier-preferences-change",
  onTokenExpired: "notifier-token-expired",
};
const ATTRIBUTES = { inboxUrl: "inbox-url", preferencesUrl: "preferences-url", countIn: "count-in", stateIn: "state-in", className: "class" };
const NOTHING = Object.freeze({ status: "connecting", unread: 0, unseen: 0, items: Object.freeze([]), state: "loading", hasMore: false, filter: "all", category: "", q: "" });

// → a promise of the module. The browser keeps it, and asks again for one that did not come.
function load(server, file) {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ new URL(`/static/${file}`, server ?? location.href).href);
}

// `renderItem(item, { act })` → what React shows in a row in place of its words.
export function NotifierInbox({ renderItem, ...props }) {
  const [rows, setRows] = useState(() => new Map());
  const draw = useCallback((item, tools) => {
    const node = document.createElement("div");
    setRows((before) => new Map([...before].filter(([id, row]) => id !== item.id && row.node.isConnected)).set(item.id, { node, item, tools }));
    return node;
  }, []);
  const portals = renderItem ? [...rows].map(([id, { node, item, tools }]) => createPortal(renderItem(item, tools), node, id)) : [];
  return [createElement(Component, { key: "inbox", tag: "notifier-inbox", file: "inbox.js", ...props, renderItem: renderItem ? draw : null }), ...portals];
}

export function NotifierPreferences(props) {
  return createElement(Component, { tag: "notifier-preferences", file: "preferences.js", ...props });
}

function Component({ tag, file, labels, renderItem, ...props }) {
  const host = useRef(null);
  const listeners = useRef(props);
  useEffect(() => {
    listeners.current = props;
  });
  useEffect(() => {
    load(props.server, file);
  }, [props.server, file]);
  useEffect(() => {
    if (labels) host.current.labels = labels;
  }, [labels]);
  useEffect(() => {
    if (renderItem !== undefined) host.current.renderItem = renderItem;
  }, [renderItem]);
  useEffect(() => {
    const element = host.current;
    const stop = new AbortController();
    for (const [name, event] of Object.entries(EVENTS)) element.addEventListener(event, (told) => listeners.current[name]?.(told), { signal: stop.signal });
    return () => stop.abort();
  }, []);
  const attributes = Object.entries(props).filter(([name, value]) => !(name in EVENTS) && value !== undefined && value !== null);
  return createElement(tag, { ref: host, ...Object.fromEntries(attributes.map(([name, value]) => [ATTRIBUTES[name] ?? name, value])) });
}

// → {status, unread, unseen, items, state, hasMore, filter, category, q, feed}: live. `feed` has the calls (read, archive,
// snooze, loadMore, …); null until it is there.
export function useFeed({ server, token, filter, category, q }) {
  const [feed, setFeed] = useState(null);
  useEffect(() => {
    let made = null;
    let isGone = false;
    load(server, "inbox.js").then(({ createFeed }) => {
      if (!isGone) setFeed((made = createFeed({ server, token, filter, category, q })));
    });
    return () => {
      isGone = true;
      made?.close();
      setFeed(null);
    };
  }, [server, token, filter, category, q]);
  const subscribe = useCallback((listener) => feed?.subscribe(listener) ?? (() => {}), [feed]);
  const snapshot = useSyncExternalStore(subscribe, () => feed?.snapshot ?? NOTHING, () => NOTHING);
  return { ...snapshot, feed };
}
