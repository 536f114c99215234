// Shows what is pushed while no page of ours is open, and opens its link on a click. Served at /service-worker.js.
// The payload is that of notifier/channels/adapters/webpush_vapid.py; it is data of others, so only web addresses are followed.

const HOME = "/inbox";
const UNNAMED = "You have a new notification"; // in the person's language, as Notifier serves it
const OPENED = "/api/v1/inbox/opened";
const RENEWED = "/preferences/browsers/renewed";

function read(event) {
  try {
    return event.data.json() ?? {};
  } catch {
    return {}; // an empty push: browsers demand that something is shown
  }
}

function webAddress(text) {
  try {
    const url = new URL(text, location.origin);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  const { title, body, image, tag, url, delivery } = read(event);
  const options = { body: body || "", tag: tag || "", icon: "/static/favicon.svg", data: { url, delivery } };
  const picture = image && webAddress(image);
  if (picture) options.image = picture;
  event.waitUntil(self.registration.showNotification(title || UNNAMED, options));
});

async function open(url) {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = windows.find((window) => window.url === url);
  return there ? there.focus() : self.clients.openWindow(url);
}

// Nobody is shown a failure: somebody may have signed out since.
async function tellOpened(delivery) {
  const headers = { "Content-Type": "application/json" };
  await fetch(OPENED, { method: "POST", headers, body: JSON.stringify({ ids: [delivery] }) }).catch(() => null);
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const { url, delivery } = event.notification.data ?? {};
  const opening = open((url && webAddress(url)) || webAddress(HOME));
  event.waitUntil(Promise.all([opening, delivery && tellOpened(delivery)]));
});

// The browser's subscription has ended. Some make another one themselves, some leave that to us; those that do not say
// which one has ended are switched on again by the person. Nobody is shown a failure: somebody may have signed out since.
async function renew({ oldSubscription: before, newSubscription: after }) {
  if (!before) return;
  const { applicationServerKey } = before.options;
  const subscription = after ?? (await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey }));
  await fetch(RENEWED, { method: "POST", body: new URLSearchParams({ endpoint: before.endpoint, subscription: JSON.stringify(subscription) }) });
}

self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renew(event).catch(() => null)));
