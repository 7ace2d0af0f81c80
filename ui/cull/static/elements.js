// Makes and fills elements; text is never parsed as HTML.

export function element(name, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

export function plural(count, word) {
  return count === 1 ? `1 ${word}` : `${count} ${word}s`;
}
