// The keyboard commands. Letters ignore case, so that Caps Lock makes no difference.

export const COMMANDS = [
  { name: "next", text: "next shot", keys: ["ArrowRight"] },
  { name: "previous", text: "previous shot", keys: ["ArrowLeft"] },
  { name: "nextMoment", text: "next moment", keys: ["ArrowDown"] },
  { name: "previousMoment", text: "previous moment", keys: ["ArrowUp"] },
  { name: "keep", text: "keep", keys: ["k", "p"], once: true, hint: "keep" },
  { name: "reject", text: "reject", keys: ["x"], once: true, hint: "reject" },
  {
    name: "accept",
    text: "keep the picks in this moment, reject its other undecided shots, then go to the next moment",
    keys: [" "],
    once: true,
    hint: "accept picks, next moment",
  },
  {
    name: "keepOnly",
    text: "keep this shot, reject the rest of the moment, then go to the next moment",
    keys: ["Shift+k"],
    once: true,
    hint: "keep only this",
  },
  {
    name: "rate",
    text: "one to five stars; 0 removes them",
    keys: ["1", "2", "3", "4", "5", "0"],
    once: true,
    hint: "stars",
    hintKeys: "1-5",
  },
  {
    name: "label",
    text: "red, yellow, green or blue label; press again to remove it",
    keys: ["6", "7", "8", "9"],
    once: true,
  },
  { name: "split", text: "split the moment before this shot", keys: ["s"], once: true },
  { name: "merge", text: "merge with the next moment", keys: ["m"], once: true },
  { name: "moveOn", text: "move this shot to the next moment", keys: ["Shift+ArrowDown"], once: true },
  {
    name: "moveBack",
    text: "move this shot to the previous moment",
    keys: ["Shift+ArrowUp"],
    once: true,
  },
  { name: "search", text: "search by name, camera or date", keys: ["/"], hint: "search" },
  { name: "clear", text: "clear the decision about this shot", keys: ["Backspace", "Delete"], once: true },
  { name: "undo", text: "undo your last decision", keys: ["u", "Ctrl+z"], hint: "undo" },
  { name: "redo", text: "redo the decision that you last undid", keys: ["Shift+u", "Ctrl+Shift+z", "Ctrl+y"] },
  { name: "compare", text: "compare with the runner-up", keys: ["c"], hint: "compare" },
  { name: "all", text: "show up to six shots in the moment", keys: ["n"], hint: "all shots" },
  { name: "one", text: "show one shot", keys: ["e"] },
  {
    name: "magnify",
    text: "toggle 100% at the pointer or the largest face; also by click, wheel or pinch",
    keys: ["z"],
    hint: "100%",
  },
  { name: "faces", text: "show the faces in the moment, person by person", keys: ["f"], hint: "faces" },
  { name: "face", text: "zoom to the next face at 100% in all visible shots", keys: ["Shift+f"] },
  { name: "fit", text: "show the whole photo", keys: ["Escape"] },
  { name: "advance", text: "turn auto-advance on or off", keys: ["a"] },
  { name: "first", text: "first moment", keys: ["Home"] },
  { name: "last", text: "last moment", keys: ["End"] },
  { name: "grid", text: "open the grid", keys: ["g"] },
  { name: "copy", text: "copy the link to this photo", keys: ["Shift+c"] },
  { name: "help", text: "show all keyboard shortcuts", keys: ["?"], hint: "shortcuts" },
];

const NAMES = {
  ArrowRight: "→",
  ArrowLeft: "←",
  ArrowDown: "↓",
  ArrowUp: "↑",
  " ": "Space",
};

// Formats a key, for example "⇧K" for "Shift+k".
export function keyCaption(key) {
  const parts = key.split("+");
  const last = parts.pop();
  const name = NAMES[last] ?? (last.length === 1 ? last.toUpperCase() : last);
  return [...parts.map((part) => (part === "Shift" ? "⇧" : `${part} `)), name].join("");
}

const byKey = new Map(COMMANDS.flatMap((command) => command.keys.map((key) => [key, command])));

// Returns a key event's command and key; nothing if the key belongs to the focused control.
export function commandOf(event) {
  const control = event.target.closest?.("button, a, input, select, textarea, summary");
  const types = control?.matches("input, select, textarea");
  if (types || (control && [" ", "Enter"].includes(event.key)) || event.altKey) return undefined;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const modifiers = [
    ...(event.ctrlKey || event.metaKey ? ["Ctrl"] : []),
    ...(event.shiftKey && !"?/".includes(key) ? ["Shift"] : []),
  ];
  const command = byKey.get([...modifiers, key].join("+"));
  if (!command || (command.once && event.repeat)) return undefined;
  return { name: command.name, key };
}
