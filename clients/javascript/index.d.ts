import type { components } from "./api.js";

type Schemas = components["schemas"];
export type { components } from "./api.js";

export type Submission = Schemas["SubmissionIn"];
export type Accepted = Schemas["SubmissionOut"];
export type SubmissionStatus = Schemas["SubmissionStatusOut"];
export type Notification = Schemas["NotificationOut"];
export type NotificationInFull = Schemas["NotificationInFull"];
export type Rehearsed = Schemas["RehearsedOut"];
export type NotifierEvent = Schemas["EventOut"];
export type BroadcastInput = Schemas["BroadcastIn"];
export type Broadcast = Schemas["BroadcastOut"];
export type BroadcastRecipient = Schemas["BroadcastRecipient"];
export type UserInput = Schemas["UserIn"];
export type User = Schemas["UserOut"];
export type UserToken = Schemas["TokenOut"];
export type Item = Schemas["ItemOut"];
export type Fault = Schemas["Fault"];

export const VERSION: string;

/** `idempotencyKey`: the one the call was made with, also if the client chose it. Repeat the call with it. */
export class NotifierError extends Error {
  idempotencyKey: string | null;
}

/** No answer came in time. Whether the call was carried out is not known. */
export class Unreachable extends NotifierError {}

/** A webhook that cannot be shown to come from Notifier, or is older than five minutes. Answer 400. */
export class BadSignature extends NotifierError {}

/** An answer that is no success (RFC 9457). Match `status` or `code`, never the texts. */
export class Problem extends NotifierError {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly errors: Fault[];
  readonly requestId: string | null;
  /** Seconds, where the server asked for a pause. */
  readonly retryAfter: number | null;
  /** What is likely to be meant, of the first fault that has a guess. */
  get suggestion(): string | null;
}

export interface Patience {
  /** How long one try may take (30,000). */
  timeoutMs?: number;
  /** How long a call may take with all its tries (90,000). */
  patienceMs?: number;
  fetch?: typeof globalThis.fetch;
}

export type Credentials = { key: string } | { clientId: string; clientSecret: string; scope?: string };

export interface Stoppable {
  signal?: AbortSignal;
}

export interface Once extends Stoppable {
  idempotencyKey?: string;
}

export interface Waiting extends Stoppable {
  timeoutMs?: number;
}

declare class Calls {
  /** Any call of the API. → its JSON; null for an answer without. */
  call<Answer = unknown>(
    method: string,
    path: string,
    body?: unknown,
    options?: Once & { query?: Record<string, unknown>; repeatable?: boolean },
  ): Promise<Answer>;
  /** All entries of a list of the API, page by page. */
  pages<Entry = unknown>(path: string, query?: Record<string, unknown>, options?: Stoppable): AsyncGenerator<Entry, void>;
}

/** What became of one item: an id and its notifications' (null while they are made), or an error. */
export interface BulkResult {
  index: number;
  id: string | null;
  notifications: string[] | null;
  error: Problem | null;
}

/** For programs with a key, on a server. */
export class Client extends Calls {
  constructor(options: { url: string } & Credentials & Patience);
  readonly broadcasts: Broadcasts;
  send(submission: Submission, options?: Once): Promise<Accepted>;
  preview(submission: Submission, options?: Stoppable): Promise<Rehearsed[]>;
  sendMany(
    items: Iterable<Submission> | AsyncIterable<Submission>,
    options?: Once & { chunk?: number },
  ): Promise<BulkResult[]>;
  notification(id: string, options?: Stoppable): Promise<NotificationInFull>;
  notifications(
    filters?: { user?: string; type?: string; status?: string; channel?: string },
    options?: Stoppable,
  ): AsyncGenerator<Notification, void>;
  cancel(id: string): Promise<NotificationInFull>;
  submission(id: string, options?: Stoppable): Promise<SubmissionStatus>;
  /** Until all of a submission has gone out, or will not. Rejects with an Error called TimeoutError. */
  wait(id: string, options?: Waiting): Promise<SubmissionStatus>;
  events(
    options?: Stoppable & { after?: string | null; types?: string; waitS?: number; follow?: boolean },
  ): AsyncGenerator<NotifierEvent, void>;
  /** Replaces the whole profile: what is left out is cleared. */
  putUser(id: string, fields: UserInput): Promise<User>;
  /** For the inbox on a page of yours. `expiresIn`: seconds. */
  userToken(id: string, options?: { expiresIn?: number }): Promise<UserToken>;
}

declare class Broadcasts extends Calls {
  create(broadcast: BroadcastInput, options?: Once): Promise<Broadcast>;
  get(id: string, options?: Stoppable): Promise<Broadcast>;
  list(filters?: { status?: string }, options?: Stoppable): AsyncGenerator<Broadcast, void>;
  recipients(
    id: string,
    filters?: { status?: string; channel?: string },
    options?: Stoppable,
  ): AsyncGenerator<BroadcastRecipient, void>;
  pause(id: string): Promise<Broadcast>;
  resume(id: string): Promise<Broadcast>;
  cancel(id: string): Promise<Broadcast>;
  retryFailed(id: string): Promise<Broadcast>;
  wait(id: string, options?: Waiting): Promise<Broadcast>;
}

type View = Pick<Schemas["ChosenIn"], "filter" | "category" | "q">;
/** Ids of items, or all that a list shows. */
export type Which = string[] | ({ all: true } & View);

/** One person's notifications in a page or an app, by their token. */
export class Inbox extends Calls {
  /** `token`: a text, or a function that gets one from your server and is called again when it is refused. */
  constructor(options: { url: string; token: string | (() => string | Promise<string>) } & Patience);
  list(view?: View & { after?: string; limit?: number }, options?: Stoppable): Promise<Schemas["InboxPage"]>;
  items(view?: View, options?: Stoppable): AsyncGenerator<Item, void>;
  changes(since: number, options?: Stoppable): Promise<Schemas["ChangesOut"]>;
  read(which: Which): Promise<Schemas["MarkedOut"]>;
  unread(which: Which): Promise<Schemas["MarkedOut"]>;
  archive(which: Which): Promise<Schemas["MarkedOut"]>;
  unarchive(which: Which): Promise<Schemas["MarkedOut"]>;
  snooze(which: Which, until: Date | null): Promise<Schemas["MarkedOut"]>;
  seen(ids?: string[]): Promise<Schemas["CountsOut"]>;
  why(id: string, options?: { language?: string }): Promise<Schemas["WhyOut"]>;
  preferences(): Promise<Schemas["OwnPreferencesOut"]>;
  choose(choice: Schemas["OwnChoiceIn"]): Promise<Schemas["OwnPreferencesOut"]>;
}

/** → what Notifier tells. `body`: as it came, byte for byte. Rejects with BadSignature. */
export function verifyWebhook(
  secret: string,
  body: string | ArrayBuffer | Uint8Array,
  headers: Headers | Record<string, string | string[] | undefined>,
): Promise<{ type: string; timestamp: string; data: Record<string, unknown> }>;
