// When a token has expired the inbox asks for another; the shop's own server makes it for whoever is signed in there.

document.addEventListener("notifier-token-expired", async ({ target }) => {
  const answer = await fetch("/token");
  target.setAttribute("token", await answer.text());
});
