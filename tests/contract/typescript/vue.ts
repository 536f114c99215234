import { h, ref } from "vue";
import { NotifierInbox, NotifierPreferences, useFeed, type Item } from "@notifier/vue";

const options = ref({ server: "https://notifier.example", token: null as string | null });
const { snapshot, feed } = useFeed(options);
useFeed(() => ({ ...options.value, filter: "unread" as const }));
useFeed({ filter: "some" }); // wrong
const first: Item | undefined = snapshot.value.items[0];
void feed.value?.archive(first?.id ?? "");
feed.value.readAll(); // wrong
h(NotifierInbox, { server: "https://notifier.example", mode: "bell", onItemClick: ({ detail }) => detail.item.title });
h(NotifierInbox, { mode: "bel" }); // wrong
h(NotifierPreferences, { open: "all", onChange: ({ detail }) => detail.choice });
