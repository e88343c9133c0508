const pick = name => document.getElementById(name);
const items = [...document.querySelectorAll("details.item")].map(one => [one, one.textContent.toLowerCase()]);
function draw() {
  const words = pick("words").value.toLowerCase();
  const chosen = ["set", "person", "form", "verdict"].map(name => [name, pick(name).value]);
  let count = 0;
  for (const [one, text] of items) {
    const fits = chosen.every(([name, value]) => !value || one.dataset[name].split("|").includes(value));
    one.hidden = !(fits && text.includes(words));
    count += !one.hidden;
  }
  pick("count").textContent = `${count} questions`;
}
for (const name of ["words", "set", "person", "form", "verdict"]) pick(name).addEventListener("input", draw);
draw();
