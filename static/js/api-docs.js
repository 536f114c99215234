// The page at /api/docs: `templates/api_docs.html`, which loads (all from /static, under script-src and style-src 'self')
//   swagger-ui/swagger-ui.css, swagger-ui/swagger-ui-bundle.js (a classic script) and then this module.
// Swagger UI styles through the CSS object model, so the pages' own Content-Security-Policy holds: it needs `img-src data:` and nothing more.

const theme = document.documentElement;
const follow = () => theme.classList.toggle("dark-mode", theme.dataset.bsTheme === "dark");
new MutationObserver(follow).observe(theme, { attributeFilter: ["data-bs-theme"] });
follow();

const root = document.getElementById("api-docs");

// Our layout has no <main> of its own (the page has one), and a link inside a button is plain text.
const ours = ({ React }) => {
  const Layout = ({ getComponent, specSelectors }) => {
    const parts = ["SvgAssets", "errors", "AuthorizeBtnContainer", "operations", "Models"];
    const shown = specSelectors.loadingStatus() === "success" ? parts : [];
    return React.createElement("div", { className: "swagger-ui" }, ...shown.map((name) => React.createElement(getComponent(name, true), { key: name })));
  };
  return { components: { Layout }, wrapComponents: { DeepLink: () => ({ text }) => React.createElement("span", null, text) } };
};

// Names and stops of the keyboard that its fields and examples lack.
function mend() {
  for (const row of root.querySelectorAll("tr[data-param-name]")) {
    for (const field of row.querySelectorAll(":is(select, input, textarea):not([aria-label])")) field.setAttribute("aria-label", row.dataset.paramName);
  }
  for (const example of root.querySelectorAll("pre.microlight:not([tabindex])")) example.tabIndex = 0;
}
new MutationObserver(mend).observe(root, { childList: true, subtree: true });

root.replaceChildren();
window.SwaggerUIBundle({
  plugins: [ours],
  layout: "Layout",
  url: root.dataset.spec,
  domNode: root,
  deepLinking: true,
  validatorUrl: null, // it would send the document to another host
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  tryItOutEnabled: false,
});
