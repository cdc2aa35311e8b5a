// One question dialog for everything that is asked, and one line that says what became of it.
import { make, text } from "./known.js";

const dialog = document.getElementById("ask-dialog");
let hiding = 0;

export function toast(message, failed = false) {
  const line = document.getElementById("toast");
  line.textContent = message;
  line.className = `toast shown${failed ? " failed" : ""}`;
  clearTimeout(hiding);
  hiding = setTimeout(() => { line.className = "toast"; }, failed ? 8000 : 3500);
}

// Asks; `act` gets the fields' values by name, and the dialog stays open with the reason when it fails.
export function ask({ title, fields = [], confirm, danger = false }, act) {
  const form = dialog.querySelector("form"), error = document.getElementById("ask-error");
  const button = document.getElementById("ask-confirm");
  document.getElementById("ask-title").textContent = title;
  document.getElementById("ask-fields").replaceChildren(...fields);
  error.textContent = "";
  button.textContent = confirm ?? "";
  button.hidden = !confirm;
  button.classList.toggle("danger", danger);
  button.disabled = false;
  form.onsubmit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await act(Object.fromEntries(new FormData(form)));
      dialog.close();
    } catch (failure) { error.textContent = failure.message; } finally { button.disabled = false; }
  };
  dialog.showModal();
}

// Lets one choose what to do: a list of buttons.
export function menu(title, items) {
  const buttons = items.map(([name, label, act]) =>
    make("button", { type: "button", "data-do": name, onclick: () => { dialog.close(); act(); } }, label));
  ask({ title, fields: [make("div", { class: "choices" }, ...buttons)] });
}

export const field = (name, label, attributes = {}) =>
  make("label", {}, label, make("input", { name, autocomplete: "off", ...attributes }));

export function choice(name, label, options) {
  return make("label", {}, label, make("select", { name }, ...options.map(([value, words]) => make("option", { value }, words))));
}

export async function attempt(action, done = text("done")) {
  try {
    await action();
    toast(done);
    return true;
  } catch (error) {
    toast(text("failed", error.message), true);
    return false;
  }
}

for (const button of document.querySelectorAll("dialog .close"))
  button.addEventListener("click", () => button.closest("dialog").close());

// For a question: what fails stays in its dialog.
attempt.strict = async (action, done = text("done")) => {
  await action();
  toast(done);
};
