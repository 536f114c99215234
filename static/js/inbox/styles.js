// The inbox's looks, as sheets. What a page may set is listed in styles/theme.js and docs/embedding.md.

import { sheet } from "./dom.js";
import { frame } from "./styles/frame.js";
import { layers } from "./styles/layers.js";
import { rows } from "./styles/rows.js";
import { theme } from "./styles/theme.js";

export const sheets = [theme, frame, rows, layers].map(sheet);
