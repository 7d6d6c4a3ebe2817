// Elements without HTML text, since what bots and people write must never become markup.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function time(seconds) {
  const at = new Date(seconds * 1000);
  return element("time", { datetime: at.toISOString() }, at.toTimeString().slice(0, 8));
}

export function size(characters) {
  if (characters < 1e6) return `${Math.round(characters / 1e3)} kB`;
  return `${(characters / 1e6).toFixed(1)} MB`;
}

