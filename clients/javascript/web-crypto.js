// WebCrypto: in browsers and in Node.js from 20 on it is there; Node.js 18 has it in a module.

const MODULE = "node:crypto"; // not written where bundlers for browsers look

export async function webCrypto() {
  return globalThis.crypto ?? (await import(/* webpackIgnore: true */ /* @vite-ignore */ MODULE)).webcrypto;
}

// An idempotency key. (randomUUID is not there in pages without https.)
export async function newKey() {
  const bytes = (await webCrypto()).getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
