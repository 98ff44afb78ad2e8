/** What the page says in words. A screen reader reads it out. */

const byId = (id) => document.getElementById(id);

/** How things stand; what stays as it was is not read out again. */
export function say(text, place = "status") {
  if (byId(place).textContent !== text) {
    byId(place).textContent = text;
  }
}

/** An error that stays on the page. */
export function warn(text) {
  addLine("warnings", text);
}

/** An error of the present picture. */
export function complain(text) {
  addLine("errors", text);
}

function addLine(place, text) {
  const line = document.createElement("p");
  line.textContent = text;
  byId(place).append(line);
}

export function quieten() {
  byId("errors").replaceChildren();
}
