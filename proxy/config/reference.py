"""The reference page of `proxy.toml`: `python -m proxy.config.reference` writes docs/configuration.md.

A test keeps the page equal to what this makes.
"""

from pathlib import Path
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proxy.config.json_schema import default_of
from proxy.config.render import toml_literal
from proxy.config.site_tables import INHERITED, Document, RouteTable, SiteTable, UpstreamTable
from proxy.config.unknown_keys import table_class
from proxy.config.value import Value

PAGE: Final = Path(__file__).parents[2] / "docs" / "configuration.md"

_INTRODUCTION: Final = """\
# Configuration

<!-- Made by `python -m proxy.config.reference` from proxy/config; do not edit. -->

Foregate reads one file, `proxy.toml`. The smallest one that works is three lines:

```toml
[[site]]
domains  = ["app.example.com"]
upstream = "http://app:3000"
```

It is the file named with `-c FILE`, else in `$FOREGATE_CONFIG`, else `./proxy.toml`, else
`/etc/foregate/proxy.toml`.
`foregate check` tells everything that is wrong with it at once, with line, key, what is expected and what was
probably meant; `foregate schema` prints a JSON Schema for editors. A running Foregate takes a changed file with
`foregate reload`, and keeps the old one if the new one has a fault.

## Values

| type | form |
|---|---|
| duration | `"250ms"`, `"3s"`, `"10m"`, `"1h30m"`, `"7d"` |
| size | `"500B"`, `"32KB"`, `"64MB"`, `"1GB"`; a kilobyte is 1024 bytes, as in nginx |
| rate | `"10/s"`, `"150/m"`, `"1000/h"`, or `"off"` |
| network | `"10.0.0.0/8"`, `"2001:db8::/32"`, or one address |
| listen address | `":80"`, `"127.0.0.1:8080"`, `"[::1]:8080"` |
| upstream URL | `"http://app:3000"`, `"https://app"`, `"unix:/run/app.sock"` |
| domain | an exact name; international ones may be written as they are spoken; an IP address |
| path | a prefix that begins with `/`, as it stands in a URL |

Relative paths of files begin at the folder of the configuration file. An unknown key is an error.

**Environment variables.** `${NAME}` in a string is replaced by the variable; one that is not set is an error.
`${NAME:-default}` has a default for a variable that is not set or empty. `$${` is a literal `${`. What a variable holds
is put into the string as it is: it cannot add keys or quotes, and it is not looked into again. Numbers and booleans
are written literally.

**Inheritance.** The tables [firewall](#firewall), [rate_limit](#rate_limit), [limits](#limits), [cache](#cache) and
[timeouts](#timeouts) may stand at the top level, in a site and in a route; [tls](#tls) at the top level and in a site.
Each overrides single keys of the one around it. A route is like its site in all that it does not say; its
`set_request_headers` and `set_response_headers` are added to the site's, and one with an `upstream` of its own is not
redirected with its site.

```toml
[timeouts]
first_byte = "30s"

[[site]]
domains  = ["app.example.com"]
upstream = "http://app:3000"

  [site.cache]
  ttl = "10s"

  [[site.route]]
  path       = "/reports/"
  timeouts   = { first_byte = "10m" }   # the cache as in the site, everything else as usual
  rate_limit = { rate = "10/m", burst = 5 }
```
"""


def page() -> str:
    """Return the page in Markdown."""
    parts = [_INTRODUCTION]
    for name, info in Document.model_fields.items():
        table = table_class(info.annotation)
        if table is not None and table is not SiteTable:
            parts.append(_section(f"[{name}]", name, table))
    parts.append(_section("[[site]]", "site", SiteTable))
    parts.append(_section("[[site.route]]", "site.route", RouteTable))
    parts.append(_section("An upstream as a table", "upstream", UpstreamTable))
    return "\n".join(parts)


def _section(title: str, anchor: str, table: type[BaseModel]) -> str:
    """Return one table of the file as a table of the page; a route's keys that are its site's are not repeated."""
    doc = " ".join((table.__doc__ or "").split())
    lines = [f'<a id="{anchor}"></a>', "", f"## `{title}`" if title[0] == "[" else f"## {title}", "", doc, ""]
    own = [
        name for name in table.model_fields if name in table.__annotations__
    ]  # what makes it this table: first
    fields = {name: table.model_fields[name] for name in (*own, *table.model_fields)}
    if table is RouteTable:
        fields = {name: info for name, info in fields.items() if name not in SiteTable.model_fields}
        lines += ["All keys of [`[[site]]`](#site) but `domains`, `tls` and `route`, and these:", ""]
    lines += ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    lines += [_row(name, info, table) for name, info in fields.items()]
    return "\n".join((*lines, ""))


def _row(name: str, info: FieldInfo, table: type[BaseModel]) -> str:
    default = default_of(table.__name__.removesuffix("Table"), name)
    required = {"domains", "path", "url"} if table in (SiteTable, RouteTable, UpstreamTable) else set()
    shown = "required" if name in required else "" if default is None else f"`{toml_literal(default)}`"
    example = toml_literal((info.examples or [""])[0])
    cells = [f"`{name}`", _type(name, info), shown, info.description or "", f"`{name} = {example}`"]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(name: str, info: FieldInfo) -> str:
    if name in (*INHERITED, "tls"):
        return "table"
    if name == "upstream":
        return "[upstream URL](#values), [table](#upstream), or list"
    if get_origin(info.annotation) is dict:
        return "table of field names and values"
    kind = _kind(info.metadata) or _kind(get_args(info.annotation))
    if kind is None:
        return "list of tables"
    return f"list of: {kind.noun}" if get_origin(info.annotation) is list else kind.noun


def _kind(parts: Any) -> Value | None:
    """Return the kind of value that an annotation speaks of."""
    for part in parts:
        if isinstance(part, Value):
            return part
        if found := _kind(getattr(part, "__metadata__", ())):
            return found
    return None


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
