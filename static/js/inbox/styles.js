// The inbox's looks, as constructed sheets: a strict Content-Security-Policy allows them, also on other people's pages.
// What a page may set is listed in styles/theme.js and docs/embedding.md.

import { frame } from "./styles/frame.js";
import { layers } from "./styles/layers.js";
import { rows } from "./styles/rows.js";
import { theme } from "./styles/theme.js";

export const sheets = [theme, frame, rows, layers].map((text) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  return sheet;
});
