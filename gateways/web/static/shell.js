// What every page has: live values, alarms, emergency stop, theme, language, log out.
import { call } from "./api.js";
import { refresh } from "./alarm-state.js";
import { attempt } from "./dialogs.js";
import "./live.js";
import "./stops.js";

const byId = (id) => document.getElementById(id);

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("plantree-theme", root.dataset.theme);
  document.dispatchEvent(new Event("themechange"));
});

byId("language").addEventListener("click", () => attempt(async () => {
  await call("/api/v1/session", { language: byId("language").dataset.language }, "PUT");
  location.reload();
}));

byId("logout").addEventListener("click", () => attempt(async () => {
  await call("/logout", {});
  location.assign("/login");
}));

byId("menu").addEventListener("click", () => {
  const open = byId("nav").classList.toggle("open");
  byId("menu").setAttribute("aria-expanded", String(open));
});

refresh();
