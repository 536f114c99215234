// → the IANA time zone, if this browser knows it; else undefined, which means the browser's own. The server's may be newer.
export function knownZone(name) {
  try {
    return name && new Intl.DateTimeFormat("en", { timeZone: name }) ? name : undefined;
  } catch {
    return undefined;
  }
}
