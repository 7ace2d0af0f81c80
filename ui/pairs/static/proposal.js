// The dialog that says what was learned, and saves it as a profile.

import { byId, element } from "/cull/files/elements.js";
import { newId } from "/cull/files/identity.js";

const ON_PROBLEM = "The server is not responding. Try again.";

let proposed; // the proposal that the dialog shows

export async function showProposal(url) {
  const dialog = byId("proposal");
  proposed = await load(url);
  byId("proposal-lines").replaceChildren(...proposed.lines.map((text) => element("p", { text })));
  byId("keep").hidden = !proposed.changes.length;
  tell("");
  byId("close-proposal").onclick = () => dialog.close();
  byId("keep").onsubmit = (event) => {
    event.preventDefault();
    keep(url);
  };
  if (!dialog.open) dialog.showModal();
}

async function load(url) {
  try {
    const response = await fetch(`${url}/proposal`);
    const answer = await response.json();
    return response.ok ? answer : { lines: [String(answer.detail)], changes: [] };
  } catch {
    return { lines: [ON_PROBLEM], changes: [] };
  }
}

async function keep(url) {
  const { changes, description } = proposed;
  const name = byId("name").value.trim();
  try {
    const response = await fetch(`${url}/profiles`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name, description, changes, request_id: newId() }),
    });
    const answer = await response.json();
    if (!response.ok) return tell(String(answer.detail), true);
    byId("keep").hidden = true;
    tell(`Saved as “${answer.name}”. To use it, choose this profile when you start a run.`);
  } catch {
    tell(ON_PROBLEM, true);
  }
  return undefined;
}

function tell(text, isProblem = false) {
  const kept = byId("kept");
  kept.textContent = text;
  kept.classList.toggle("problem", isProblem);
}
