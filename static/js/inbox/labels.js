// Every text of the component, in English. The catalogues (notifier/ground/languages) have them in the other languages,
// and a page that embeds the component can replace each by its name: element.labels = { empty: "All done" }.
//
// {name} in a text is filled when it is shown. Of a plural, {n} is the number, and there is one text for each form of the
// language (Intl.PluralRules).

const _ = (text) => text;
const plural = (one, other) => ({ one, other });

export const LABELS = {
  actionArchive: _("Archive"),
  actionBringBack: _("Bring back"),
  actionBringBackNow: _("Bring back now"),
  actionMoveBack: _("Move back"),
  actionMoveBackToInbox: _("Move back to the inbox"),
  actionRead: _("Mark as read"),
  actionSelect: _("Select"),
  actionSnooze: _("Snooze"),
  actionSnoozeUntil: _("Snooze …"),
  actionUnread: _("Mark as unread"),
  actionUnselect: _("Unselect"),
  actionWhy: _("Why did I get this?"),
  actions: _("Actions"),
  actionsOf: _("{action}: {title}"),
  allRead: _("All marked as read"),
  arrivedOne: _("New notification: {title}"),
  arrivedSeveral: plural("{n} new notification", "{n} new notifications"),
  bulkDone: plural("{n} notification: {done}", "{n} notifications: {done}"),
  categoriesAll: _("All categories"),
  category: _("Category"),
  categoryMarketing: _("Marketing"),
  categorySocial: _("Social"),
  categorySystem: _("System"),
  categoryTransactional: _("Transactional"),
  choiceAll: _("All {category} by {channel}"),
  choiceAlloff: _("All off"),
  choiceAllon: _("All on"),
  choiceAlways: _("Always on"),
  choiceLocked: _("Always on: it protects your account."),
  choiceOne: _("{title} by {channel}"),
  choiceSome: _("Some on, some off"),
  choiceWhole: _("All {category}"),
  choicesFailed: _("Your preferences could not be loaded."),
  close: _("Close"),
  dateAndTime: _("Date and time"),
  dismiss: _("Dismiss"),
  doneArchive: _("Archived"),
  doneRead: _("Marked as read"),
  doneSnooze: _("Snoozed until {time}"),
  doneUnarchive: _("Moved back to the inbox"),
  doneUnread: _("Marked as unread"),
  doneUnsnooze: _("Moved back to the inbox"),
  emptyAll: _("Nothing here yet"),
  emptyAllMore: _("New notifications appear here the moment they happen."),
  emptyArchived: _("Nothing archived"),
  emptyArchivedMore: _("Notifications you archive are kept here."),
  emptyCategory: _("There is nothing in this category here."),
  emptySearch: _("Nothing matches “{words}”."),
  emptySearchInCategory: _("Nothing matches “{words}” in this category."),
  emptySnoozed: _("Nothing snoozed"),
  emptySnoozedMore: _("Notifications you snooze wait here until their time."),
  emptyUnread: _("You are all caught up"),
  emptyUnreadMore: _("Everything has been read."),
  endedCookie: _("You are signed out. Reload the page to sign in again."),
  endedToken: _("This session has ended. Reload the page to continue."),
  inbox: _("Inbox"),
  justNow: _("just now"),
  keyArchive: _("Archive, or move back"),
  keyEscape: _("Leave the selection, the search or the panel"),
  keyHelp: _("This help"),
  keyNext: _("Next notification"),
  keyOpen: _("Open it"),
  keyPrevious: _("Previous notification"),
  keyRead: _("Mark as read or unread"),
  keySearch: _("Search"),
  keySelect: _("Select; with Shift, up to here"),
  keySnooze: _("Snooze"),
  keyUndo: _("Undo"),
  keys: _("Keyboard shortcuts"),
  keysOn: _("Use these keys in this browser"),
  listHint: _("Arrow keys move between notifications."),
  loadFailed: _("We could not load your notifications"),
  loadFailedMore: _("Check your connection, then try again."),
  loading: _("Loading"),
  markAllRead: _("Mark all read"),
  moreChannels: _("More channels"),
  mute: _("Mute"),
  muteHour: _("For an hour"),
  muteTomorrow: _("Until tomorrow morning"),
  mutedUntil: _("Muted until {time}"),
  notFound: _("Nothing found"),
  notRefreshed: _("The list could not be refreshed."),
  notSaved: _("That was not saved. Try again."),
  noticeDesktop: _("Show new notifications on the desktop while this page is out of sight"),
  noticeRefused: _("This browser does not allow it for this site."),
  noticeSound: _("Play a sound when something arrives"),
  notices: _("When something arrives"),
  notifications: _("Notifications"),
  notificationsUnread: _("Notifications, {n} unread"),
  offline: _("You are offline. New notifications will appear when you are back."),
  olderFailed: _("Older notifications could not be loaded."),
  openInbox: _("Open inbox"),
  openPreferences: _("Preferences"),
  preferences: _("Preferences"),
  quiet: _("Quiet hours"),
  quietFrom: _("From"),
  quietKeep: _("Keep these hours quiet"),
  quietOff: _("Quiet hours are off"),
  quietOn: _("Quiet from {start} to {end}"),
  quietSame: _("Quiet hours begin and end at different times."),
  quietTo: _("To"),
  repeats: _("{n} more like this"),
  repeatsHide: _("Show one"),
  search: _("Search"),
  searchNotifications: _("Search notifications"),
  selectAll: _("Select all"),
  selected: plural("{n} selected", "{n} selected"),
  selectedClear: _("Clear the selection"),
  selectedNotifications: _("Selected notifications"),
  selectedOf: _("{action}: selected"),
  show: _("Show"),
  showEverything: _("Show everything"),
  showOlder: _("Show older"),
  snoozeEvening: _("This evening"),
  snoozeHour: _("In an hour"),
  snoozeNextWeek: _("Next week"),
  snoozePast: _("Choose a time in the future, within a year."),
  snoozeTomorrow: _("Tomorrow morning"),
  snoozeUntil: _("Snooze until"),
  snoozedUntil: _("Snoozed until {time}"),
  switchedOff: _("Switched off: {what}"),
  switchedOn: _("Switched on: {what}"),
  tabAll: _("All"),
  tabArchived: _("Archived"),
  tabSnoozed: _("Snoozed"),
  tabUnread: _("Unread"),
  tryAgain: _("Try again"),
  undo: _("Undo"),
  undone: _("Undone"),
  unmute: _("Unmute now"),
  unmuted: _("Not muted"),
  unread: _("(unread)"),
  whyChange: _("Change it (opens a new window)"),
  whyFailed: _("The reason could not be loaded. Try again."),
};

