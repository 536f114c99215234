// The rows. One out of sight is not laid out; it is taken to be as high as it was when last seen.

export const rows = `
.row { position: relative; display: grid; grid-template-rows: 1fr; content-visibility: auto; contain-intrinsic-size: auto 5.25rem; overflow: clip; }
.day + .row .item { border-top: 0; }
.day { padding: 0.75rem 1.125rem 0.25rem; border-top: 1px solid var(--line); }
.day:first-child { border-top: 0; }
.day h3 { color: var(--muted); font-size: 0.75rem; font-weight: 650; line-height: 1rem; }
.item { position: relative; display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 0.75rem; padding: 0.875rem 1.125rem; min-height: 0; overflow: hidden; border-top: 1px solid var(--line); background: var(--surface); transition: background-color 120ms; touch-action: pan-y; }
.popover .item { background: var(--raised); }
.row .item:hover, .row .item:focus-within { background: var(--hover); }
.row.is-selected .item { background: color-mix(in srgb, var(--accent) 9%, var(--surface)); }

.pick { position: relative; z-index: 1; display: grid; width: 2.25rem; height: 2.25rem; cursor: pointer; }
.pick > * { grid-area: 1 / 1; }
.picture { display: grid; place-items: center; border-radius: 50%; background: var(--hover); color: var(--muted); overflow: hidden; }
.item:hover .picture, .item:focus-within .picture { background: var(--surface); }
.is-unread .picture { color: var(--accent); }
.initials { font-size: 0.8125rem; font-weight: 650; }
.picture img { width: 100%; height: 100%; object-fit: cover; }
.box { place-self: center; z-index: 1; appearance: none; width: 1.25rem; height: 1.25rem; margin: 0; border: 1.5px solid var(--strong-line); border-radius: 5px; background: var(--surface); opacity: 0; cursor: pointer; }
.box:checked { border-color: var(--accent); background: var(--accent); }
.box:checked::before { content: ""; display: block; width: 0.3125rem; height: 0.625rem; margin: 0.0625rem auto 0; border: solid var(--on-accent); border-width: 0 2px 2px 0; rotate: 45deg; }
.box:focus-visible, .is-selecting .box, .box:checked { opacity: 1; }
.box:focus-visible + .picture, .is-selecting .picture { visibility: hidden; }
@media (hover: hover) {
  .pick:hover .box, .item:hover .box { opacity: 1; }
  .pick:hover .picture, .item:hover .picture { visibility: hidden; }
}

.words { min-width: 0; display: grid; grid-template-columns: minmax(0, 1fr) auto; column-gap: 0.75rem; align-items: start; align-content: start; }
.words > * { grid-column: 1; }
.words > .rest { grid-row: 2; min-width: 0; }
.words > time { grid-column: 2; grid-row: 1; justify-self: end; }
.words > .tools { grid-column: 2; grid-row: 2; justify-self: end; }
h4 { margin: 0; min-width: 0; display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; font-size: 0.875rem; font-weight: 500; }
.is-open h4 { display: block; }
.is-unread h4 { font-weight: 650; }
.title.is-covered { position: absolute; inset: 0; overflow: hidden; color: transparent; }
.custom { position: relative; z-index: 1; min-width: 0; overflow-wrap: anywhere; cursor: pointer; }
.title { display: block; width: 100%; text-align: start; color: inherit; text-decoration: none; overflow-wrap: anywhere; }
.title::after { content: ""; position: absolute; inset: 0; }
.title:focus-visible { outline: none; }
.title:focus-visible::after { outline: 2px solid var(--accent); outline-offset: -3px; border-radius: 8px; }
.until-when { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.625rem; margin: 0.125rem 0; color: var(--muted); font-size: 0.8125rem; }
.until-when .action { margin-top: 0; }
.links { display: flex; flex-wrap: wrap; gap: 0.375rem; min-width: 0; }
.repeats { position: relative; z-index: 1; display: block; margin-top: 0.375rem; padding: 0.125rem 0.5rem; border: 1px solid var(--line); border-radius: 99px; background: var(--surface); color: var(--muted); font-size: 0.75rem; font-weight: 600; }
.repeats:hover { color: var(--text); border-color: currentcolor; }
.is-repeat .item { padding-inline-start: 2.5rem; }
.body { color: var(--muted); display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden; overflow-wrap: anywhere; white-space: pre-line; }
.is-open .body { display: block; }
time { position: relative; z-index: 1; flex: none; color: var(--muted); font-size: 0.8125rem; font-variant-numeric: tabular-nums; }
.action { position: relative; z-index: 1; display: inline-block; max-width: 100%; margin-top: 0.5rem; padding: 0.25rem 0.6875rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; border: 1px solid var(--line); border-radius: 8px; color: var(--accent); background: var(--surface); font-size: 0.8125rem; font-weight: 600; text-decoration: none; vertical-align: top; }
.secondary-action { color: var(--text); font-weight: 500; }
.action:hover { border-color: currentcolor; }
.is-unread .item::before { content: ""; position: absolute; top: 1.75rem; inset-inline-start: 0.3125rem; width: 0.4375rem; height: 0.4375rem; border-radius: 50%; background: var(--accent); }

.tools { position: relative; z-index: 2; display: flex; margin-block-end: -0.375rem; margin-inline-end: -0.375rem; opacity: 0; transition: opacity 120ms; }
.tool.is-narrow { display: none; }
@container inbox (max-width: 30rem) {
  .tool.is-narrow { display: grid; }
  .tool.is-wide { display: none; }
}
.item:hover .tools, .item:focus-within .tools { opacity: 1; }
.tool { display: grid; place-items: center; width: 1.875rem; height: 1.625rem; border-radius: 8px; color: var(--muted); }
.tool:focus-visible { outline-offset: -2px; }
.tool:hover { background: var(--hover); color: var(--text); }
.dots { display: none; position: relative; z-index: 1; width: 2.25rem; height: 2.25rem; margin: -0.375rem -0.625rem -0.375rem -0.5rem; border-radius: 9px; place-items: center; color: var(--muted); }
@media (hover: none) {
  .tools { display: none; }
  .words > .rest { grid-column: 1 / -1; }
  .item { grid-template-columns: auto minmax(0, 1fr) auto; }
  .dots { display: grid; }
}

.row.is-swiped .item { transition: none; }
.behind { position: absolute; inset: 0; display: flex; align-items: center; gap: 0.5rem; padding-inline: 1.25rem; background: var(--hover); color: var(--muted); font-weight: 600; }
.behind.to-start { flex-direction: row-reverse; }
.behind.is-reached { background: var(--accent); color: var(--on-accent); }

.is-arriving { animation: make-room 260ms cubic-bezier(0.2, 0.8, 0.2, 1); }
.is-arriving .item { animation: slide-in 320ms cubic-bezier(0.2, 0.8, 0.2, 1), glow 1600ms ease-out; }
@keyframes make-room { from { grid-template-rows: 0fr; } }
@keyframes slide-in { from { opacity: 0; transform: translateY(-1rem); } }
@keyframes glow { from { background: color-mix(in srgb, var(--accent) 14%, var(--surface)); } }
@media (forced-colors: active) {
  .dots { color: ButtonText; }
  .behind.is-reached { forced-color-adjust: none; background: Highlight; color: HighlightText; }
  .is-unread .item::before { background: Highlight; }
  .box:checked { border-color: Highlight; background: Highlight; }
  .box:checked::before { border-color: HighlightText; }
}
`;
