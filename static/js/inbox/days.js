// How a list is told apart: under the day of each item, and repeats of one thing folded into the newest of them.

// → [{item, day: a Date when another day begins with it, else null, repeats: ids of the items folded under it}] for all
// items in their order, by the reader's calendar (`when`); `folded` is true for one that stands under another.
export function grouped(items, when) {
  let before = null;
  let leader = null;
  return items.map((item) => {
    const at = new Date(item.created_at);
    const isNewDay = before === null || when.daysBetween(at, new Date(before.created_at)) !== 0;
    const isRepeat = !isNewDay && isAlike(before, item);
    const entry = { item, day: isNewDay ? at : null, repeats: [], leader: isRepeat ? leader.item.id : null };
    if (isRepeat) leader.repeats.push(item.id);
    else leader = entry;
    before = item;
    return entry;
  });
}

// They say the same and are in the same state, so that what is done to one may be done to all.
function isAlike(one, other) {
  return one.type === other.type && one.title === other.title && Boolean(one.read_at) === Boolean(other.read_at) && Boolean(one.archived_at) === Boolean(other.archived_at) && one.snoozed_until === other.snoozed_until;
}
