// The inbox's looks, as a constructed sheet: a strict Content-Security-Policy allows it, also on other people's pages.
//
// A page themes it by setting these on the element (or above it):
//   --ntf-accent --ntf-on-accent --ntf-text --ntf-muted --ntf-surface --ntf-raised --ntf-line --ntf-hover --ntf-radius --ntf-font
// Without them it is light or dark as the system says.

export const sheet = new CSSStyleSheet();

sheet.replaceSync(`
:host {
  --accent: var(--ntf-accent, #4f46e5);
  --on-accent: var(--ntf-on-accent, #fff);
  --text: var(--ntf-text, #1b1b22);
  --muted: var(--ntf-muted, #5c5c6b);
  --surface: var(--ntf-surface, #fff);
  --raised: var(--ntf-raised, #fff);
  --line: var(--ntf-line, #e4e4ea);
  --hover: var(--ntf-hover, #f5f5f8);
  --radius: var(--ntf-radius, 12px);
  display: block;
  color: var(--text);
  font: 400 0.875rem/1.45 var(--ntf-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
}
:host([mode="bell"]) { display: inline-block; }
@media (prefers-color-scheme: dark) {
  :host {
    --accent: var(--ntf-accent, #a5a3fb);
    --on-accent: var(--ntf-on-accent, #16161a);
    --text: var(--ntf-text, #ededf2);
    --muted: var(--ntf-muted, #a3a3b2);
    --surface: var(--ntf-surface, #18181c);
    --raised: var(--ntf-raised, #1d1d22);
    --line: var(--ntf-line, #2c2c34);
    --hover: var(--ntf-hover, #212127);
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
h2, h3, p, ul { margin: 0; padding: 0; }
ul { list-style: none; }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 6px; }
.icon { fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round; stroke-linejoin: round; display: block; flex: none; }
.sr { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.view { position: relative; display: flex; flex-direction: column; min-height: 0; }
.head { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 0.5rem 1rem; padding: 1rem 1.125rem 0; border-bottom: 1px solid var(--line); }
.head h2 { font-size: 1.0625rem; font-weight: 650; letter-spacing: -0.011em; }
.tabs { display: flex; gap: 1.125rem; width: 100%; }
.tab { padding: 0.375rem 0 0.625rem; color: var(--muted); font-weight: 500; border-bottom: 2px solid transparent; margin-bottom: -1px; }
.tab:hover { color: var(--text); }
.tab[aria-selected="true"] { color: var(--text); border-bottom-color: var(--accent); }
.count:not(:empty) { margin-left: 0.375rem; padding: 0.0625rem 0.4375rem; border-radius: 99px; background: var(--hover); color: var(--text); font-size: 0.75rem; font-variant-numeric: tabular-nums; }
.quiet { display: inline-flex; align-items: center; gap: 0.375rem; padding: 0.25rem 0.5rem; margin: -0.25rem -0.5rem; border-radius: 6px; color: var(--muted); font-weight: 500; }
.quiet:hover:not(:disabled) { color: var(--text); background: var(--hover); }
.quiet:disabled { visibility: hidden; }
.banner { padding: 0.5rem 1.125rem; background: var(--hover); border-bottom: 1px solid var(--line); font-size: 0.8125rem; }
.banner:empty { display: none; }
.panel { min-height: 0; }

.row { display: grid; grid-template-rows: 1fr; border-bottom: 1px solid var(--line); }
.rows > .row:last-child { border-bottom: 0; }
.item { position: relative; display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 0.75rem; padding: 0.875rem 1.125rem 0.5rem; min-height: 0; overflow: hidden; transition: background-color 120ms; }
.item:hover, .item:focus-within { background: var(--hover); }
.picture { display: grid; place-items: center; width: 2.25rem; height: 2.25rem; border-radius: 50%; background: var(--hover); color: var(--muted); overflow: hidden; }
.item:hover .picture, .item:focus-within .picture { background: var(--surface); }
.is-unread .picture { color: var(--accent); }
.picture img { width: 100%; height: 100%; object-fit: cover; }
.words { min-width: 0; }
.top { display: flex; align-items: baseline; justify-content: space-between; gap: 0.75rem; }
h3 { min-width: 0; font-size: 0.875rem; font-weight: 500; line-height: 1.4; }
.is-unread h3 { font-weight: 650; }
.title { display: block; width: 100%; text-align: start; color: inherit; text-decoration: none; overflow-wrap: anywhere; }
.title::after { content: ""; position: absolute; inset: 0; }
.title:focus-visible { outline: none; }
.title:focus-visible::after { outline: 2px solid var(--accent); outline-offset: -3px; border-radius: 8px; }
.body { color: var(--muted); display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden; overflow-wrap: anywhere; white-space: pre-line; }
.foot { display: flex; align-items: center; gap: 0.75rem; margin-top: 0.0625rem; min-height: 1.75rem; font-size: 0.8125rem; color: var(--muted); }
.foot a { position: relative; z-index: 1; }
time { position: relative; z-index: 1; flex: none; color: var(--muted); font-size: 0.8125rem; font-variant-numeric: tabular-nums; }
.action { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: var(--accent); font-weight: 600; text-decoration: none; padding: 0.125rem 0; }
.action:hover { text-decoration: underline; }
.tools { position: relative; z-index: 1; display: flex; gap: 0.125rem; margin-inline-start: auto; margin-inline-end: -0.3125rem; }
.tool { display: grid; place-items: center; width: 1.75rem; height: 1.75rem; border-radius: 7px; color: var(--muted); opacity: 0; transition: opacity 120ms; }
.item:hover .tool, .item:focus-within .tool { opacity: 1; }
.tool:hover { background: var(--line); color: var(--text); }
.is-unread .item::before { content: ""; position: absolute; top: 1.75rem; inset-inline-start: 0.3125rem; width: 0.4375rem; height: 0.4375rem; border-radius: 50%; background: var(--accent); }
@media (hover: none) {
  .tool { opacity: 1; width: 2.25rem; height: 2.25rem; }
}

.is-arriving { animation: make-room 260ms cubic-bezier(0.2, 0.8, 0.2, 1); }
.is-arriving .item { animation: slide-in 320ms cubic-bezier(0.2, 0.8, 0.2, 1), glow 1600ms ease-out; }
@keyframes make-room { from { grid-template-rows: 0fr; } }
@keyframes slide-in { from { opacity: 0; transform: translateY(-1rem); } }
@keyframes glow { from { background: color-mix(in srgb, var(--accent) 14%, transparent); } }

.notice { display: flex; flex-direction: column; align-items: center; gap: 0.25rem; padding: 3.5rem 1.5rem; text-align: center; color: var(--muted); }
.notice-icon { display: grid; place-items: center; width: 3.5rem; height: 3.5rem; margin-bottom: 0.625rem; border-radius: 50%; background: var(--hover); }
.notice-title { color: var(--text); font-weight: 600; font-size: 0.9375rem; }
.again { margin-top: 0.75rem; padding: 0.375rem 0.875rem; border: 1px solid var(--line); border-radius: 8px; color: var(--text); font-weight: 500; }
.again:hover { background: var(--hover); }
.more { display: flex; margin: 0.75rem auto; }
.skeleton { display: grid; grid-template-columns: auto 1fr; gap: 0.75rem; padding: 0.875rem 1.125rem; }
.skeleton > div { display: grid; gap: 0.5rem; align-content: start; padding-top: 0.25rem; }
.bar { display: block; height: 0.6875rem; border-radius: 6px; background: var(--hover); animation: breathe 1.4s ease-in-out infinite alternate; }
.bar.round { width: 2.25rem; height: 2.25rem; border-radius: 50%; }
.bar.wide { width: 62%; } .bar.mid { width: 88%; } .bar.thin { width: 24%; }
@keyframes breathe { to { background: var(--line); } }

.bell-holder { position: relative; }
.bell { position: relative; display: grid; place-items: center; width: 2.25rem; height: 2.25rem; border-radius: 9px; color: var(--muted); }
.bell:hover, .bell[aria-expanded="true"] { background: var(--hover); color: var(--text); }
.badge { position: absolute; top: 0; inset-inline-end: 0; min-width: 1.0625rem; height: 1.0625rem; padding: 0 0.25rem; border-radius: 99px; background: var(--accent); color: var(--on-accent); font-size: 0.6875rem; font-weight: 700; line-height: 1.0625rem; text-align: center; font-variant-numeric: tabular-nums; box-shadow: 0 0 0 2px var(--surface); }
.badge.is-new { animation: pop 260ms cubic-bezier(0.3, 1.6, 0.6, 1); }
@keyframes pop { from { transform: scale(0.4); } }
.popover { position: absolute; z-index: 1000; top: calc(100% + 0.5rem); inset-inline-end: 0; width: 25rem; max-width: calc(100vw - 1.5rem); background: var(--raised); border: 1px solid var(--line); border-radius: var(--radius); box-shadow: 0 12px 40px rgb(0 0 0 / 0.16), 0 2px 6px rgb(0 0 0 / 0.06); overflow: hidden; animation: drop 140ms ease-out; }
.popover:focus { outline: none; }
@keyframes drop { from { opacity: 0; transform: translateY(-0.375rem); } }
.popover .view { max-height: min(36rem, calc(100vh - 6rem)); }
.popover .panel { overflow-y: auto; overscroll-behavior: contain; }
.open-inbox { display: block; padding: 0.6875rem; border-top: 1px solid var(--line); color: var(--text); font-weight: 500; text-align: center; text-decoration: none; }
.open-inbox:hover { background: var(--hover); }
@media (max-width: 30rem) {
  .popover { position: fixed; top: 3.75rem; inset-inline: 0.75rem; width: auto; max-width: none; }
}
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { animation: none !important; transition: none !important; }
}
`);
