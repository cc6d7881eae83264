"""What a dashboard is made of, and how Grafana wants it written.

In expressions `{J}` stands for the job that is looked at, and `{J,` begins more matchers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

WIDTH: Final = 24
SCHEMA: Final = 38
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
GREEN, ORANGE, RED = "green", "orange", "red"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression; `needs` is what has to happen before it has a value, "" for nothing."""

    expr: str
    legend: str = ""
    needs: str = ""

    @property
    def text(self) -> str:
        """As Prometheus is asked, but for the variables of Grafana."""
        return self.expr.replace("{J", '{job="$job"')


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `steps`: from which value on it has which colour, None for the least."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    steps: tuple[tuple[float | None, str], ...] = ()
    runbook: str = ""
    width: int = 8
    height: int = 7


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of Grafana."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    since: str
    every: str

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All of them, from top to bottom."""
        return tuple(panel for row in self.rows for panel in row.panels)


def number(title: str, description: str, expr: str, unit: str = "short", **more: Any) -> Panel:
    """One figure as it is now, or over the time that is looked at."""
    return Panel(title, description, (Query(expr),), unit, "stat", width=4, height=4, **more)


def above(orange: float, red: float | None = None) -> tuple[tuple[float | None, str], ...]:
    """Green, until there is more than there should be."""
    steps: list[tuple[float | None, str]] = [(None, GREEN), (orange, ORANGE)]
    return tuple(steps if red is None else [*steps, (red, RED)])


def below(red: float) -> tuple[tuple[float | None, str], ...]:
    """Red, until there is enough."""
    return ((None, RED), (red, GREEN))


def written(dashboard: Dashboard, runbooks: str) -> dict[str, Any]:
    """The document that Grafana imports."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["leadplane"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": dashboard.every,
        "time": {"from": dashboard.since, "to": "now"},
        "timezone": "",
        "templating": {"list": _variables(runbooks)},
        "annotations": {"list": [_pages()]},
        "links": [
            {
                "type": "dashboards", "tags": ["leadplane"], "title": "Leadplane",
                "asDropdown": True, "includeVars": True, "keepTime": True,
            }
        ],
        "panels": list(_laid_out(dashboard.rows)),
    }  # fmt: skip


def _variables(runbooks: str) -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "job", "label": "Fleet", "type": "query", "datasource": SOURCE, "refresh": 2,
            "query": {"query": "label_values(leadplane_build_info, job)", "refId": "job"},
        },
        {
            "name": "runbooks", "label": "Runbooks at", "type": "textbox", "query": runbooks,
            "current": {"text": runbooks, "value": runbooks},
        },
    ]  # fmt: skip


def _pages() -> dict[str, Any]:
    """Marks in every picture: when somebody was woken."""
    return {
        "name": "Pages",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": RED,
        "expr": 'ALERTS{job="$job",alertstate="firing",severity="page"}',
        "titleFormat": "{{alertname}}",
    }


def _laid_out(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    top = number_of = 0
    for row in rows:
        number_of += 1
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        yield {
            "id": number_of, "type": "row", "title": row.title, "collapsed": False,
            "gridPos": place, "panels": [],
        }  # fmt: skip
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            number_of += 1
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            yield {"id": number_of, "gridPos": place, **_panel(panel)}
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(panel: Panel) -> dict[str, Any]:
    steps = panel.steps or ((None, GREEN),)
    colour = "thresholds" if panel.steps or panel.kind == "stat" else "palette-classic"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "targets": [_target(panel, at, query) for at, query in enumerate(panel.queries)],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "color": {"mode": colour},
                "thresholds": {
                    "mode": "absolute",
                    "steps": [{"color": name, "value": value} for value, name in steps],
                },
                **({"custom": _lines(panel)} if panel.kind == "timeseries" else {}),
            },
            "overrides": [],
        },
        "options": _options(panel),
        "links": _links(panel),
    }


def _target(panel: Panel, at: int, query: Query) -> dict[str, Any]:
    is_instant = panel.kind != "timeseries"
    return {
        "refId": "ABCDEFGH"[at],
        "datasource": SOURCE,
        "expr": query.text,
        "legendFormat": query.legend or "__auto",
        "instant": is_instant,
        "range": not is_instant,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _lines(panel: Panel) -> dict[str, Any]:
    style = "area" if panel.steps else "off"
    return {"fillOpacity": 10, "showPoints": "never", "thresholdsStyle": {"mode": style}}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "table":
        return {"showHeader": True}
    last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {"reduceOptions": last, "colorMode": "value", "graphMode": "none"}


def _links(panel: Panel) -> list[dict[str, Any]]:
    if not panel.runbook:
        return []
    url = f"${{runbooks}}/{panel.runbook}.md"
    return [{"title": f"Runbook: {panel.runbook}", "url": url, "targetBlank": True}]
