"""The inbox as a part of somebody else's page: what it tells the page, how the page words, draws and styles it, and the
feed without a look of its own.
"""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from docs.embedding.serve import policy
from tests.browser.conftest import Person, Tabs
from tests.browser.inbox_page import NewPerson
from tests.running import eventually

Elsewhere = Callable[[str, str], str]
Embedded = Callable[..., Page]


@pytest.fixture
def embedded(tabs: Tabs, elsewhere: Elsewhere) -> Embedded:
    """`embedded(alice, inside, attributes)` → a page with her inbox. `heard` keeps what the inbox says."""

    def _embedded(person: Person, inside: str = "", attributes: str = "", style: str = "") -> Page:
        html = f"""<!doctype html><title>Shop</title><style>{style}</style>
            <script type="module" src="{tabs.base}/static/inbox.js"></script>
            <main><notifier-inbox server="{tabs.base}" token="{person.token()}" {attributes}>{inside}</notifier-inbox>
            </main>"""
        page = tabs.open()
        page.add_init_script(
            """window.heard = [];
               for (const name of ["notifier-item-click", "notifier-item-action", "notifier-count"])
                 addEventListener(name, (event) => heard.push([name, event.detail]));"""
        )
        page.goto(elsewhere(html, policy(tabs.base).replace("style-src 'self'", "style-src 'unsafe-inline'")))
        return page

    return _embedded


def test_the_page_hears_clicks_actions_and_counts(person: NewPerson, embedded: Embedded) -> None:
    alice = person()
    alice.notify("Green shoes", url="https://example.com/shoes")
    page = embedded(alice)
    title = page.locator("li.row .title")
    expect(title).to_have_text("Green shoes")
    page.evaluate("addEventListener('notifier-item-click', (event) => event.preventDefault())")
    title.click()
    row = page.locator("li.row")
    row.hover()
    row.get_by_role("button", name="Archive").click()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(title).to_have_text("Green shoes")
    alice.receive("comment", actor="Mira", url="https://example.com/post", reply_url="https://example.com/reply")
    for button in ("Reply", "View"):
        page.get_by_role("link", name=button, exact=True).click()
    eventually(lambda: page.evaluate("heard.findLast(([name]) => name.endsWith('count'))[1].unread") == 0)
    told = page.evaluate(
        """heard.map(([name, detail]) => [name.slice(9), detail.part ?? detail.action ?? detail.unread,
                                           detail.url ?? detail.items?.[0].title ?? detail.unseen ?? null])"""
    )
    assert [line for line in told if line[0] != "count"] == [
        ["item-click", "title", "https://example.com/shoes"],
        ["item-action", "read", "Green shoes"],
        ["item-action", "archive", "Green shoes"],
        ["item-click", "action", "https://example.com/reply"],
        ["item-action", "read", "Mira commented on your post"],
        ["item-click", "secondary-action", "https://example.com/post"],
    ]
    counts = [line[1] for line in told if line[0] == "count"]
    assert (counts[0], counts[-1]) == (1, 0)
    assert page.title() == "Shop"


def test_the_page_words_it_in_its_own_language(person: NewPerson, embedded: Embedded) -> None:
    alice = person()
    alice.notify("Grüne Schuhe")
    page = embedded(alice, attributes="locale='fr'")
    expect(page.get_by_role("heading", name="Boîte de réception")).to_be_visible()
    labels = '{"inbox": "Postfach", "tabUnread": "Ungelesen", "actionArchive": "Ablegen"}'
    page = embedded(alice, attributes=f"locale='de' labels='{labels}'")
    expect(page.get_by_role("heading", name="Postfach")).to_be_visible()
    expect(page.get_by_role("heading", name="Heute")).to_be_visible()
    expect(page.get_by_role("button", name="Ablegen: Grüne Schuhe")).to_have_count(1)
    page.locator("notifier-inbox").evaluate("inbox => { inbox.labels = {inbox: 'Boîte'}; }")
    expect(page.get_by_role("heading", name="Boîte")).to_be_visible()
    expect(page.get_by_role("tab", name="Ungelesen")).to_be_visible()
    page.locator("notifier-inbox").evaluate("inbox => inbox.setAttribute('locale', 'en')")
    expect(page.get_by_role("tab", name="Unread")).to_be_visible()


