// Passkeys: asks the server what a device is to sign, hands it to the browser, and sends the answer with the form.

function bytes(base64url) {
  const plain = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

function text(buffer) {
  const plain = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The server's options with bytes where browsers want them. (Not all have `parseCreationOptionsFromJSON` yet.) */
function read(options) {
  const withBytes = (list) => list?.map((one) => ({ ...one, id: bytes(one.id) }));
  return {
    ...options,
    challenge: bytes(options.challenge),
    ...(options.user && { user: { ...options.user, id: bytes(options.user.id) } }),
    excludeCredentials: withBytes(options.excludeCredentials),
    allowCredentials: withBytes(options.allowCredentials),
  };
}

function written({ id, type, response }) {
  const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  const given = parts.filter((part) => response[part]).map((part) => [part, text(response[part])]);
  return JSON.stringify({ id, rawId: id, type, response: Object.fromEntries(given) });
}

function wordsFor(error, form) {
  if (error.name === "NotAllowedError") return form.dataset.dismissed;
  return error.name === "InvalidStateError" ? form.dataset.known : form.dataset.failed;
}

async function ask(form) {
  const headers = { "X-CSRFToken": form.elements.csrf_token.value };
  const answer = await fetch(form.dataset.options, { method: "POST", headers });
  if (answer.status === 403) return location.reload(); // the sign-in is no longer recent: the page asks
  const options = await answer.json();
  if (!answer.ok) return say(form, options.error ?? form.dataset.failed);
  const credential = await navigator.credentials[form.dataset.passkey]({ publicKey: read(options) });
  form.querySelector("[data-answer]").value = written(credential);
  form.submit();
}

function say(form, words) {
  const place = form.querySelector("[data-says]");
  place.textContent = words;
  place.hidden = false;
  form.querySelector("button").disabled = false;
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const button = form.querySelector("button");
  button.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!window.PublicKeyCredential) return say(form, form.dataset.old);
    button.disabled = true;
    form.querySelector("[data-says]").hidden = true;
    ask(form).catch((error) => say(form, wordsFor(error, form)));
  });
}
