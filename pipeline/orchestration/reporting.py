"""The asset ``stats_report``: the dashboard as a file, which a separate job writes every hour."""

from typing import TYPE_CHECKING

import dagster as dg

from pipeline import formats
from pipeline.database.tables import STATS_TABLES, prompts
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import REASON, TICK
from pipeline.orchestration.stats_assets import STATS_GROUP

if TYPE_CHECKING:
    from pipeline.web.dashboard.report import Report

REPORT_JOB = "write_report"
LISTED = 10


@dg.asset(
    deps=[table.name for table in (*STATS_TABLES, prompts)],
    group_name=STATS_GROUP,
    kinds={"html"},
    description="The dashboard as one file that works offline: `report.html` in PROMPT_STATS_HOME.",
)
def stats_report(
    context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]
) -> dg.MaterializeResult[None]:
    """Writes the file from answers of the HTTP API in this process."""
    # Importing it costs a fifth of a run's start, and it is needed only once per hour.
    from pipeline.web.dashboard.report import write_report

    with stores.installation_of_run(context.run.run_id) as installation:
        report = write_report(stores.settings, installation.database)
    return dg.MaterializeResult(
        metadata={
            "file": dg.MetadataValue.path(report.file),
            "link": dg.MetadataValue.url(report.file.as_uri()),
            "most_used": dg.MetadataValue.md(_most_used(report)),
            "events": report.usage_count,
            "bytes": report.size,
            **({"as_of": dg.MetadataValue.timestamp(report.as_of)} if report.as_of else {}),
        }
    )


def _most_used(report: "Report") -> str:
    rows = (
        [
            formats.markdown(prompt["name"]),
            formats.count(prompt["usageCount"]),
            formats.percent(prompt["successRate"]),
            formats.seconds(prompt["avgGenerationTimeMs"]),
        ]
        for prompt in report.prompts[:LISTED]
    )
    figures = ["uses", "success", "mean time"]
    return formats.markdown_table(["prompt", *figures], rows, right=figures)


write_report_job = dg.define_asset_job(
    REPORT_JOB,
    selection=dg.AssetSelection.assets(stats_report),
    executor_def=dg.in_process_executor,
    description="Writes the dashboard as a file.",
)

write_report_schedule = dg.ScheduleDefinition(
    name="write_report_schedule",
    job=write_report_job,
    # Every hour, like the stats of users. It is not part of the refresh, which would take longer, and does
    # not run in the minutes in which that starts.
    cron_schedule="12 * * * *",
    execution_timezone="UTC",
    tags={REASON: TICK},
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
