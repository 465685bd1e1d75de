// The button with the id "theme": dark or light, or as the system has it; the same for all pages.
(() => {
  const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };
  const button = document.getElementById("theme");
  function remember(theme) {
    try {
      if (theme === undefined) return localStorage.getItem("places-theme");
      localStorage.setItem("places-theme", theme);
    } catch {
      // Storage may be forbidden: the theme then lasts as long as the page.
    }
    return null;
  }
  function setTheme(theme) {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.dataset.now = theme;
    button.textContent = `Colours: ${THEMES[theme]}`;
  }
  setTheme(Object.hasOwn(THEMES, remember() ?? "") ? remember() : "auto");
  button.hidden = false;
  button.addEventListener("click", () => {
    const themes = Object.keys(THEMES);
    const next = themes[(themes.indexOf(button.dataset.now) + 1) % themes.length];
    setTheme(next);
    remember(next);
  });
})();
