// Checks that a webhook comes from Notifier (Standard Webhooks: HMAC-SHA256 over id, time and body).

import { BadSignature } from "./errors.js";
import { webCrypto } from "./web-crypto.js";

const OLDEST_S = 300;

// → {type, timestamp, data}. `secret`: the subscription's, whsec_…; `body`: as it came, text or bytes; `headers`: a
// Headers object, or a plain one such as Node's. Throws BadSignature. A webhook may come more than once: those with the
// same `webhook-id` header are the same.
export async function verifyWebhook(secret, body, headers) {
  const given = typeof headers.get === "function" ? headers : new Headers(plain(headers));
  const [id, at, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => given.get(name));
  if (!id || !at || !signatures) throw new BadSignature("the webhook's headers are missing");
  if (!/^\d+$/.test(at) || !(Math.abs(Date.now() / 1000 - Number(at)) <= OLDEST_S)) {
    throw new BadSignature("the webhook is too old, or its time is wrong");
  }
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : new Uint8Array(body);
  const said = new TextEncoder().encode(`${id}.${at}.`);
  const signed = new Uint8Array(said.length + bytes.length);
  signed.set(said);
  signed.set(bytes, said.length);
  const { subtle } = await webCrypto();
  const raw = decoded(secret.replace(/^whsec_/, ""));
  if (!raw?.length) throw new BadSignature("the secret is none");
  const key = await subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  for (const one of signatures.split(" ")) {
    const signature = one.startsWith("v1,") ? decoded(one.slice(3)) : null;
    if (signature && (await subtle.verify("HMAC", key, signature, signed))) return parsed(bytes);
  }
  throw new BadSignature("no signature of the webhook fits");
}

function parsed(bytes) {
  try {
    const told = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (told && typeof told === "object" && !Array.isArray(told)) return told;
  } catch {
    // said below
  }
  throw new BadSignature("the webhook is no JSON object");
}

// Of base64; null for what is none.
function decoded(text) {
  try {
    return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  } catch {
    return null;
  }
}

// Node's headers may have lists.
const plain = (headers) => Object.entries(headers).map(([name, value]) => [name, String(value)]);
