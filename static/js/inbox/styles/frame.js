// What stands around the rows: heading, tabs, search, banner, and what is shown instead of rows.

export const frame = `
.view { position: relative; display: flex; flex-direction: column; min-height: inherit; container: inbox / inline-size; }
.head { display: grid; grid-template-columns: 1fr auto; align-items: center; gap: 0.5rem 1rem; padding: 0.875rem 1.125rem 0; border-bottom: 1px solid var(--line); }
.head h2 { font-size: 1.0625rem; line-height: 1.5rem; font-weight: 650; letter-spacing: -0.011em; }
.head-end { justify-self: end; display: flex; align-items: center; gap: 0.625rem; margin-inline-end: -0.375rem; }
.tabs { display: flex; gap: 1.125rem; align-self: end; }
.tab { padding: 0.4375rem 0 0.625rem; color: var(--muted); font-weight: 500; border-bottom: 2px solid transparent; margin-bottom: -1px; white-space: nowrap; }
.tab:hover { color: var(--text); }
.tab[aria-selected="true"] { color: var(--text); border-bottom-color: var(--accent); }
.tab:focus-visible { outline-offset: -2px; }
.count:not(:empty) { margin-inline-start: 0.375rem; padding: 0.0625rem 0.4375rem; border-radius: 99px; background: var(--hover); color: var(--text); font-size: 0.75rem; font-variant-numeric: tabular-nums; }
.narrow { justify-self: end; display: flex; gap: 0.375rem; margin-inline-end: -0.25rem; padding-bottom: 0.5rem; }
.field { position: relative; flex: 1; }
.field .icon { position: absolute; inset-inline-start: 0.5625rem; top: 50%; translate: 0 -50%; color: var(--muted); pointer-events: none; }
.words-wanted, .category { height: 2rem; border: 1px solid transparent; border-radius: 8px; background-color: var(--hover); color: var(--text); font-size: 0.8125rem; }
.words-wanted { width: 11rem; padding: 0 0.5rem; padding-inline-start: 1.875rem; }
.words-wanted::placeholder { color: var(--muted); opacity: 1; }
.category { max-width: 9rem; padding: 0 0.375rem; cursor: pointer; }
.words-wanted:hover, .category:hover { border-color: var(--line); }
.words-wanted:focus-visible, .category:focus-visible { outline-offset: 0; border-radius: 8px; }
.quiet { display: inline-flex; align-items: center; gap: 0.375rem; padding: 0.25rem 0.5rem; border-radius: 7px; color: var(--muted); font-weight: 500; white-space: nowrap; }
.quiet:hover { color: var(--text); background: var(--hover); }
.quiet[aria-disabled="true"] { opacity: 0.5; cursor: default; background: none; color: var(--muted); }
.square { display: grid; place-items: center; width: 2rem; height: 2rem; border-radius: 8px; color: var(--muted); }
.square:hover { background: var(--hover); color: var(--text); }
.banner { padding: 0.5rem 1.125rem; background: var(--hover); border-bottom: 1px solid var(--line); font-size: 0.8125rem; }
.banner:empty { display: none; }
.panel { flex: 1; min-height: 0; }
@container inbox (max-width: 38rem) {
  .head { display: flex; flex-wrap: wrap; }
  .head-end { flex: 1 1 auto; justify-content: end; }
  .head-end .quiet { white-space: normal; text-align: start; }
  .tabs, .narrow { flex: 1 0 100%; }
  .narrow { order: 1; justify-self: stretch; margin: 0; padding-bottom: 0; min-width: 0; }
  .tabs { order: 2; min-width: 0; overflow-x: auto; scrollbar-width: none; }
  .tab { flex: none; }
  .words-wanted { width: 100%; }
  .field, .category { min-width: 0; }
  .category { max-width: 60%; }
}
@container inbox (max-width: 20rem) {
  .tabs { gap: 0.75rem; }
  .count:not(:empty) { margin-inline-start: 0.25rem; padding-inline: 0.3125rem; }
}

.notice { display: flex; flex-direction: column; align-items: center; gap: 0.25rem; padding: 3.5rem 1.5rem; text-align: center; color: var(--muted); overflow-wrap: anywhere; }
.notice-icon { display: grid; place-items: center; width: 3.5rem; height: 3.5rem; margin-bottom: 0.625rem; border-radius: 50%; background: var(--hover); }
.notice-title { color: var(--text); font-weight: 600; font-size: 0.9375rem; }
.again { margin-top: 0.75rem; padding: 0.375rem 0.875rem; border: 1px solid var(--line); border-radius: 8px; color: var(--text); font-weight: 500; }
.again:hover { background: var(--hover); }
.more { display: flex; margin: 0.75rem auto; }
.skeleton { display: grid; grid-template-columns: auto 1fr; gap: 0.75rem; padding: 0.875rem 1.125rem; }
.skeleton > div { display: grid; gap: 0.5rem; align-content: start; padding-top: 0.25rem; }
.bar { display: block; height: 0.6875rem; border-radius: 6px; background: var(--hover); animation: breathe 1.4s ease-in-out infinite alternate; }
.bar.round { width: 2.25rem; height: 2.25rem; border-radius: 50%; }
.bar.wide { width: 42%; } .bar.mid { width: 78%; }
@keyframes breathe { to { background: var(--line); } }
@media (forced-colors: active) {
  .tab { margin-bottom: 0; border-bottom: 3px solid Canvas; }
  .tab[aria-selected="true"] { border-bottom-color: Highlight; }
  .count:not(:empty) { border: 1px solid CanvasText; }
}
`;
