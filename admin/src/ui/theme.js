// Applies the chosen theme before the first paint. It must not do anything else, because the page waits for it.
(() => {
  try {
    const theme = localStorage.getItem("tern-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Without storage the theme is that of the system.
  }
})();
