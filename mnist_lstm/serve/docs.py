"""A page that documents the API, made from its OpenAPI document; nothing in it is fetched from anywhere."""

from html import escape
from typing import Any

STYLE = (
    ":root{color-scheme:light dark}"
    "body{max-width:44rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}"
    "h2{margin:2rem 0 .3rem;font-size:1.1rem}code{font-size:.95em;overflow-wrap:anywhere}"
    "td,th{padding:.15rem 1rem .15rem 0;text-align:left;vertical-align:top}"
)


def draw_docs(document: dict[str, Any]) -> str:
    """Return the HTML for an OpenAPI document."""
    parts = [f"<h1>{escape(document['info']['title'])}</h1><p>{escape(document['info']['description'])}</p>"]
    parts.append('<p>For programs: <a href="openapi.json">openapi.json</a>. <a href=".">The page</a>.</p>')
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
            rows = [(f"?{each['name']}", each.get("description", "")) for each in operation.get("parameters", [])]
            rows += [(status, answer["description"]) for status, answer in operation["responses"].items()]
            cells = "".join(f"<tr><th><code>{escape(a)}</code></th><td>{escape(b)}</td></tr>" for a, b in rows)
            parts.append(f"<table>{cells}</table>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    title = f"<title>{escape(document['info']['title'])}</title>"
    return f'<!doctype html><html lang="en"><head>{head}{title}</head><body>{"".join(parts)}</body></html>'
