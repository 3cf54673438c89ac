// Where on the page the user is, kept in the address behind `#/`, so that the browser's own
// buttons lead back: a view, a path in it, and parameters.

/** Returns `{view, path, params}` of an address; `path` is a list of names. */
export function parse(hash) {
  const [place, query] = hash.replace(/^#\/?/, "").split("?");
  const [view, ...path] = place.split("/").map(decoded).filter(Boolean);
  return { view: view ?? "", path, params: new URLSearchParams(query ?? "") };
}

/** Returns the address of a place; parameters that are empty are left out. */
export function address(view, path = [], params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value));
  const place = [view, ...path].map(encodeURIComponent).join("/");
  return `#/${place}${query.size ? `?${query}` : ""}`;
}

/** Goes there; `replace` leaves no step in the browser's history. */
export function go(target, replace = false) {
  if (target === location.hash) return;
  if (!replace) {
    location.hash = target;
    return;
  }
  history.replaceState(null, "", target);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Returns the code of a link, if the address has one: what is in the fragment and no place. */
export function code(hash) {
  return /^#[A-Za-z0-9_-]{8,}$/.test(hash) ? hash.slice(1) : null;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
