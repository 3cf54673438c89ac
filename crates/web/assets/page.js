// Exchanges the code of the link for a bearer, and shows what this node is.
const main = document.getElementById("main");
const code = location.hash.slice(1);
if (code) {
  history.replaceState(null, "", "/");
  const answer = await fetch("/api/door", { method: "POST", body: JSON.stringify({ code }) });
  if (answer.ok) sessionStorage.setItem("bearer", (await answer.json()).bearer);
}
const authorization = `Bearer ${sessionStorage.getItem("bearer")}`;
const answer = await fetch("/api/node", { headers: { authorization } });
const said = await answer.json();
main.textContent = answer.ok ? `A ${said.kind}, version ${said.version}.` : "Run thorp page again.";
