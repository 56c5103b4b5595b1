// Formulas between \( \) and \[ \], as arithmatex writes them, also after a page was changed without loading it anew.
document$.subscribe(({ body }) =>
  renderMathInElement(body, {
    delimiters: [
      { left: "\\(", right: "\\)", display: false },
      { left: "\\[", right: "\\]", display: true },
    ],
  })
);
