"""Every table and every column has a comment, and a column that may be NULL says when it is.

Why: the database is where analysts look, and ``docs/tables.md`` is made of the comments.

Revision: 2026_11_23_comments, after 2026_11_23_answers.
"""

from alembic import op

revision = "2026_11_23_comments"
down_revision = "2026_11_23_answers"
branch_labels = None
depends_on = None

Comments = dict[str, tuple[str | None, str]]
"""Before and after, by name."""

TABLES: Comments = {
    "prompts": (None, "One row a prompt. The app's, but for the counters, which the pipeline writes back."),
    "prompt_usage": (
        "Raw usage events: appended by the app, never updated by it. No foreign keys.",
        "One row an event, a use of a prompt: appended by the app, never updated by it. No foreign keys.",
    ),
    "prompt_usage_invalidation": (
        "Days whose raw rows were updated or deleted, written by a trigger, removed once published.",
        "One row a change of a day's raw rows: written by a trigger, removed once published.",
    ),
    "prompt_usage_rejected": (
        "Events that could not be taken.",
        "One row an event that could not be taken. In no statistic until it is replayed.",
    ),
    "prompt_favorites": (None, "One row a user and favourite prompt. The app's."),
    "posts": (None, "One row a post. The app's; read to find posts that no event is about."),
    "scene_stats": (
        "One row a scene, over all prompts. Replaced by the pipeline alone.",
        "One row for each scene, over all prompts. Replaced by the pipeline alone.",
    ),
    "environment_stats": (
        "One row a environment, over all prompts. Replaced by the pipeline alone.",
        "One row for each environment, over all prompts. Replaced by the pipeline alone.",
    ),
    "outfit_stats": (
        "One row a outfit, over all prompts. Replaced by the pipeline alone.",
        "One row for each outfit, over all prompts. Replaced by the pipeline alone.",
    ),
    "stats_day": (
        "What the published stats hold, day by day.",
        "One row a day: what the published stats hold of it.",
    ),
    "user_stats_day": (
        "What the published stats of users hold, day by day.",
        "One row a day: what the published stats of users hold of it.",
    ),
    "stats_sync": (
        "Watermarks of the last syncs: which transaction ids had been given out when.",
        "One row a sync of the last days: which transaction ids had been given out when.",
    ),
    "stats_expired_day": (
        "Days whose raw rows the retention job removes from prompt_usage: the lake alone has them.",
        "One row a day whose raw rows retention removes from prompt_usage: the lake alone has them.",
    ),
    "prompt_stats_schema_version": (None, "One row: up to where the schema was migrated."),
}

