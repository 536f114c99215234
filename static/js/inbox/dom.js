// Elements from code: text is always text, never markup.

export function el(tag, { text, on, data, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("aria-")) element.setAttribute(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(data ?? {})) element.dataset[name] = value;
  for (const [event, handler] of Object.entries(on ?? {})) element.addEventListener(event, handler);
  element.append(...children.filter(Boolean));
  return element;
}

// → what a shadow root adopts: a strict Content-Security-Policy allows such sheets, also on other people's pages.
export function sheet(text) {
  const made = new CSSStyleSheet();
  made.replaceSync(text);
  return made;
}

// Of a custom element that is connected: what a page has set on it before it was defined goes through its setters.
export function takeUp(host, ...names) {
  for (const name of names) {
    if (!Object.hasOwn(host, name)) continue;
    const value = host[name];
    delete host[name];
    host[name] = value;
  }
}

// → its attribute `locale`, or the language of the page around it, also where that has put it into a component of its own;
// null: neither says.
export function localeOf(host) {
  const said = host.getAttribute("locale");
  if (said) return hyphened(said);
  for (let around = host; around; around = around.getRootNode().host) {
    const speaking = around.closest("[lang]");
    if (speaking) return hyphened(speaking.lang) || null;
  }
  return null;
}

// Many a page writes "de_DE".
function hyphened(tag) {
  return tag.replaceAll("_", "-");
}

const SVG = "http://www.w3.org/2000/svg";

// Line icons on a grid of 24.
const PATHS = {
  bell: "M12 4a5.5 5.5 0 0 0-5.5 5.5v3.2L5 15.6a.8.8 0 0 0 .7 1.2h12.6a.8.8 0 0 0 .7-1.2l-1.5-2.9V9.5A5.5 5.5 0 0 0 12 4ZM9.8 19.5a2.3 2.3 0 0 0 4.4 0",
  check: "m5 12.5 4.5 4.5L19 7.5",
  checks: "m3 12.5 4 4L15.5 8M12 15.5l1 1L21.5 8",
  unread: "M4 6h16v12H4zM4.5 7l7.5 6 7.5-6",
  archive: "M4 5h16v4H4zM5.5 9v9.5h13V9M10 13h4",
  unarchive: "M4 5h16v4H4zM5.5 9v9.5h13V9M12 16.5v-4.5m-2 2 2-2 2 2",
  snooze: "M12 20.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15Zm0-11v4l2.6 1.6M4 6.5 6.8 4M20 6.5 17.2 4",
  select: "M5 5h14v14H5zM8.5 12l2.5 2.5 4.5-5",
  sound: "M4.5 9.5v5H8l4.5 3.5V6L8 9.5zM15.5 9.5a3.5 3.5 0 0 1 0 5M18 7a7 7 0 0 1 0 10",
  keyboard: "M3 7h18v10.5H3zM7 10.5v.01M10.3 10.5v.01M13.7 10.5v.01M17 10.5v.01M8 14h8",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Zm4.8-1.7L20 20",
  close: "m6.5 6.5 11 11m0-11-11 11",
  dots: "M12 6v.01M12 12v.01M12 18v.01",
  offline: "M4 9.5a12 12 0 0 1 16 0M7.5 13.5a7 7 0 0 1 9 0M12 18v.01M4 4l16 16",
  why: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16Zm-1.9-9.6a2 2 0 1 1 3 1.7c-.7.4-1.1.8-1.1 1.6m0 2.5v.01",
  box: "m12 3.5 7.5 4.2v8.6L12 20.5l-7.5-4.2V7.7L12 3.5Zm0 8.3 7.5-4.1M12 11.8v8.7M12 11.8 4.5 7.7",
  tag: "M4 12.2V4.5h7.7l8 8a1.2 1.2 0 0 1 0 1.7l-6 6a1.2 1.2 0 0 1-1.7 0L4 12.2ZM8 8.5v.01",
  person: "M12 12a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Zm-7 7.5a7 7 0 0 1 14 0",
  shield: "M12 3.5 5 6v5.5c0 4.3 2.9 7.3 7 9 4.1-1.7 7-4.7 7-9V6l-7-2.5Z",
  truck: "M3 6h10.5v10H3zM13.5 9.5H18l3 3.3V16h-7.5M7 18.5a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6Zm10 0a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6Z",
  cart: "M3.5 4.5H6l2 10.5h9.5l2-7.5H6.7M9 19.5v.01M16.5 19.5v.01",
  delivered: "m12 3.5 7.5 4.2v8.6L12 20.5l-7.5-4.2V7.7L12 3.5ZM8.5 12l2.5 2.5 4.5-4.7",
  cancelled: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16Zm-2.8-5.2 5.6-5.6m0 5.6L9.2 9.2",
  heart: "M12 19.5S4 14.8 4 9.4A4.2 4.2 0 0 1 12 7.6a4.2 4.2 0 0 1 8 1.8c0 5.4-8 10.1-8 10.1Z",
  comment: "M4 5h16v11.5H12L7.5 20v-3.5H4z",
  follow: "M10 12a3.3 3.3 0 1 0 0-6.6 3.3 3.3 0 0 0 0 6.6Zm-6.5 7a6.5 6.5 0 0 1 13 0M19 8v6m-3-3h6",
  news: "M4 5h13v14H6a2 2 0 0 1-2-2V5Zm13 4h3v8a2 2 0 0 1-2 2h-1M7.5 8.5h6M7.5 12h6M7.5 15.5h4",
  alert: "M12 4 2.8 19.5h18.4L12 4Zm0 6v4.5m0 2.5v.01",
  key: "M8 16.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm4-4h8.5M17 12.5V16",
  stack: "m12 4 8 4-8 4-8-4 8-4ZM4 12l8 4 8-4M4 16l8 4 8-4",
  sliders: "M4 7h9m4 0h3M4 17h3m4 0h9M15 9.5v-5M9 19.5v-5",
};

export function icon(name, size = 18) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", class: "icon" })) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.bell);
  svg.append(path);
  return svg;
}

// A link out of an item may lead to a web page, and nowhere else. → the address, or null.
export function safeUrl(text, base) {
  if (!text) return null;
  try {
    const url = new URL(text, base);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
