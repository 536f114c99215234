"""The wrappers for React and Vue where there is no browser: while a server renders the page."""

import json
import subprocess

import pytest

from notifier.ground.config import ROOT
from notifier.ground.version import VERSION
from tests.running import installed

REACT = """
import { createElement as h } from "react";
import { renderToString } from "react-dom/server";
import { NotifierInbox, NotifierPreferences, useFeed } from "./clients/react/index.js";
function App() {
  const { status, items, feed } = useFeed({ server, token: "t" });
  return h("main", {}, `${status} ${items.length} ${feed}`,
    h(NotifierInbox, { server, token: "t", inboxUrl: "/mail", className: "mine", labels: {}, renderItem: () => null }),
    h(NotifierPreferences, { server, onChange() {} }));
}
console.log(renderToString(h(App)));
"""
VUE = """
import { createSSRApp, h } from "vue";
import renderer from "@vue/server-renderer";
import { NotifierInbox, NotifierPreferences, useFeed } from "./clients/vue/index.js";
const App = {
  setup() {
    const { snapshot, feed } = useFeed({ server, token: "t" });
    const { status, items } = snapshot.value;
    return () => h("main", {}, [`${status} ${items.length} ${feed.value}`,
      h(NotifierInbox, { server, token: "t", inboxUrl: "/mail", class: "mine", labels: {} }, { item: () => null }),
      h(NotifierPreferences, { server, onChange() {} })]);
  },
};
console.log((await renderer.renderToString(createSSRApp(App))).replace(/<!--.*?-->/g, ""));
"""


@pytest.mark.parametrize("program", [REACT, VUE], ids=["React", "Vue"])
def test_a_server_renders_the_elements_and_reads_nothing(program: str) -> None:
    source = f'const server = "https://notifier.example";\n{program}'
    command = [installed("node"), "--input-type=module", "--eval", source]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    elements = done.stdout.strip().removeprefix("<main>connecting 0 null").removesuffix("</main>")
    inbox, preferences, nothing = elements.split("></", 2)
    attributes = set(inbox.removeprefix("<notifier-inbox ").split())
    assert attributes == {'server="https://notifier.example"', 'token="t"', 'inbox-url="/mail"', 'class="mine"'}
    assert preferences == 'notifier-inbox><notifier-preferences server="https://notifier.example"'
    assert nothing == "notifier-preferences>"


_SAID = """
import { Labels } from "./static/js/inbox/labels.js";
const own = { undo: 5, search: null, arrivedSeveral: { one: "Eine neue" }, selected: { one: "eine", other: "{n} da" } };
const labels = new Labels({ locale: "de", own, translated: { "Undo": "Rückgängig" } });
const said = [["undo"], ["search"], ["arrivedSeveral", 1], ["arrivedSeveral", 2], ["selected", 1], ["selected", 2]];
console.log(JSON.stringify(said.map(([name, n]) => labels.say(name, { n }))));
"""


def test_what_a_page_words_by_halves_is_worded_as_without_it() -> None:
    command = [installed("node"), "--input-type=module", "--eval", _SAID]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "Rückgängig",
        "Search",
        "Eine neue",
        "2 new notifications",
        "eine",
        "2 da",
    ]


def test_react_and_vue_take_and_tell_the_same() -> None:
    [react, vue] = [(ROOT / "clients" / name / "inbox.d.ts").read_text() for name in ("react", "vue")]
    assert react == vue
    assert (ROOT / "clients" / "react" / "index.js").read_text().startswith('"use client";\n')  # for Next.js


@pytest.mark.parametrize("name", ["react", "vue"])
def test_its_version_is_that_of_the_product(name: str) -> None:
    assert json.loads((ROOT / "clients" / name / "package.json").read_text())["version"] == VERSION


@pytest.mark.parametrize("name", ["javascript", "react", "vue"])
def test_it_brings_its_licence(name: str) -> None:
    """npm packs a file of that name by itself."""
    assert (ROOT / "clients" / name / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
