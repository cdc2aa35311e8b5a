// The login: a form that says what is wrong, and goes on to where one wanted to go.
const form = document.querySelector("form"), error = document.getElementById("login-error");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  error.textContent = "";
  try {
    const given = Object.fromEntries(new FormData(form));
    const answer = await fetch("/login", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(given), credentials: "same-origin",
    });
    if (answer.ok) {
      const next = new URLSearchParams(location.search).get("next") ?? "/";
      const target = new URL(next, location.origin);
      location.assign(target.origin === location.origin ? target.pathname + target.search : "/");
      return;
    }
    error.textContent = form.dataset[answer.status === 429 ? "throttled" : answer.status === 401 ? "failed" : "unreachable"];
  } catch { error.textContent = form.dataset.unreachable; }
  button.disabled = false;
  form.elements.password.select();
});
