// Certificates that wait for trust, and those that have it.
import { certificates, moveCertificate } from "./api.js";
import { ask, attempt } from "./dialogs.js";
import { make, text, when } from "./known.js";

const failed = document.getElementById("certificate-error");

function row(it, trusted) {
  const name = it.uris.join(", ") || it.issuer;
  const act = trusted ? ["trust_revoke", "reject"] : ["trust", "trust"];
  const ask_ = () => ask({ title: trusted ? `${text("trust_revoke")}: ${it.name}?` : text("trust_sure", it.name), confirm: text(act[0]), danger: trusted },
    () => attempt.strict(() => moveCertificate(it.thumbprint, act[1])).then(load));
  const until = it.not_after;
  return make("tr", {}, make("td", {}, make("strong", {}, it.name), make("small", {}, name)), make("td", {}, it.subject),
    make("td", { class: "thumbprint" }, it.thumbprint), make("td", {}, until ? when(Date.parse(until)) : ""),
    make("td", {}, make("button", { class: trusted ? "" : "primary", onclick: ask_ }, text(act[0]))));
}

async function load() {
  try {
    const found = (await certificates()).certificates;
    const those = (folder) => found.filter((it) => it.folder === folder);
    document.getElementById("rows-waiting").replaceChildren(...those("rejected").map((it) => row(it, false)));
    document.getElementById("rows-trusted").replaceChildren(...those("trusted").map((it) => row(it, true)));
    document.getElementById("nobody-waits").hidden = those("rejected").length > 0;
    document.getElementById("box-waiting").hidden = !those("rejected").length;
    document.getElementById("box-trusted").hidden = !those("trusted").length;
  } catch (error) { failed.textContent = text("failed", error.message); }
}

load();
setInterval(() => { if (!document.querySelector("dialog[open]") && !document.activeElement.closest("tbody")) load(); }, 5000);
