// The picture of an item that brings none: a person's initials, or the icon of its type, or of its category.

const OF_TYPE = {
  account_activity: "person",
  account_invitation: "follow",
  comment: "comment",
  delivery_failure: "alert",
  delivery_update: "truck",
  follow: "follow",
  fraud_alert: "alert",
  like: "heart",
  marketing_digest: "stack",
  newsletter: "news",
  one_time_code: "key",
  order_cancelled: "cancelled",
  order_confirmed: "cart",
  order_delayed: "snooze",
  order_delivered: "delivered",
  order_packed: "box",
  order_placed: "cart",
  order_shipped: "truck",
  out_for_delivery: "truck",
  password_reset: "key",
  promotional_offer: "tag",
  security_alert: "shield",
  social_digest: "stack",
  subscription_disabled: "alert",
  synthetic_alarm: "alert",
  system_digest: "stack",
};
const OF_CATEGORY = { transactional: "box", marketing: "tag", social: "person", system: "shield" };

export function iconOf({ type, category }) {
  return OF_TYPE[type] ?? OF_CATEGORY[category] ?? "bell";
}

// Of whoever did it, as types such as `like` say in `data.actor`: "Ada King" → "AK". → null: nobody is named.
export function initialsOf({ category, data }) {
  const actor = category === "social" && typeof data?.actor === "string" ? data.actor.trim() : "";
  const names = actor.split(/\s+/).filter(Boolean);
  if (names.length === 0) return null;
  return [names[0], ...(names.length > 1 ? [names.at(-1)] : [])].map((name) => [...name][0].toLocaleUpperCase()).join("");
}
