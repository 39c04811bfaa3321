// A filter over the rows of a page, kept in its address: <input data-filter="selector of rows">.

export function begin() {
  const input = document.querySelector("input[data-filter]");
  if (!input?.dataset.filter) return;
  const address = new URL(location.href);
  input.value = address.searchParams.get("q") ?? "";
  input.closest("form")?.addEventListener("submit", (event) => event.preventDefault());

  const apply = () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of document.querySelectorAll(input.dataset.filter)) {
      row.classList.toggle("filtered", !row.textContent.toLowerCase().includes(wanted));
    }
  };
  input.addEventListener("input", () => {
    if (input.value.trim()) address.searchParams.set("q", input.value.trim());
    else address.searchParams.delete("q");
    history.replaceState(null, "", address);
    apply();
  });
  apply();
  // Rows that come later are filtered, too.
  new MutationObserver(apply).observe(document.getElementById("content"), { childList: true, subtree: true });
}
