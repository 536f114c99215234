import type { CSSProperties, ReactNode } from "react";

export interface Action {
  label: string;
  url: string;
}

export interface Item {
  id: string;
  type: string;
  category: "transactional" | "marketing" | "social" | "system";
  title: string;
  body: string;
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

interface Shared {
  server?: string;
  token?: string;
  theme?: "light" | "dark";
  locale?: string;
  labels?: Record<string, Label>;
  className?: string;
  style?: CSSProperties;
  onTokenExpired?: (event: CustomEvent) => void;
}

export interface InboxProps extends Shared {
  mode?: "bell";
  inboxUrl?: string;
  preferencesUrl?: string;
  shortcuts?: "page";
  countIn?: "title";
  stateIn?: "url";
  renderItem?: (item: Item, tools: { act: (mark: Mark) => void }) => ReactNode;
  onItemClick?: (event: CustomEvent<{ item: Item; url: string | null; part: "title" | "action" | "secondary-action" }>) => void;
  onItemAction?: (event: CustomEvent<{ action: Mark; items: Item[] | null; until: Date | null }>) => void;
  onCount?: (event: CustomEvent<{ unread: number; unseen: number }>) => void;
}

export interface PreferencesProps extends Shared {
  open?: "all";
  onChange?: (event: CustomEvent<{ choice: Record<string, unknown> }>) => void;
}

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
  why(id: string, locale?: string): Promise<{ title: string; language: string; sentences: string[] }>;
  close(): void;
}

export function NotifierInbox(props: InboxProps): ReactNode;
export function NotifierPreferences(props: PreferencesProps): ReactNode;
export function useFeed(options: { server?: string; token?: string; filter?: Filter; category?: string; q?: string }): Snapshot & { feed: Feed | null };
