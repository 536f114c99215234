// Offers the browser's own time zone where another one is set.

const form = document.getElementById("quiet-panel");

function offer() {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const [button, select] = [form.querySelector("#use-zone"), form.querySelector("#time_zone")];
  const known = [...select.options].some((option) => option.value === here);
  button.hidden = !known || select.value === here;
  button.textContent = button.dataset.words.replace("{zone}", here.replaceAll("_", " "));
  button.onclick = () => {
    select.value = here;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    select.focus();
    button.hidden = true;
  };
}

document.addEventListener("htmx:after:swap", offer);
offer();
