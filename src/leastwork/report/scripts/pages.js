// Many figures of one section: one at a time, with buttons to leaf through; in print all of them.
"use strict";
document.querySelectorAll(".pages").forEach(pages => {
  const figures = [...pages.querySelectorAll(":scope > figure")], says = page.make("span");
  let now = 0;
  const back = page.make("button", {type: "button", click: () => turn(-1)}, "Back");
  const on = page.make("button", {type: "button", click: () => turn(1)}, "On");
  function turn(by) {
    now = Math.min(Math.max(now + by, 0), figures.length - 1);
    figures.forEach((figure, i) => figure.classList.toggle("later", i !== now));
    says.textContent = `figure ${now + 1} of ${figures.length}`;
    back.disabled = now === 0;
    on.disabled = now === figures.length - 1;
  }
  pages.prepend(page.make("div", {class: "tools"}, back, on, says));
  turn(0);
});
