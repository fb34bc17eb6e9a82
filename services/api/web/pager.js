// Going from one page of a list to the next.

import { h } from "./dom.js";
import { here, to } from "./router.js";

/** For lists by page number. */
export function pager({ currentPage, totalPages, totalRecords }) {
  const { parts, query } = here();
  const link = (number, text, label) => h("a", {
    class: "button", "aria-label": label, href: number >= 1 && number <= totalPages ? to(parts, { ...query, page: number }) : null,
    "aria-disabled": number < 1 || number > totalPages ? "true" : null,
  }, text);
  if (totalPages <= 1) return h("p", { class: "faint count" }, totalRecords === 1 ? "1 in all" : `${totalRecords} in all`);
  return h("nav", { class: "pager", "aria-label": "Pages of the list" }, link(currentPage - 1, "‹", "Previous page"),
    h("span", {}, `${currentPage} of ${totalPages} · ${totalRecords} in all`), link(currentPage + 1, "›", "Next page"));
}

/** For lists by cursor: back to the newest, on to what is older. */
export function cursorPager(cursor, next) {
  const { parts, query } = here();
  if (!cursor && !next) return null;
  return h("nav", { class: "pager", "aria-label": "Pages of the list" },
    cursor && h("a", { class: "button", href: to(parts, { ...query, cursor: "" }) }, "Newest"),
    next && h("a", { class: "button", href: to(parts, { ...query, cursor: next }) }, "Older ›"));
}