def test_a_language_that_could_not_be_loaded_is_asked_for_again(
    person: NewPerson, embedded: Embedded, tabs: Tabs
) -> None:
    tabs.expect("Failed to load")
    page = embedded(person())
    inbox = page.locator("notifier-inbox")
    expect(inbox.get_by_role("tab", name="Archived")).to_be_visible()
    page.route("**/labels/de.json", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        inbox.evaluate("inbox => inbox.setAttribute('locale', 'de')")
    expect(inbox.get_by_role("tab", name="Archived")).to_be_visible()
    page.unroute("**/labels/de.json")
    inbox.evaluate("inbox => inbox.setAttribute('locale', 'de-AT')")
    expect(inbox.get_by_role("tab", name="Archiviert")).to_be_visible()


def test_every_text_of_the_inbox_can_be_replaced(person: NewPerson, embedded: Embedded, tabs: Tabs) -> None:
    """With each label replaced by ☂, no English is left but what the notification itself says."""
    alice = person()
    alice.notify("★")
    page = embedded(alice)
    expect(page.locator("li.row .title")).to_have_text("★")
    page.evaluate(
        """async (server) => {
             const { LABELS } = await import(`${server}/static/inbox.js`);
             const labels = Object.fromEntries(Object.keys(LABELS).map((name) => [name, "☂"]));
             document.querySelector("notifier-inbox").labels = labels;
           }""",
        tabs.base,
    )
    expect(page.locator("li.row .title")).to_have_text("★")
    page.locator(".help-button").click()
    words = page.locator("notifier-inbox").evaluate(
        """inbox => {
             const all = [...inbox.shadowRoot.querySelectorAll("*:not(style, .body, time, .day *, kbd)")];
             const texts = all.flatMap((element) => [element.getAttribute("aria-label"), element.title,
               element.placeholder,
               ...[...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data)]);
             return [...new Set(texts.filter((text) => /[a-z]{3}/i.test(text ?? "")))]
               .filter((text) => !/(AM|PM|UTC|GMT)$/.test(text));
           }"""
    )
    dates = [text for text in words if any(year in text for year in ("202", "203"))]
    assert [text for text in words if text not in dates] == []


def test_the_page_draws_the_words_of_a_row_itself(person: NewPerson, embedded: Embedded) -> None:
    alice = person()
    alice.notify("Green shoes", url="https://example.com/", offer="30 % off")
    page = embedded(alice, style=".mine { color: rgb(1, 2, 3); }")
    expect(page.locator("li.row")).to_have_count(1)
    page.locator("notifier-inbox").evaluate(
        """inbox => {
             inbox.renderItem = (item, { act }) => {
               const box = document.createElement("div");
               box.className = "mine";
               const done = document.createElement("button");
               done.textContent = "Done";
               done.addEventListener("click", () => act("archive"));
               box.append(`${item.title}, ${item.data.offer} `, done);
               return box;
             };
           }"""
    )
    mine = page.locator(".mine")
    expect(mine).to_contain_text("Green shoes, 30 % off")
    expect(mine).to_have_css("color", "rgb(1, 2, 3)")
    page.evaluate("addEventListener('notifier-item-click', (event) => event.preventDefault())")
    mine.click(position={"x": 3, "y": 5})
    eventually(lambda: page.evaluate("heard.some(([name]) => name === 'notifier-item-click')"))
    mine.get_by_role("button", name="Done").click()
    expect(page.locator(".mine")).to_have_count(0)
    assert page.evaluate("heard.filter(([name]) => name === 'notifier-item-click').length") == 1
    alice.notify("Red hats", offer="none")
    expect(mine).to_contain_text("Red hats, none")
    page.locator("notifier-inbox").evaluate(
        """inbox => {
             window.reported = 0;
             window.reportError = () => { reported += 1; };
             inbox.renderItem = (item) => (item.title === "Red hats" ? item.data.nothing.there : null);
           }"""
    )
    alice.notify("Blue gloves")
    expect(page.locator("li.row .title:not(.is-covered)")).to_have_text(["Blue gloves", "Red hats"])
    assert page.evaluate("reported") > 0


def test_a_template_in_the_page_draws_the_rows(person: NewPerson, embedded: Embedded) -> None:
    alice = person()
    alice.notify("<b>Green</b> shoes", offer="30 % off")
    template = (
        "<template><p class='mine'><strong data-field='title'></strong>: <span data-field='data.offer'></span></p>"
        "</template>"
    )
    page = embedded(alice, inside=template)
    expect(page.locator(".mine")).to_have_text("<b>Green</b> shoes: 30 % off")
    expect(page.locator("li.row .body")).to_have_count(0)


def test_the_page_styles_the_parts(person: NewPerson, embedded: Embedded) -> None:
    alice = person()
    alice.notify("Green shoes")
    style = "notifier-inbox::part(title) { color: rgb(1, 2, 3); } notifier-inbox::part(day) { display: none; }"
    page = embedded(alice, style=style)
    expect(page.locator("li.row .title")).to_have_css("color", "rgb(1, 2, 3)")
    expect(page.locator(".day")).to_be_hidden()


def test_a_feed_without_a_look_lists_hears_and_marks(tabs: Tabs, person: NewPerson, elsewhere: Elsewhere) -> None:
    alice = person()
    alice.notify("First")
    page = tabs.open()
    page.goto(elsewhere("<!doctype html><title>Shop</title>", policy(tabs.base)))
    page.evaluate(
        """async ([server, token]) => {
             const { createFeed } = await import(`${server}/static/inbox.js`);
             window.feedToken = token;
             window.feed = createFeed({ server, token });
             window.titles = () => feed.snapshot.items.map((item) => item.title).join();
             window.changes = 0;
             window.stop = feed.subscribe(() => { changes += 1; });
             feed.addEventListener("arrived", ({ detail }) => { window.arrived = detail.items[0].title; });
           }""",
        [tabs.base, alice.token()],
    )
    eventually(lambda: page.evaluate("titles() === 'First' && feed.snapshot.status === 'online'"))
    assert page.evaluate("feed.snapshot === feed.snapshot && Object.isFrozen(feed.snapshot.items)")
    alice.notify("Second")
    eventually(
        lambda: page.evaluate("titles() === 'Second,First' && arrived === 'Second' && feed.snapshot.unread === 2")
    )
    page.evaluate("feed.read(feed.snapshot.items[0].id)")
    eventually(lambda: page.evaluate("feed.snapshot.unread === 1"))
    page.evaluate("feed.archive(feed.snapshot.items[0].id)")
    eventually(lambda: page.evaluate("titles() === 'First'"))
    page.evaluate("feed.show({ filter: 'archived' })")
    eventually(lambda: page.evaluate("titles() === 'Second'"))
    page.evaluate("feed.snooze(new Date(Date.now() + 3600e3), feed.snapshot.items[0].id)")
    page.evaluate("feed.show({ filter: 'all' })")
    eventually(lambda: page.evaluate("titles() === 'First'"))
    page.evaluate("feed.readAll()")
    eventually(lambda: page.evaluate("feed.snapshot.unread === 0"))
    page.evaluate(
        """async ([server, token]) => {
             const { createFeed } = await import(`${server}/static/inbox.js`);
             window.other = createFeed({ server, token: feedToken });
             stop(); feed.close(); feed.close(); window.before = changes;
           }""",
        [tabs.base, alice.token()],
    )
    alice.notify("Third")  # the other one has the same connection, which is not closed twice
    eventually(
        lambda: page.evaluate("other.snapshot.items[0]?.title === 'Third' && other.snapshot.status === 'online'")
    )
    assert page.evaluate("changes === before")


def test_a_refused_token_is_told_by_the_feed(tabs: Tabs, elsewhere: Elsewhere) -> None:
    tabs.expect("status of 401|WebSocket")
    page = tabs.open()
    page.goto(elsewhere("<!doctype html><title>Shop</title>", policy(tabs.base)))
    told = page.evaluate(
        """async (server) => {
             const { createFeed } = await import(`${server}/static/inbox.js`);
             const feed = createFeed({ server, token: "refused" });
             let told = 0;
             feed.addEventListener("unauthorized", () => { told += 1; });
             const isOver = ({ state, status }) => state === "failed" && status === "unauthorized";
             return new Promise((resolve) => feed.subscribe((now) => isOver(now) && setTimeout(() => resolve(told))));
           }""",
        tabs.base,
    )
    assert told == 1


def test_what_is_never_answered_is_given_up_and_shown_as_that(
    person: NewPerson, embedded: Embedded, tabs: Tabs
) -> None:
    """The words of a language are waited for less long than the list, and the page then speaks English."""
    never = embedded(person(), attributes="locale='en'").context
    never.add_init_script(
        "AbortSignal.timeout = ((real) => (ms) => real.call(AbortSignal, ms / 50))(AbortSignal.timeout)"
    )
    page = tabs.watch(never.new_page())
    for path in ("**/labels/de.json", "**/api/v1/inbox?*"):
        page.route(path, lambda _: None)
    page.goto(never.pages[0].url)
    page.locator("notifier-inbox").evaluate("inbox => inbox.setAttribute('locale', 'de')")
    expect(page.get_by_text("We could not load your notifications")).to_be_visible()


def test_the_title_and_the_language_are_those_of_the_page_around(
    person: NewPerson, embedded: Embedded, tabs: Tabs
) -> None:
    """Also where the page has put the inbox into a component of its own, and where it takes it away again."""
    alice = person()
    alice.notify("Grüne Schuhe")
    page = embedded(alice, attributes="count-in='title'")
    expect(page).to_have_title("(1) Shop")
    page.evaluate(
        """() => {
             document.documentElement.lang = "de_AT";
             const box = document.createElement("section");
             box.attachShadow({ mode: "open" });
             document.querySelector("main").append(box);
             box.shadowRoot.append(document.querySelector("notifier-inbox"));
           }"""
    )
    expect(page.get_by_role("tab", name="Archiviert")).to_be_visible()
    expect(page).to_have_title("(1) Shop")
    page.evaluate("document.querySelector('section').remove()")
    expect(page).to_have_title("Shop")


def test_a_zone_that_only_the_server_knows_is_left_to_the_browser(person: NewPerson, tabs: Tabs) -> None:
    alice = person()
    alice.notify("Green shoes")
    page = tabs.open(email=alice.email)
    page.add_init_script(
        """new MutationObserver((_, observer) => {
             if (document.documentElement?.dataset.zone) observer.disconnect();
             else if (document.documentElement) document.documentElement.dataset.zone = "Mars/Phobos";
           }).observe(document, { childList: true, subtree: true })"""
    )
    page.goto("/inbox")
    expect(page.locator("notifier-inbox.inbox-page .title")).to_have_text("Green shoes")
    assert page.evaluate("document.documentElement.dataset.zone") == "Mars/Phobos"


def test_a_sound_and_a_desktop_notice_are_each_persons_choice(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page = tabs.open(email=alice.email)
    page.context.grant_permissions(["notifications"])
    page.add_init_script(
        """window.rung = 0;
           window.noticed = [];
           const Real = AudioContext;
           window.AudioContext = class extends Real { constructor() { super(); rung += 1; } };
           const Permitted = Notification;
           window.Notification = class { constructor(title) { noticed.push(title); } addEventListener() {}
             static permission = "granted"; static requestPermission = () => Permitted.requestPermission(); };
           Object.defineProperty(document, "hidden", { get: () => window.isHidden ?? false });"""
    )
    page.goto("/inbox")
    expect(page.locator("notifier-inbox.inbox-page [aria-busy=true]")).to_have_count(0)
    alice.notify("Silent")
    expect(page.locator("notifier-inbox.inbox-page .title")).to_have_text(["Silent"])
    assert page.evaluate("[rung, noticed.length]") == [0, 0]
    page.locator("notifier-inbox.inbox-page .help-button").click()
    page.locator("notifier-inbox.inbox-page").get_by_label("Play a sound when something arrives").check()
    page.locator("notifier-inbox.inbox-page").get_by_label("Show new notifications on the desktop").check()
    page.keyboard.press("Escape")
    before = page.evaluate("rung")
    page.evaluate("isHidden = true")
    alice.notify("Heard")
    eventually(lambda: page.evaluate("noticed.length > 0"))
    eventually(lambda: page.evaluate("rung") > before)
    assert page.evaluate("[rung, noticed]") == [before + 1, ["Heard"]]
