// The page at /api/docs: `templates/api_docs.html`, which loads (all from /static, under script-src and style-src 'self')
//   swagger-ui/swagger-ui.css, swagger-ui/swagger-ui-bundle.js (a classic script) and then this module.
// Swagger UI styles through the CSS object model, so the pages' own Content-Security-Policy holds: it needs `img-src data:` and nothing more.

const theme = document.documentElement;
const follow = () => theme.classList.toggle("dark-mode", theme.dataset.bsTheme === "dark");
new MutationObserver(follow).observe(theme, { attributeFilter: ["data-bs-theme"] });
follow();

const root = document.getElementById("api-docs");

root.replaceChildren();
window.SwaggerUIBundle({
  url: root.dataset.spec,
  domNode: root,
  deepLinking: true,
  validatorUrl: null, // it would send the document to another host
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  tryItOutEnabled: false,
});
