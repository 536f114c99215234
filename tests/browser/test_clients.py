"""The clients (`clients/`) in a page without a bundler: the wrappers with the real React and Vue, the inbox's calls."""

import mimetypes
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from docs.embedding.serve import policy
from tests.browser.conftest import Person, Tabs, becomes_true
from tests.browser.inbox_page import NewPerson
from tests.running import ROOT

PACKAGES = ROOT / "node_modules"
# The builds for development: they warn, and StrictMode does everything twice. React comes as CommonJS only: each file
# is wrapped into a module, with what it requires imported before
COMMON = {
    "react": ("react/cjs/react.development.js", ()),
    "scheduler": ("scheduler/cjs/scheduler.development.js", ()),
    "react-dom": ("react-dom/cjs/react-dom.development.js", ("react",)),
    "react-dom/client": ("react-dom/cjs/react-dom-client.development.js", ("react", "react-dom", "scheduler")),
}
NAMES = {
    "react": "StrictMode createElement useCallback useEffect useRef useState useSyncExternalStore",
    "react-dom": "createPortal",
    "react-dom/client": "createRoot",
}
MODULES = {
    "vue": PACKAGES / "vue/dist/vue.runtime.esm-browser.js",
    "@notifier/react": ROOT / "clients/react/index.js",
    "@notifier/vue": ROOT / "clients/vue/index.js",
}
REACT = """
import { StrictMode, createElement as h, useEffect } from "react";
import { createRoot } from "react-dom/client";
import { NotifierInbox, NotifierPreferences, useFeed } from "@notifier/react";
window.heard = [];
window.rows = 0;
function Row({ item, act }) {
  useEffect(() => {
    window.rows += 1;
    return () => (window.rows -= 1);
  }, []);
  return h("p", { className: "mine" }, item.title, " ", h("button", { onClick: () => act("archive") }, "Done"));
}
function App() {
  const { unread, items, state, feed } = useFeed(options);
  return h("main", {},
    h("output", {}, `${unread} unread of ${items.length}${state === "failed" ? ", failed" : ""}`),
    h("button", { onClick: () => feed.readAll() }, "Read them all"),
    h(NotifierInbox, { ...options, labels: { inbox: "Mail" }, onItemAction: ({ detail }) => heard.push(detail.action),
                       onCount: ({ detail }) => heard.push(detail.unread),
                       renderItem: (item, { act }) => h(Row, { item, act }) }),
    h(NotifierPreferences, options));
}
let root;
window.begin = () => {
  root = createRoot(document.getElementById("app"));
  root.render(h(StrictMode, {}, h(App)));
};
window.end = () => root.unmount();
begin();
"""
VUE = """
import { createApp, h, onMounted, onUnmounted } from "vue";
import { NotifierInbox, NotifierPreferences, useFeed } from "@notifier/vue";
window.heard = [];
window.rows = 0;
const Row = {
  props: ["item", "act"],
  setup(props) {
    onMounted(() => (window.rows += 1));
    onUnmounted(() => (window.rows -= 1));
    return () => h("p", { class: "mine" }, [props.item.title, " ",
      h("button", { onClick: () => props.act("archive") }, "Done")]);
  },
};
const App = {
  setup() {
    const { snapshot, feed } = useFeed(options);
    return () => h("main", {}, [
      h("output", {}, `${snapshot.value.unread} unread of ${snapshot.value.items.length}` +
        (snapshot.value.state === "failed" ? ", failed" : "")),
      h("button", { onClick: () => feed.value.readAll() }, "Read them all"),
      h(NotifierInbox, { ...options, labels: { inbox: "Mail" }, onItemAction: ({ detail }) => heard.push(detail.action),
                         onCount: ({ detail }) => heard.push(detail.unread) },
        { item: ({ item, act }) => h(Row, { item, act }) }),
      h(NotifierPreferences, options)]);
  },
};
let app;
window.begin = () => {
  app = createApp(App);
  app.mount("#app");
};
window.end = () => app.unmount();
begin();
"""


# The client for programs, beside the component
_BY_CLIENT = """async () => {
  const { Inbox } = await import("/client/index.js");
  const inbox = new Inbox({ url: options.server, token: () => options.token });
  const { data, unread } = await inbox.list();
  if (data.length === 2 && unread === 0) await inbox.unread([data[0].id]);
}"""


