"""Charts of the published stats, and the page that shows them.

Vega-Lite charts, made with Altair; the page carries Vega with it and asks no other host for anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import polars as pl
import vl_convert

from pipeline import formats

PROMPTS_SHOWN = 12
SUCCEEDED, FAILED, UNKNOWN = "#3b7dd8", "#d9534f", "#9aa6b5"

Chart = Any
"""An Altair chart of whatever kind: Altair's own types don't survive its fluent calls."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
)
_TEMPLATES.filters.update(count=formats.count, percent=formats.percent, seconds=formats.seconds)


def usage_chart(overview: Mapping[str, Any]) -> Chart:
    """Events a day, by outcome."""
    days = pl.DataFrame(
        [
            {"day": day["day"], "outcome": outcome, "events": events}
            for day in overview["days"]
            for outcome, events in (
                ("succeeded", day["success_count"]),
                ("failed", day["failure_count"]),
                ("unknown", day["usage_count"] - day["success_count"] - day["failure_count"]),
            )
        ],
        schema={"day": pl.Date, "outcome": pl.String, "events": pl.Int64},
    )
    return (
        alt.Chart(days, height=220, width="container")
        .mark_bar()
        .encode(
            alt.X("utcyearmonthdate(day):T", title=None, axis=alt.Axis(format="%d %b")),
            alt.Y("sum(events):Q", title="events"),
            alt.Color("outcome:N", title=None, scale=_outcomes(), legend=alt.Legend(orient="top")),
            tooltip=["day:T", "outcome:N", "events:Q"],
        )
    )


def prompts_chart(overview: Mapping[str, Any]) -> Chart:
    """The most used prompts: uses, and the success rate beside them."""
    rows = [
        {
            "prompt": prompt["slug"] or prompt["name"],
            "events": prompt["usage_count"],
            "success": formats.percent(prompt["success_rate"]),
        }
        for prompt in overview["prompts"][:PROMPTS_SHOWN]
    ]
    prompts = pl.DataFrame(rows, schema={"prompt": pl.String, "events": pl.Int64, "success": pl.String})
    base = alt.Chart(prompts, height=alt.Step(24), width="container").encode(
        alt.X("events:Q", title="events"),
        alt.Y("prompt:N", title=None, sort="-x", axis=alt.Axis(labelLimit=260)),
    )
    return base.mark_bar(color=SUCCEEDED) + base.mark_text(align="left", dx=4, color="#7a8695").encode(
        text="success:N"
    )


def scenes_chart(overview: Mapping[str, Any]) -> Chart:
    """Success rate by scene, the size of the dot being the number of events."""
    rows = [
        {
            "scene": "none given" if scene["scene"] is None else formats.quoted_if_blank(scene["scene"]),
            "success_rate": scene["success_rate"],
            "events": scene["usage_count"],
        }
        for scene in overview["scenes"]
    ]
    scenes = pl.DataFrame(rows, schema={"scene": pl.String, "success_rate": pl.Float64, "events": pl.Int64})
    return (
        alt.Chart(scenes, height=alt.Step(24), width="container")
        .mark_circle(color=SUCCEEDED, opacity=0.9)
        .encode(
            alt.X("success_rate:Q", title="success rate, percent", scale=alt.Scale(zero=False)),
            alt.Y("scene:N", title=None, sort="-x", axis=alt.Axis(labelLimit=260, grid=True)),
            alt.Size("events:Q", legend=alt.Legend(orient="top")),
            tooltip=["scene:N", alt.Tooltip("success_rate:Q", format=".1f"), "events:Q"],
        )
    )


def write_report(overview: Mapping[str, Any], file: Path) -> None:
    """Writes the page; ``overview`` is the answer of ``reading.overview``."""
    charts: dict[str, Chart] = {
        "Events a day": usage_chart(overview),
        "Most used prompts, with their success rate": prompts_chart(overview),
        "Success rate by scene": scenes_chart(overview),
    }
    specs = [json.loads(chart.to_json()) for chart in charts.values()]
    page = _TEMPLATES.get_template("page.html").render(
        usage_count=overview["usage_count"],
        as_of=formats.moment(overview["as_of"]),
        prompts=overview["prompts"],
        charts=[{"title": title} for title in charts],
        javascript=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
        # Inside a script element a "</" of a prompt's name would end it.
        specs=json.dumps(specs).replace("</", "<\\/"),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, encoding="utf-8")


def _outcomes() -> alt.Scale:
    return alt.Scale(domain=["succeeded", "failed", "unknown"], range=[SUCCEEDED, FAILED, UNKNOWN])
