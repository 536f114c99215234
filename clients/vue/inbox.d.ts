// The same in clients/react and clients/vue: what the components of Notifier take and tell.

export interface Action {
  label: string;
  url: string;
}

export interface Item {
  id: string;
  type: string;
  category: string;
  title: string;
  body: string;
  /** Of title and body (BCP 47); null where it is not known. */
  language: string | null;
  dir: "ltr" | "rtl" | "auto";
  action: Action | null;
  secondary_action: Action | null;
  image: string | null;
  data: Record<string, unknown>;
  created_at: string;
  seen_at: string | null;
  read_at: string | null;
  archived_at: string | null;
  snoozed_until: string | null;
  why: string;
}

export type Mark = "read" | "unread" | "archive" | "unarchive" | "snooze" | "unsnooze";
export type Filter = "all" | "unread" | "snoozed" | "archived";
export type Label = string | { one?: string; other: string; [form: string]: string | undefined };

export interface Snapshot {
  status: "connecting" | "online" | "offline" | "unauthorized";
  unread: number;
  unseen: number;
  items: readonly Item[];
  state: "loading" | "ready" | "failed";
  hasMore: boolean;
  filter: Filter;
  category: string;
  q: string;
}

export interface Feed extends EventTarget {
  readonly snapshot: Snapshot;
  subscribe(listener: (snapshot: Snapshot) => void): () => void;
  show(view: { filter?: Filter; category?: string; q?: string }): Promise<void>;
  load(): Promise<void>;
  loadMore(): Promise<void>;
  read(...ids: string[]): Promise<void>;
  unread(...ids: string[]): Promise<void>;
  archive(...ids: string[]): Promise<void>;
  unarchive(...ids: string[]): Promise<void>;
  snooze(until: Date | null, ...ids: string[]): Promise<void>;
  readAll(): Promise<void>;
  seen(): Promise<void>;
  why(id: string, locale?: string): Promise<{ title: string; description: string | null; language: string; sentences: string[] }>;
  close(): void;
}

export interface FeedOptions {
  server?: string;
  /** null: there is none yet, and nothing is read until there is. */
  token?: string | null;
  filter?: Filter;
  category?: string;
  q?: string;
}

/** What `renderItem` and the slot `item` can do with an item. */
export interface Tools {
  act: (mark: Mark) => void;
}

export interface ItemClick {
  item: Item;
  url: string | null;
  part: "title" | "action" | "secondary-action";
}

export interface ItemAction {
  action: Mark;
  items: Item[] | null;
  until: Date | null;
}

export interface Counts {
  unread: number;
  unseen: number;
}