def wrapped(name: str) -> str:
    path, required = COMMON[name]
    imports = "".join(f'import r{number} from "{other}";' for number, other in enumerate(required))
    known = ",".join(f'"{other}": r{number}' for number, other in enumerate(required))
    exports = f"export const {{{','.join(NAMES[name].split())}}} = module.exports;" if name in NAMES else ""
    return (
        f"{imports}const module = {{exports: {{}}}}, process = {{env: {{NODE_ENV: 'development'}}}};"
        f"(function (module, exports, require) {{{(PACKAGES / path).read_text()}\n}})"
        f"(module, module.exports, (name) => ({{{known}}})[name]);"
        f"export default module.exports;{exports}"
    )


@pytest.fixture
def page_of(tabs: Tabs) -> Iterator[Callable[[str, Person], str]]:
    """`page_of(program, alice)` → the address of a page that runs it for her."""
    servers = []

    def _page_of(program: str, person: Person) -> str:
        names = [*COMMON, *MODULES]
        map = ",".join(f'"{name}": "/modules/{number}.js"' for number, name in enumerate(names))
        html = (
            f'<!doctype html><title>Shop</title><script type="importmap">{{"imports": {{{map}}}}}</script>'
            f'<script>const options = {{server: "{tabs.base}", token: "{person.token()}"}}</script>'
            f'<div id="app"></div><script type="module" src="/program.js"></script>'
        )

        def content(path: str) -> str:
            if path == "/":
                return html
            if path == "/program.js":
                return program
            if path.startswith("/client/"):
                return (ROOT / "clients/javascript" / Path(path).name).read_text()
            name = names[int(Path(path).stem)]
            return wrapped(name) if name in COMMON else MODULES[name].read_text()

        class Site(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/favicon.ico":
                    self.send_response(204)
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", mimetypes.guess_type(self.path)[0] or "text/html; charset=utf-8")
                inline = policy(tabs.base).replace("script-src", "script-src 'unsafe-inline'")
                self.send_header("Content-Security-Policy", inline)
                self.end_headers()
                self.wfile.write(content(self.path).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield _page_of
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("program", [REACT, VUE], ids=["React", "Vue"])
def test_a_framework_shows_hears_draws_and_lists_the_inbox(
    tabs: Tabs, person: NewPerson, page_of: Callable[[str, Person], str], program: str
) -> None:
    alice = person()
    alice.notify_all("Zeroth", "First")
    page = tabs.open()
    page.goto(page_of(program, alice))
    expect(page.locator("output")).to_have_text("2 unread of 2")
    expect(page.get_by_role("heading", name="Mail")).to_be_visible()
    expect(page.locator(".mine")).to_have_text(["First Done", "Zeroth Done"])
    expect(page.locator("notifier-preferences").get_by_role("heading", name="Social")).to_be_visible()
    alice.notify("Second")
    expect(page.locator("output")).to_have_text("3 unread of 3")
    expect(page.locator("li.row")).to_have_count(3)
    expect(page.locator(".mine", has_text="Second")).to_be_visible()
    page.locator(".mine", has_text="First").get_by_role("button", name="Done").click()
    expect(page.locator("output")).to_have_text("2 unread of 2")
    assert becomes_true(page, "rows === 2")  # what a row held is let go with it
    page.get_by_role("button", name="Read them all").click()
    expect(page.locator("output")).to_have_text("0 unread of 2")
    heard = page.evaluate("heard")
    assert "archive" in heard
    assert heard[-1] == 0
    page.evaluate(_BY_CLIENT)
    expect(page.locator("output")).to_have_text("1 unread of 2")
    page.evaluate("end()")
    expect(page.locator("notifier-inbox")).to_have_count(0)
    assert page.evaluate("rows") == 0


@pytest.mark.parametrize("program", [REACT, VUE], ids=["React", "Vue"])
def test_a_component_that_could_not_be_loaded_is_asked_for_again(
    tabs: Tabs, person: NewPerson, page_of: Callable[[str, Person], str], program: str
) -> None:
    tabs.expect("Failed to (load|fetch)")
    alice = person()
    alice.notify("First")
    page = tabs.open()
    page.route("**/static/inbox.js", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.goto(page_of(program, alice))
    expect(page.locator("output")).to_have_text("0 unread of 0, failed")
    page.unroute("**/static/inbox.js")
    page.evaluate("end(); begin()")
    expect(page.locator("output")).to_have_text("1 unread of 1")
    expect(page.locator(".mine")).to_contain_text("First")
