// What lies above the list: the bell's panel, the choices beside a row, the selection's bar, the toast, the help.

export const layers = `
.bell-holder { position: relative; }
.bell { position: relative; display: grid; place-items: center; width: 2.25rem; height: 2.25rem; border-radius: 9px; color: var(--muted); }
.bell:hover, .bell[aria-expanded="true"] { background: var(--hover); color: var(--text); }
.badge { position: absolute; top: 0; inset-inline-start: 1.125rem; min-width: 1.0625rem; height: 1.0625rem; padding: 0 0.25rem; border-radius: 99px; background: var(--accent); color: var(--on-accent); font-size: 0.6875rem; font-weight: 700; line-height: 1.0625rem; text-align: center; font-variant-numeric: tabular-nums; box-shadow: 0 0 0 2px var(--surface); }
.badge.is-new { animation: pop 260ms cubic-bezier(0.3, 1.6, 0.6, 1); }
@keyframes pop { from { transform: scale(0.4); } }
.popover { position: absolute; z-index: 1000; top: calc(100% + 0.5rem); inset-inline-end: 0; width: 26rem; max-width: calc(100vw - 1.5rem); background: var(--raised); border: 1px solid var(--line); border-radius: var(--radius); box-shadow: var(--shadow); overflow: hidden; animation: drop 140ms ease-out; }
.popover:focus { outline: none; }
@keyframes drop { from { opacity: 0; transform: translateY(-0.375rem); } }
.popover .view { min-height: 22rem; max-height: min(38rem, calc(100vh - 6rem)); }
.popover .panel { overflow-y: auto; overscroll-behavior: contain; }
.foot { display: flex; border-top: 1px solid var(--line); }
.open-inbox { flex: 1; padding: 0.6875rem; color: var(--text); font-weight: 500; text-align: center; text-decoration: none; }
.open-inbox:hover { background: var(--hover); }
.open-inbox:focus-visible { outline-offset: -3px; }

.low { position: sticky; z-index: 3; bottom: 0.75rem; height: 0; display: flex; flex-direction: column; align-items: center; justify-content: flex-end; gap: 0.5rem; padding-inline: 0.75rem; }
.low > * { flex: none; max-width: 100%; }
.toast, .selectbar { display: flex; align-items: center; padding: 0.3125rem; border: 1px solid var(--line); border-radius: var(--radius); background: var(--raised); box-shadow: var(--shadow); animation: rise 160ms ease-out; }
@keyframes rise { from { opacity: 0; transform: translateY(0.5rem); } }
.toast { gap: 0.25rem; flex-wrap: wrap; justify-content: flex-end; padding-inline-start: 0.875rem; font-weight: 500; overflow-wrap: anywhere; }
.undo { padding: 0.3125rem 0.625rem; border-radius: 7px; color: var(--accent); font-weight: 650; }
.undo:hover, .toast-close:hover { background: var(--hover); }
.toast-close { display: grid; place-items: center; width: 1.875rem; height: 1.875rem; border-radius: 7px; color: var(--muted); }
.selectbar { gap: 0.125rem; flex-wrap: wrap; justify-content: center; }
.chosen { padding-inline: 0.625rem 0.25rem; font-weight: 600; white-space: nowrap; font-variant-numeric: tabular-nums; }

.float { position: fixed; inset: auto; margin: 0; width: 19rem; max-width: calc(100vw - 1rem); padding: 0.375rem; border: 1px solid var(--line); border-radius: var(--radius); background: var(--raised); color: var(--text); box-shadow: var(--shadow); overflow: visible; }
.float:focus { outline: none; }
.reasons { max-width: 20rem; padding: 0 0.625rem 0.375rem; font-size: 0.875rem; overflow-wrap: anywhere; }
.reasons p { margin: 0 0 0.375rem; }
.float-title { padding: 0.3125rem 0.625rem 0.375rem; color: var(--muted); font-size: 0.8125rem; font-weight: 600; }
.offer { display: flex; align-items: center; gap: 0.625rem; width: 100%; min-height: 2.25rem; padding: 0.375rem 0.625rem; border-radius: 8px; color: var(--text); text-align: start; text-decoration: none; }
.offer .icon { color: var(--muted); }
.offer:hover { background: var(--hover); }
.offer:focus-visible { outline-offset: -2px; border-radius: 8px; }
.hint { margin-inline-start: auto; color: var(--muted); font-size: 0.8125rem; font-variant-numeric: tabular-nums; }
.until { display: flex; gap: 0.375rem; margin-top: 0.375rem; padding: 0.5rem 0.25rem 0.125rem; border-top: 1px solid var(--line); }
.until input { flex: 1; min-width: 0; height: 2rem; padding: 0 0.375rem; border: 1px solid var(--strong-line); border-radius: 8px; background: var(--surface); font-size: 0.8125rem; }
.small { padding: 0 0.6875rem; border-radius: 8px; background: var(--accent); color: var(--on-accent); font-size: 0.8125rem; font-weight: 600; }
@media (max-width: 30rem) {
  .popover { position: fixed; top: 3.75rem; inset-inline: 0.75rem; width: auto; max-width: none; }
  .float { inset: auto 0.75rem 0.75rem; width: auto; max-width: none; }
  .offer { min-height: 2.75rem; }
}

.help { width: 25rem; max-width: calc(100vw - 2rem); padding: 1rem 1.25rem 1.125rem; border: 1px solid var(--line); border-radius: var(--radius); background: var(--raised); color: var(--text); box-shadow: var(--shadow); }
.help::backdrop { background: rgb(0 0 0 / 0.4); }
.help-head { display: flex; align-items: center; justify-content: space-between; margin: -0.25rem -0.5rem 0.5rem 0; }
.help h2 { font-size: 1rem; font-weight: 650; }
.help dl > div { display: flex; align-items: center; gap: 0.75rem; padding: 0.3125rem 0; }
.help dt { width: 3.5rem; }
kbd { display: inline-block; min-width: 1.625rem; padding: 0.0625rem 0.4375rem; border: 1px solid var(--line); border-bottom-width: 2px; border-radius: 6px; background: var(--hover); font: inherit; font-size: 0.8125rem; text-align: center; }
.letters { display: flex; align-items: center; gap: 0.5rem; margin-top: 0.75rem; padding-top: 0.875rem; border-top: 1px solid var(--line); cursor: pointer; }
.alerts { margin-top: 0.875rem; padding-top: 0.125rem; border-top: 1px solid var(--line); }
.is-keyless > :is(dl, .letters), .is-keyless h3 { display: none; }
.is-keyless .alerts { margin: 0; padding: 0; border: 0; }
.alerts h3 { margin-top: 0.75rem; font-size: 0.875rem; font-weight: 650; }
.alerts .letters { margin-top: 0.5rem; padding-top: 0; border: 0; }
.refused { margin-top: 0.375rem; color: var(--muted); font-size: 0.8125rem; }
.letters input { flex: none; width: 1rem; height: 1rem; margin: 0; accent-color: var(--accent); }
@media (forced-colors: active) {
  .badge { outline: 1px solid CanvasText; background: Canvas; color: CanvasText; }
}
`;
