import type { CSSProperties, ReactNode } from "react";
import type { Counts, Feed, FeedOptions, Item, ItemAction, ItemClick, Label, Snapshot, Tools } from "./inbox.js";

export type * from "./inbox.js";

interface Shared {
  id?: string;
  server?: string;
  token?: string;
  theme?: "light" | "dark";
  locale?: string;
  labels?: Record<string, Label>;
  className?: string;
  style?: CSSProperties;
  onTokenExpired?: (event: CustomEvent) => void;
  /** The component could not be loaded from the server. Without it, the browser reports the error. */
  onError?: (error: unknown) => void;
}

export interface InboxProps extends Shared {
  mode?: "bell";
  inboxUrl?: string;
  preferencesUrl?: string;
  shortcuts?: "page";
  countIn?: "title";
  stateIn?: "url";
  renderItem?: (item: Item, tools: Tools) => ReactNode;
  onItemClick?: (event: CustomEvent<ItemClick>) => void;
  onItemAction?: (event: CustomEvent<ItemAction>) => void;
  onCount?: (event: CustomEvent<Counts>) => void;
}

export interface PreferencesProps extends Shared {
  open?: "all";
  onChange?: (event: CustomEvent<{ choice: Record<string, unknown> }>) => void;
}

export function NotifierInbox(props: InboxProps): ReactNode;
export function NotifierPreferences(props: PreferencesProps): ReactNode;

/** `status` is `offline` and `state` `failed` if the component could not be loaded. */
export function useFeed(options: FeedOptions): Snapshot & { feed: Feed | null };
