// The unread count before the document's title: "(3) Inbox". Whoever changes the title otherwise keeps the rest.

export function countInTitle(unread) {
  const plain = document.title.replace(/^\(\d+\+?\) /, "");
  const wanted = unread > 0 ? `(${unread > 99 ? "99+" : unread}) ${plain}` : plain;
  if (document.title !== wanted) document.title = wanted;
}
