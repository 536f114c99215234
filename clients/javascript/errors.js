// What can go wrong. Match the class, `status` or `code`, never the texts.

// `idempotencyKey`: the one the call was made with, also if the client chose it. Whoever makes the same call with it
// later makes sure that it is carried out, and only once.
export class NotifierError extends Error {
  idempotencyKey = null;

  get name() {
    return this.constructor.name;
  }
}

// No answer came in time. Whether the call was carried out is not known.
export class Unreachable extends NotifierError {}

// A webhook that cannot be shown to come from Notifier, or is older than five minutes. Answer 400.
export class BadSignature extends NotifierError {}

// An answer that is no success (RFC 9457). `retryAfter`: seconds, where the server asked for a pause.
export class Problem extends NotifierError {
  constructor(status, body, { at = "", retryAfter = null } = {}) {
    // A proxy may answer with JSON of its own
    const code = text(body.code, body.error) ?? `http_${status}`;
    const detail = text(body.detail, body.error_description, body.title) ?? "no details";
    super(`${status} ${code}: ${detail}`);
    this.status = status;
    this.code = code;
    this.detail = detail;
    const faults = Array.isArray(body.errors) ? body.errors.filter((fault) => typeof fault?.pointer === "string") : [];
    this.errors = faults.map((fault) => ({
      ...fault,
      pointer: fault.pointer.startsWith(at) ? fault.pointer.slice(at.length) : fault.pointer,
    }));
    this.requestId = body.request_id ?? null;
    this.retryAfter = retryAfter;
  }

  // What is likely to be meant, of the first fault that has a guess.
  get suggestion() {
    return this.errors.find((fault) => fault.suggestion)?.suggestion ?? null;
  }
}

const text = (...given) => given.find((one) => typeof one === "string" && one !== "");
