"use client";
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
const UNKNOWN = Object.freeze({ status: "connecting", unread: 0, unseen: 0, items: Object.freeze([]), state: "loading", hasMore: false, filter: "all", category: "", q: "" });
const FAILED = Object.freeze({ ...UNKNOWN, status: "offline", state: "failed" });

// → a promise of the module. The browser keeps it, and asks again for one that did not come.
function load(server, file) {
  return import(/* webpackIgnore: true */ /* @vite-ignore */ new URL(`/static/${file}`, server ?? location.href).href);
}

// `renderItem(item, { act })` → what React shows in a row in place of its words.
export function NotifierInbox({ renderItem, ...props }) {
  const [rows, setRows] = useState(() => new Map());
  const draw = useCallback((item, tools) => {
    const node = document.createElement("div");
    setRows((before) => new Map(before).set(item.id, { node, item, tools }));
    return node;
  }, []);
  const prune = useCallback(() => {
    setRows((before) => {
      const shown = [...before].filter(([, row]) => row.node.isConnected);
      return shown.length === before.size ? before : new Map(shown);
    });
  }, []);
  const portals = renderItem ? [...rows].map(([id, { node, item, tools }]) => createPortal(renderItem(item, tools), node, id)) : [];
  const drawn = renderItem ? { renderItem: draw, onRows: prune } : { renderItem: null };
  return [createElement(Component, { key: "inbox", tag: "notifier-inbox", file: "inbox.js", ...props, ...drawn }), ...portals];
}

export function NotifierPreferences(props) {
  return createElement(Component, { tag: "notifier-preferences", file: "preferences.js", ...props });
}

function Component({ tag, file, labels, renderItem, onRows, onError, ...props }) {
  const host = useRef(null);
  const listeners = useRef(props);
  const failed = useRef(onError);
  useEffect(() => {
    listeners.current = props;
    failed.current = onError;
  });
  useEffect(() => {
    load(props.server, file).catch((error) => (failed.current ?? reportError)(error));
  }, [props.server, file]);
  useEffect(() => {
    if (labels) host.current.labels = labels;
  }, [labels]);
  useEffect(() => {
    if (renderItem !== undefined) host.current.renderItem = renderItem;
  }, [renderItem]);
  useEffect(() => {
    if (!onRows) return undefined;
    const observer = new MutationObserver(onRows); // rows that are gone
    observer.observe(host.current, { childList: true });
    return () => observer.disconnect();
  }, [onRows]);
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
// snooze, loadMore, …); null until it is there. A token that is null is awaited.
export function useFeed({ server, token, filter, category, q }) {
  const [feed, setFeed] = useState(null);
  const [before, setBefore] = useState(UNKNOWN);
  useEffect(() => {
    if (token === null) return undefined;
    let made = null;
    let isGone = false;
    load(server, "inbox.js").then(
      ({ createFeed }) => {
        if (!isGone) setFeed((made = createFeed({ server, token, filter, category, q })));
      },
      () => {
        if (!isGone) setBefore(FAILED);
      },
    );
    return () => {
      isGone = true;
      made?.close();
      setFeed(null);
      setBefore(UNKNOWN);
    };
  }, [server, token, filter, category, q]);
  const subscribe = useCallback((listener) => feed?.subscribe(listener) ?? (() => {}), [feed]);
  const snapshot = useSyncExternalStore(subscribe, () => feed?.snapshot ?? before, () => UNKNOWN);
  return { ...snapshot, feed };
}
