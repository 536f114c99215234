// How the preferences look; colours and type are those of the inbox.

export const looks = `
.choices { position: relative; }
.banner { padding: 0.5rem 1.125rem; background: var(--hover); border-bottom: 1px solid var(--line); font-size: 0.8125rem; }
.banner:empty { display: none; }
.again { margin: 0.75rem 1.125rem; padding: 0.375rem 0.875rem; border: 1px solid var(--line); border-radius: 8px; font-weight: 500; }
.again:hover { background: var(--hover); }
.section { position: relative; border-bottom: 1px solid var(--line); }
.section > .switch { position: absolute; z-index: 1; top: 0.875rem; inset-inline-start: 1.125rem; }
.fold-head { position: relative; display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 0.75rem; padding-block: 0.875rem; padding-inline: 4.75rem 3rem; cursor: pointer; list-style: none; }
.fold-head::-webkit-details-marker { display: none; }
.fold-head::after { content: ""; position: absolute; top: 1.25rem; inset-inline-end: 1.375rem; width: 0.4375rem; height: 0.4375rem; border: solid var(--muted); border-width: 0 2px 2px 0; rotate: 45deg; }
details[open] > .fold-head::after { rotate: -135deg; }
.fold-head:hover { background: var(--hover); }
h3 { font-size: 0.9375rem; font-weight: 650; line-height: 1.5rem; }
.stand { color: var(--muted); font-size: 0.8125rem; }
.overs, .row { padding: 0.75rem 1.125rem; border-top: 1px solid var(--line); }
.overs, .cells { display: flex; flex-wrap: wrap; gap: 0.625rem 1.25rem; }
.row-title { margin-bottom: 0.5rem; font-weight: 500; }
.told, .locked { margin: -0.375rem 0 0.5rem; color: var(--muted); font-size: 0.8125rem; }
.more { padding: 0.75rem 1.125rem; border-top: 1px solid var(--line); }
.cell { display: inline-flex; align-items: center; gap: 0.5rem; min-height: 1.5rem; color: var(--muted); font-size: 0.8125rem; cursor: pointer; }
.cell.is-locked { cursor: default; }
.switch { appearance: none; position: relative; flex: none; width: 2.5rem; height: 1.5rem; margin: 0; border: 1px solid var(--strong-line); border-radius: 99px; background: transparent; cursor: pointer; }
.switch::before { content: ""; position: absolute; top: 50%; inset-inline-start: 0.25rem; width: 0.875rem; height: 0.875rem; border-radius: 50%; background: var(--strong-line); translate: 0 -50%; }
.switch:checked, .switch[aria-checked="true"] { border-color: var(--accent); background: var(--accent); }
.switch:checked::before, .switch[aria-checked="true"]::before { inset-inline-start: calc(100% - 1.125rem); background: var(--on-accent); }
.switch[aria-checked="mixed"] { border-color: var(--accent); }
.switch[aria-checked="mixed"]::before { inset-inline-start: calc(50% - 0.4375rem); height: 0.1875rem; border-radius: 2px; background: var(--accent); }
.switch:disabled { opacity: 0.5; cursor: not-allowed; }
.times { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1rem 2rem; padding: 1rem 1.125rem 1.25rem; }
.time { display: grid; gap: 0.5rem; align-content: start; }
.muted-until { font-weight: 500; }
.offers, .fields { display: flex; flex-wrap: wrap; gap: 0.5rem; }
.offer { padding: 0.375rem 0.75rem; border: 1px solid var(--line); border-radius: 8px; font-weight: 500; }
.offer:hover { background: var(--hover); }
.field { display: grid; gap: 0.25rem; color: var(--muted); font-size: 0.8125rem; }
.field input { height: 2rem; padding: 0 0.375rem; border: 1px solid var(--strong-line); border-radius: 8px; background: var(--surface); color: var(--text); }
.low { position: sticky; z-index: 3; bottom: 0.75rem; height: 0; display: flex; align-items: flex-end; justify-content: center; padding-inline: 0.75rem; }
.toasts { flex: none; max-width: 100%; }
.toast { display: flex; flex-wrap: wrap; align-items: center; justify-content: flex-end; gap: 0.25rem; overflow-wrap: anywhere; padding: 0.3125rem 0.3125rem 0.3125rem 0.875rem; border: 1px solid var(--line); border-radius: var(--radius); background: var(--raised); box-shadow: var(--shadow); font-weight: 500; }
.undo { padding: 0.3125rem 0.625rem; border-radius: 7px; color: var(--accent); font-weight: 650; }
.toast-close { display: grid; place-items: center; width: 1.875rem; height: 1.875rem; border-radius: 7px; color: var(--muted); }
@media (forced-colors: active) {
  .switch { border-color: ButtonText; }
  .switch::before { background: ButtonText; }
  .switch:checked, .switch[aria-checked="true"] { border-color: Highlight; background: Highlight; }
  .switch:checked::before, .switch[aria-checked="true"]::before { background: HighlightText; }
  .switch[aria-checked="mixed"]::before { background: Highlight; }
  .switch:disabled { border-color: GrayText; opacity: 1; }
}
`;
