// The contents are open beside the page, and closed where they would stand before it.
"use strict";
if (matchMedia("(max-width: 1099px)").matches) document.querySelector(".contents details").open = false;
