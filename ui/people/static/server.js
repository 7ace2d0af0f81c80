// Requests to the server. A change is sent with an id, so that sending it again is safe.

import { newId } from "/cull/files/identity.js";

export async function read(url) {
  return answer(await fetch(url));
}

export async function send(what, values = {}) {
  const response = await fetch(`/people/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ request_id: newId(), ...values }),
  });
  return answer(response);
}

async function answer(response) {
  const values = await response.json();
  if (!response.ok) throw new Error(String(values.detail));
  return values;
}
