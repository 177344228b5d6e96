for (const input of document.querySelectorAll(".pair input")) {
  const move = () => input.parentElement.style.setProperty("--at", input.value + "%");
  input.addEventListener("input", move);
  move();
}