export class Labels {
  #own;
  #translated;
  #locale;
  #rules;

  // `own`: name → text, of the page. `translated`: English text → text (or forms), as the server's dictionary has it.
  constructor({ locale, own = {}, translated = {} } = {}) {
    this.#own = own;
    this.#translated = translated;
    this.#locale = locale;
    this.#rules = new Intl.PluralRules(locale);
  }

  get locale() {
    return this.#locale;
  }

  // What a page has given may be no text, or lack a form.
  #form(text, n) {
    return typeof text === "object" && text !== null ? (text[this.#rules.select(n)] ?? text.other) : text;
  }

  say(name, values = {}) {
    const english = LABELS[name];
    const texts = [this.#own[name], this.#translated[english.one ?? english], english];
    const form = texts.map((text) => this.#form(text, values.n)).find((text) => typeof text === "string");
    return form.replace(/\{(\w+)\}/g, (_all, key) => (typeof values[key] === "number" ? values[key].toLocaleString(this.#locale) : values[key]));
  }
}

const LATE_MS = 5000; // nothing is shown before: then rather in English

// → the server's dictionary for a language: an empty one where it has none; null: there was no answer.
export async function dictionary(base, language) {
  try {
    const answer = await fetch(`${base}/labels/${encodeURIComponent(language)}.json`, { signal: AbortSignal.timeout(LATE_MS) });
    if (answer.status === 404) return {};
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
