import type { MaybeRefOrGetter, ShallowRef, VNode } from "vue";
import type { Counts, Feed, FeedOptions, Item, ItemAction, ItemClick, Label, Snapshot, Tools } from "./inbox.js";

export type * from "./inbox.js";

interface Shared {
  id?: string;
  server?: string;
  token?: string;
  theme?: "light" | "dark";
  locale?: string;
  labels?: Record<string, Label>;
  class?: unknown;
  style?: unknown;
  onTokenExpired?: (event: CustomEvent) => void;
  /** The component could not be loaded from the server. Without a listener, the browser reports the error. */
  onError?: (error: unknown) => void;
}

export interface InboxProps extends Shared {
  mode?: "bell";
  inboxUrl?: string;
  preferencesUrl?: string;
  shortcuts?: "page";
  countIn?: "title";
  stateIn?: "url";
  onItemClick?: (event: CustomEvent<ItemClick>) => void;
  onItemAction?: (event: CustomEvent<ItemAction>) => void;
  onCount?: (event: CustomEvent<Counts>) => void;
}

export interface PreferencesProps extends Shared {
  open?: "all";
  onChange?: (event: CustomEvent<{ choice: Record<string, unknown> }>) => void;
}

export declare const NotifierInbox: new () => {
  $props: InboxProps;
  $slots: { item?: (given: { item: Item } & Tools) => VNode | VNode[] };
};
export declare const NotifierPreferences: new () => { $props: PreferencesProps };

/** `status` is `offline` and `state` `failed` if the component could not be loaded. */
export declare function useFeed(options: MaybeRefOrGetter<FeedOptions>): {
  snapshot: Readonly<ShallowRef<Snapshot>>;
  feed: Readonly<ShallowRef<Feed | null>>;
};