COLUMNS: dict[str, Comments] = {
    "prompts": {
        "id": (None, "The prompt's id."),
        "slug": (
            "Readable key, for example portrait-selfie-casual.",
            "Readable key, for example portrait-selfie-casual; NULL without one.",
        ),
        "name": (None, "Name for people."),
        "description": (None, "What it is for; NULL if nobody said."),
        "category": (None, "Kind, for example portrait; NULL without one."),
        "subcategory": (None, "Kind within the category, for example selfie; NULL without one."),
        "negative_prompt": (None, "What the image shall not show; NULL if nothing was said."),
        "required_dna": (
            "Placeholders that the character has to fill: a list.",
            "Placeholders that the character has to fill: a list; NULL if unknown.",
        ),
        "tags": ("A list of texts.", "A list of texts; NULL if there are none."),
        "rating": (None, "Rating of the content, for example sfw; NULL if nobody said."),
        "recommended_workflow": (None, "Workflow that suits it best; NULL if any does."),
        "aspect_ratio": (None, "Width to height, for example 4:5; NULL if any will do."),
        "is_system_prompt": (None, "Whether it came with the app, and not from a user."),
        "is_public": (None, "Whether every user may use it."),
        "is_active": (None, "Whether it is offered; rankings leave others out."),
        "created_at": (None, "When it was written."),
        "updated_at": ("Not touched by stats.", "When it was last edited; not touched by stats."),
        "success_count": (None, "Events with success = true."),
        "failure_count": (None, "Events with success = false."),
        "success_rate": (
            "Percent; NULL when never used.",
            "Percent: success_count / usage_count * 100; NULL when never used.",
        ),
        "avg_generation_time_ms": (
            "Milliseconds; NULL when never timed.",
            "Mean generation time in milliseconds; NULL when never timed.",
        ),
        "last_used_at": (None, "Time of the latest dated event; NULL without one."),
        "favorite_count": (None, "Users who have it as a favourite."),
        "stats_as_of": (
            "as_of of the refresh that last changed these counters.",
            "as_of of the refresh that last changed these counters; NULL before any did.",
        ),
    },
    "prompt_usage": {
        "prompt_id": (None, "Prompt that was used; it need not exist any more."),
        "user_id": (None, "User who used it; NULL if unknown."),
        "character_id": (None, "Character that it was used for; NULL if unknown."),
        "post_id": (None, "Post that was made; NULL if unknown."),
        "job_id": (None, "Job that generated; NULL if unknown."),
        "success": (
            "NULL is neither success nor failure.",
            "Whether the generation succeeded; NULL is neither success nor failure.",
        ),
        "generation_time_ms": ("Milliseconds.", "Milliseconds; NULL if not measured."),
        "error_message": (None, "Why it failed; NULL if nothing was said."),
        "created_at": (
            "When the prompt was used.",
            "When the prompt was used; NULL is counted on the first day.",
        ),
    },
    "prompt_usage_invalidation": {
        "id": (None, "In the order of arrival."),
        "invalidated_at": (None, "When they were changed."),
    },
    "prompt_usage_rejected": {
        "id": (None, "By which prompt-stats rejected names it."),
        "rejected_at": (None, "When it was rejected; the event's own time is in the payload."),
        "reason": (None, "What is wrong with it."),
        "event_id": (
            "The same event is kept once.",
            "The event's id, by which it is kept once; NULL on older rows.",
        ),
    },
    "prompt_favorites": {
        "id": (None, "The row's id."),
        "prompt_id": (None, "Prompt that is a favourite."),
        "user_id": (None, "User whose favourite it is."),
        "sort_order": (None, "Place in the user's list."),
        "created_at": (None, "When it became one."),
    },
    "posts": {
        "id": (None, "The post's id."),
        "user_id": (None, "User who made it; NULL if unknown."),
        "character_id": (None, "Character in it; NULL if there is none."),
        "job_id": (None, "Job that generated it; NULL if unknown."),
        "prompt_id": (None, "Prompt that it was made from; NULL if from none."),
        "image_url": (None, "Where the image is; NULL while there is none."),
        "prompt": (None, "Text that the image was made from; NULL if unknown."),
        "negative_prompt": (None, "What the image should not show; NULL if nothing was said."),
        "created_at": (None, "When it was made."),
    },
    "prompt_stats": {
        "p50_generation_time_ms": (
            "Median time, within 2 % of the exact one.",
            "Median time in milliseconds, within 2 % of the exact one; NULL if none was timed.",
        ),
        "p90_generation_time_ms": (
            "90th percentile, within 2 %.",
            "90th percentile in milliseconds, within 2 %; NULL if none was timed.",
        ),
        "p95_generation_time_ms": (
            "95th percentile, within 2 %.",
            "95th percentile in milliseconds, within 2 %; NULL if none was timed.",
        ),
        "p99_generation_time_ms": (
            "99th percentile, within 2 %.",
            "99th percentile in milliseconds, within 2 %; NULL if none was timed.",
        ),
    },
    "user_prompt_stats": {"user_id": (None, "The user.")},
    "prompt_error_stats": {
        "last_seen_at": ("Time of the latest dated one.", "Time of the latest dated one; NULL without one.")
    },
    "stats_sync": {"id": (None, "In the order of the syncs.")},
    "stats_expired_day": {
        "expired_at": (None, "When it expired."),
        "damaged_at": (
            "When reconcile found that the lake has not all of them any more.",
            "When reconcile found that the lake has not all of them any more; NULL while it has.",
        ),
    },
    "stats_refresh": {
        "id": (None, "In the order of the publishes."),
        "published_at": (None, "When the stats were written."),
        "seconds": (
            "Duration of each step of the publish.",
            "Duration of each step of the publish, in seconds.",
        ),
        "run_id": ("The Dagster run, where there was one.", "The Dagster run; NULL where there was none."),
        "user_stats_as_of": (
            "as_of of user_prompt_stats and of unique_users.",
            "as_of of user_prompt_stats and of unique_users; NULL before they were counted.",
        ),
    },
    "prompt_stats_schema_version": {"version_num": (None, "Revision of the last migration.")},
}

DETAILED = (
    "prompt_stats",
    "prompt_scene_stats",
    "prompt_environment_stats",
    "prompt_outfit_stats",
    "scene_stats",
    "environment_stats",
    "outfit_stats",
)
MEASURED = (*DETAILED, "prompt_daily_stats", "user_prompt_stats")
OF_PROMPTS = (*DETAILED[:4], "prompt_daily_stats", "user_prompt_stats", "prompt_error_stats")

SHARED: list[tuple[tuple[str, ...], Comments]] = [
    (OF_PROMPTS, {"prompt_id": (None, "The prompt.")}),
    (
        MEASURED,
        {
            "success_rate": (
                "Percent: success_count / usage_count * 100.",
                "Percent: success_count / usage_count * 100; NULL without events.",
            ),
            "last_used_at": (
                "Time of the latest dated event.",
                "Time of the latest dated event; NULL without one.",
            ),
        },
    ),
    (
        DETAILED,
        {
            "first_used_at": (
                "Time of the earliest dated event.",
                "Time of the earliest dated event; NULL without one.",
            ),
            "success_rate_lower": (
                "Percent: lower end of its 95 % Wilson interval.",
                "Percent: lower end of the rate's 95 % Wilson interval; NULL without events.",
            ),
            "success_rate_upper": (
                "Percent: upper end of its 95 % Wilson interval.",
                "Percent: upper end of the rate's 95 % Wilson interval; NULL without events.",
            ),
            "min_generation_time_ms": (
                "Shortest generation time in milliseconds.",
                "Shortest generation time in milliseconds; NULL if none was timed.",
            ),
            "max_generation_time_ms": (
                "Longest generation time in milliseconds.",
                "Longest generation time in milliseconds; NULL if none was timed.",
            ),
        },
    ),
]
"""Columns that several tables have."""


def comment(which: int) -> None:
    """Sets each comment to the one before (0) or after (1)."""
    for table, comments in TABLES.items():
        if comments[which]:
            op.create_table_comment(table, comments[which])
        else:
            op.drop_table_comment(table)
    for tables, columns in [*(((table,), columns) for table, columns in COLUMNS.items()), *SHARED]:
        for table in tables:
            for column, comments in columns.items():
                op.alter_column(table, column, comment=comments[which])


def upgrade() -> None:
    comment(1)


def downgrade() -> None:
    comment(0)
