// Colours and type. A page sets the --ntf-… properties on the element or above it; what it leaves out is light or dark as
// the system says, or as the attribute `theme` does.

export const theme = `
:host {
  color-scheme: light dark;
  --accent: var(--ntf-accent, light-dark(#4f46e5, #a5a3fb));
  --on-accent: var(--ntf-on-accent, light-dark(#fff, #16161a));
  --text: var(--ntf-text, light-dark(#1b1b22, #ededf2));
  --muted: var(--ntf-muted, light-dark(#5c5c6b, #a3a3b2));
  --surface: var(--ntf-surface, light-dark(#fff, #18181c));
  --raised: var(--ntf-raised, light-dark(#fff, #1d1d22));
  --line: var(--ntf-line, light-dark(#e4e4ea, #2c2c34));
  --strong-line: var(--ntf-strong-line, light-dark(#8b8b99, #7a7a88));
  --hover: var(--ntf-hover, light-dark(#f5f5f8, #212127));
  --radius: var(--ntf-radius, 12px);
  --shadow: 0 12px 40px rgb(0 0 0 / 0.16), 0 2px 6px rgb(0 0 0 / 0.06);
  display: block;
  color: var(--text);
  background: var(--surface);
  font: 400 0.875rem/1.25rem var(--ntf-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
}
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([mode="bell"]) { display: inline-block; background: none; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
h2, h3, h4, p, ul, dl, dd { margin: 0; padding: 0; }
p:not([dir]) { unicode-bidi: plaintext; } /* English among right-to-left text ends on its right */
ul { list-style: none; }
button, input, select { font: inherit; color: inherit; }
button { background: none; border: 0; padding: 0; cursor: pointer; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 6px; }
.icon { fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round; stroke-linejoin: round; display: block; flex: none; }
.sr { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { animation: none !important; transition: none !important; }
}
`;
