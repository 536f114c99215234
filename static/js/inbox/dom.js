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
  keyboard: "M3 7h18v10.5H3zM7 10.5v.01M10.3 10.5v.01M13.7 10.5v.01M17 10.5v.01M8 14h8",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Zm4.8-1.7L20 20",
  close: "m6.5 6.5 11 11m0-11-11 11",
  dots: "M12 6v.01M12 12v.01M12 18v.01",
  offline: "M4 9.5a12 12 0 0 1 16 0M7.5 13.5a7 7 0 0 1 9 0M12 18v.01M4 4l16 16",
  why: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16Zm-1.9-9.6a2 2 0 1 1 3 1.7c-.7.4-1.1.8-1.1 1.6m0 2.5v.01",
  transactional: "m12 3.5 7.5 4.2v8.6L12 20.5l-7.5-4.2V7.7L12 3.5Zm0 8.3 7.5-4.1M12 11.8v8.7M12 11.8 4.5 7.7",
  marketing: "M4 10v4h3l8 4.5v-13L7 10H4Zm14.5-1a4 4 0 0 1 0 6",
  social: "M12 12a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Zm-7 7.5a7 7 0 0 1 14 0",
  system: "M12 3.5 5 6v5.5c0 4.3 2.9 7.3 7 9 4.1-1.7 7-4.7 7-9V6l-7-2.5Z",
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
