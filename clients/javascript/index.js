// Calls the API of Notifier: Client for programs with a key, Inbox for pages with a person's token, verifyWebhook for
// what Notifier calls back with. No dependency, no build; runs in Node.js 18 and in browsers.

export { Client } from "./client.js";
export { BadSignature, NotifierError, Problem, Unreachable } from "./errors.js";
export { Inbox } from "./inbox.js";
export { VERSION } from "./version.js";
export { verifyWebhook } from "./webhooks.js";
