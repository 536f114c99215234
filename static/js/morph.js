// `morph(old, fresh)` makes an element like another one by changing only what differs. So the focus, what is selected, what was
// typed, scrolled to or opened stays. Elements are known by `id` or `data-key` among their siblings, all else by its place.

const keyOf = (node) => node.id || node.dataset?.key || null;
const isTheReaders = (element, name) => name === "open" && element.localName === "details";

export function morph(old, fresh) {
  const focused = document.activeElement;
  change(old, fresh);
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true }); // it was moved
}

function change(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !isTheReaders(old, name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && !isTheReaders(old, name)) old.setAttribute(name, value);
  changeChildren(old, fresh);
}

function changeChildren(old, fresh) {
  const wanted = new Set([...fresh.children].map(keyOf));
  const known = new Map();
  for (const child of [...old.children]) {
    const key = keyOf(child);
    if (key && wanted.has(key)) known.set(key, child);
    else if (key) child.remove();
  }
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = keyOf(next);
    const candidate = key ? known.get(key) : at && !keyOf(at) ? at : null;
    if (candidate?.nodeName !== next.nodeName) {
      old.insertBefore(document.importNode(next, true), at);
      continue;
    }
    if (candidate === at) at = at.nextSibling;
    else old.insertBefore(candidate, at);
    change(candidate, next);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
