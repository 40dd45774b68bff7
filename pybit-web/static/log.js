// Follows the log of a running build: text is appended as text, never as markup.
(() => {
  "use strict";
  const log = document.getElementById("log");
  if (!log || !window.EventSource) return;
  const decoder = new TextDecoder();
  const longest = 2_000_000;
  const source = new EventSource(`${log.dataset.stream}&offset=${log.dataset.offset}`);
  const following = document.getElementById("following");
  source.onopen = () => { if (following) following.hidden = false; };
  source.addEventListener("log", (event) => {
    const bytes = Uint8Array.from(atob(event.data), (c) => c.charCodeAt(0));
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 40;
    const text = decoder.decode(bytes, { stream: true })
      .replace(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, "").replace(/[^\t\n\x20-\u{10ffff}]/gu, "");
    log.append(text);
    while (log.textContent.length > longest && log.firstChild !== log.lastChild) log.firstChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  });
  source.addEventListener("end", () => { source.close(); location.reload(); });
  log.scrollTop = log.scrollHeight;
})();
