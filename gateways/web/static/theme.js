// Before anything is drawn: the theme chosen here last, else the system's.
const chosen = localStorage.getItem("plantree-theme");
if (chosen) document.documentElement.dataset.theme = chosen;
