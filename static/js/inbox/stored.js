// What a person has switched on in this browser. Where storage is closed to us, it holds for as long as the page is open.

const here = new Map();

// `byDefault`: as long as it was never switched.
export function isStored(name, byDefault = false) {
  try {
    return (localStorage.getItem(name) ?? here.get(name) ?? (byDefault ? "on" : "off")) === "on";
  } catch {
    return (here.get(name) ?? (byDefault ? "on" : "off")) === "on";
  }
}

export function store(name, isOn) {
  here.set(name, isOn ? "on" : "off");
  try {
    localStorage.setItem(name, isOn ? "on" : "off");
  } catch {
    // `here` has it
  }
}
