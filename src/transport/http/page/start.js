// Starts the parts, and the choice between light and dark.

function beginTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("rustcache.theme");
  const apply = () => {
    const theme = chosen() ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    byId("theme").setAttribute("aria-pressed", String(theme === "dark"));
  };
  byId("theme").addEventListener("click", () => {
    localStorage.setItem("rustcache.theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
  dark.addEventListener("change", apply);
  apply();
}

beginTheme();
beginWatching();
beginBrowsing();
beginEditing();
const about = () => document.hidden || access.waiting.length > 0 || tellAbout().catch(() => {});
follow(() => {
  about();
  beginSearch();
});
about();
setInterval(about, 60_000);
beginSearch();
