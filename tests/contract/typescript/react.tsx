import { StrictMode } from "react";
import { NotifierInbox, NotifierPreferences, useFeed, type Item } from "@notifier/react";
import type { Item as ItemOfTheApi } from "notifier-client";

const asTheApiHasIt = (item: ItemOfTheApi): Item => item;
const asTheComponentHasIt = (item: Item): ItemOfTheApi => item;

export function App({ server, token }: { server: string; token: string | null }) {
  const { unread, items, feed, status } = useFeed({ server, token, filter: "unread" });
  if (status === "nowhere") return null; // wrong
  void feed?.snooze(new Date(), items[0]!.id);
  feed.readAll(); // wrong
  return (
    <StrictMode>
      <output>{unread}</output>
      <NotifierInbox server={server} mode="bell" renderItem={(item, { act }) => <b onClick={() => act("read")}>{item.title}</b>}
        onItemClick={({ detail }) => console.log(detail.part, detail.url)} labels={{ inbox: "Mail" }} data-test="1" />
      <NotifierInbox server={server} mode="bel" /> // wrong
      <NotifierPreferences server={server} open="all" onChange={({ detail }) => console.log(detail.choice)} />
    </StrictMode>
  );
}
console.log(asTheApiHasIt, asTheComponentHasIt);
