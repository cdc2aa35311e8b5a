// Commands and set-points of a machine.
import { command, write } from "./api.js";
import { ask, attempt } from "./dialogs.js";
import { text } from "./known.js";
import { openStop } from "./stops.js";

const typed = (value, type) => (["String", "DateTime"].includes(type) ? value : type === "Boolean" ? value === "true" : Number(value));

for (const button of document.querySelectorAll("[data-command]"))
  button.addEventListener("click", () => {
    const template = button.querySelector("template");
    const fields = template ? [template.content.cloneNode(true)] : [];
    const types = Object.fromEntries([...(template?.content.querySelectorAll("[name]") ?? [])].map((it) => [it.name, it.dataset.type]));
    ask({ title: text("run_command", button.dataset.title), fields, confirm: button.textContent.trim() }, async (given) => {
      const values = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, typed(value, types[name])]));
      await attempt.strict(() => command(button.dataset.command, values));
    });
  });

for (const button of document.querySelectorAll("[data-stop]"))
  button.addEventListener("click", () => openStop(button.dataset.stop));

for (const form of document.querySelectorAll("[data-write]"))
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = form.elements.value;
    if (await attempt(() => write(form.dataset.write, typed(input.value, form.dataset.type)))) input.value = "";
  });
