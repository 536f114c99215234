import { Client, Inbox, Problem, verifyWebhook, type Submission } from "notifier-client";

const notifier = new Client({ url: "https://notifier.example", key: "k" });
new Client({ url: "https://notifier.example", clientId: "i", clientSecret: "s", scope: "notify", patienceMs: 1_000 });
new Client({ url: "https://notifier.example" }); // wrong
const shipped: Submission = { type: "order_shipped", recipients: ["ann", { id: "bob", email: null }], priority: "high" };
const sent = await notifier.send(shipped, { idempotencyKey: "once" });
const status: string | undefined = sent.notifications?.[0]?.deliveries[0]?.status;
sent.notifications[0]; // wrong
console.log(sent.ident); // wrong
await notifier.send({ type: "like", recipients: ["ann"], priority: "soon" }); // wrong
await notifier.send({ type: "like", recipients: ["ann"], chanels: ["inapp"] }); // wrong
await notifier.send({ recipients: ["ann"] }); // wrong
for (const { index, error } of await notifier.sendMany([shipped])) console.log(index, error?.suggestion, status);
for await (const event of notifier.events({ types: "delivery.*" })) console.log(event.data.delivery?.channel);
for await (const one of notifier.pages<{ key: string }>("/api/v1/types")) console.log(one.key.length);
const sale = await notifier.broadcasts.create({ name: "Sale", type: "newsletter", audience: { all: true } });
if (sale.status === "running") console.log(sale.counts.channels.email?.sent);
if (sale.status === "runing") console.log(sale); // wrong
const inbox = new Inbox({ url: "https://notifier.example", token: async () => "t" });
await inbox.snooze({ all: true, filter: "unread" }, new Date());
await inbox.read("itm_1"); // wrong
const told = await verifyWebhook("whsec_", new Uint8Array(), { "webhook-id": "evt_1" });
console.log(told.type.length);
try {
  await inbox.list({ filter: "unread", limit: 10 });
} catch (error) {
  if (error instanceof Problem) console.log(error.status + 1, error.errors.map(({ pointer }) => pointer));
}
