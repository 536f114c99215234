// Switches push on in this browser, and off in it when its entry is removed. The server knows a browser by its subscription.

const place = document.querySelector("[data-push-key]");

const words = JSON.parse(place?.dataset.words ?? "{}");

function bytes(base64url) {
  const plain = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

async function fingerprint(subscription) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(subscription.endpoint));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function subscriptionHere() {
  const registration = await navigator.serviceWorker?.getRegistration("/");
  return (await registration?.pushManager?.getSubscription()) ?? null;
}

async function entryHere() {
  const subscription = await subscriptionHere();
  return subscription && document.querySelector(`[data-browser="${await fingerprint(subscription)}"]`);
}

function say(word, { canEnable = false } = {}) {
  place.querySelector("[data-push-says]").textContent = words[word];
  const button = place.querySelector("button");
  button.hidden = !canEnable;
  button.disabled = false;
}

async function show() {
  if (!isSecureContext) return say("insecure");
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) return say("old");
  if (Notification.permission === "denied") return say("denied");
  const entry = await entryHere();
  if (!entry) return say("off", { canEnable: true });
  const mark = document.createElement("span");
  mark.className = "tag";
  mark.textContent = words.here;
  entry.querySelector(".strong").append(" ", mark);
  return say("on");
}

async function subscribe() {
  const registration = await navigator.serviceWorker.register(place.dataset.worker, { scope: "/" });
  await navigator.serviceWorker.ready;
  const old = await registration.pushManager.getSubscription();
  await old?.unsubscribe(); // it may have been made with another key, or for somebody else
  return registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(place.dataset.pushKey) });
}

async function enable() {
  place.querySelector("button").disabled = true;
  const answer = await Notification.requestPermission();
  if (answer !== "granted") return say(answer === "denied" ? "denied" : "dismissed", { canEnable: answer !== "denied" });
  let subscription;
  try {
    subscription = await subscribe();
  } catch {
    return say("failed", { canEnable: true });
  }
  const token = document.querySelector("meta[name=csrf-token]").content;
  const body = new URLSearchParams({ subscription: JSON.stringify(subscription) });
  const saved = await fetch(place.dataset.pushUrl, { method: "POST", body, headers: { "X-CSRFToken": token } }).catch(() => null);
  if (saved?.status === 201) return location.reload();
  await subscription.unsubscribe().catch(() => null);
  return say("refused", { canEnable: true });
}

async function leave(event) {
  const form = event.target;
  event.preventDefault();
  try {
    const subscription = await subscriptionHere();
    if (subscription && (await fingerprint(subscription)) === form.dataset.browser) await subscription.unsubscribe();
  } catch {
    // the browser will not; what it is sent here ends all the same
  }
  form.submit();
}

if (place) {
  place.querySelector("button").addEventListener("click", enable);
  show().catch(() => say("old"));
}
document.querySelector("form[data-browser]")?.addEventListener("submit", leave);
