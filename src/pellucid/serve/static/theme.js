// Before anything is drawn, so that a dark page does not flash white. The rest is in chat.js.
try {
  document.documentElement.dataset.theme = localStorage.getItem("pellucid.theme") ?? "";
} catch {
  // Storage is closed to this page: the system's colours.
}
