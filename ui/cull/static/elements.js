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

// Turns the children of an element into `wanted`, and changes only what differs: the browser need not lay
// out the rest again, and the focus stays where it is.
export function update(parent, wanted) {
  wanted.forEach((made, place) => {
    const old = parent.childNodes[place];
    if (!old) parent.append(made);
    else if (old.isEqualNode(made)) return;
    else if (old.nodeType !== Node.ELEMENT_NODE || old.nodeName !== made.nodeName) old.replaceWith(made);
    else {
      for (const { name } of [...old.attributes]) if (!made.hasAttribute(name)) old.removeAttribute(name);
      for (const { name, value } of made.attributes) old.setAttribute(name, value);
      update(old, [...made.childNodes]);
    }
  });
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
}

// Puts elements into a parent in this order; those already there are moved only if necessary.
export function arrange(parent, wanted) {
  const kept = new Set(wanted);
  for (const old of [...parent.children]) if (!kept.has(old)) old.remove();
  wanted.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
}

export const byId = (id) => document.getElementById(id);

export function plural(count, word) {
  return count === 1 ? `1 ${word}` : `${count} ${word}s`;
}
