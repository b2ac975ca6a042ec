"""What an alert goes through, and when people are told: once, unless it gets worse, lasts or recovers."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.states import (
    RECOVERED_AFTER,
    RENOTIFY_AFTER,
    Alert,
    Figures,
    Finding,
    News,
    Rule,
    Series,
    State,
    advance,
    news,
    told,
)

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
STEP = dt.timedelta(minutes=15)
OVERALL = Series(Rule.SUCCESS_RATE, "overall")
PROMPT = Series(Rule.SUCCESS_RATE, "prompt", "a")
FINDINGS = {
    "fine": Finding(0, is_wrong=False, figures=Figures(recent_value=1.0)),
    "wrong": Finding(0, is_wrong=True, figures=Figures(recent_value=2.0)),
    "warning": Finding(1, is_wrong=True, figures=Figures(recent_value=3.0)),
    "alert": Finding(2, is_wrong=True, figures=Figures(recent_value=4.0)),
}
WORDS = (*FINDINGS, "nothing")


def lived(*words: str, series: Series = PROMPT) -> list[tuple[Alert | None, News | None]]:
    """The alert after each of some evaluations, and what people are told of it."""
    alerts: list[Alert] = []
    steps: list[tuple[Alert | None, News | None]] = []
    for number, word in enumerate(words):
        now = START + number * STEP
        seen = {series: FINDINGS[word]} if word in FINDINGS else {}
        after = advance(alerts, seen, now, now)
        why = news(after, now)
        after = [told(alert, now) if alert.series in why else alert for alert in after]
        steps.append((after[0] if after else None, why.get(series)))
        alerts = [alert for alert in after if not alert.recovered_at]
    return steps


def states(*words: str) -> list[State | None]:
    return [alert.state if alert else None for alert, _ in lived(*words)]


def said(*words: str) -> list[News]:
    return [why for _, why in lived(*words) if why]


def test_an_alert_is_raised_at_once_and_recovers_after_an_hour_without_a_word_for_it() -> None:
    assert states("fine", "warning", "wrong", *["fine"] * 5) == [
        None,
        *[State.WARNING] * 6,
        State.OK,
    ]
    assert said("fine", "warning", "wrong", *["fine"] * 5) == [News.RAISED, News.RECOVERED]


def test_what_is_only_not_quite_fine_raises_nothing() -> None:
    assert states(*["wrong"] * 10) == [None] * 10


def test_a_relapse_within_the_hour_is_the_same_alert_and_no_news() -> None:
    assert said("warning", *["fine", "fine", "fine", "wrong"] * 5, "warning") == [News.RAISED]


def test_it_gets_worse_and_not_better() -> None:
    assert states("warning", "alert", "warning", "wrong") == [State.WARNING, *[State.ALERT] * 3]
    assert said("warning", "alert", "warning", "alert") == [News.RAISED, News.WORSE]


def test_it_is_told_again_after_a_day() -> None:
    day = RENOTIFY_AFTER // STEP
    assert said(*["warning"] * day) == [News.RAISED]
    assert said(*["warning"] * (2 * day + 1)) == [News.RAISED, News.STILL, News.STILL]


def test_without_data_it_stays_and_nobody_is_told_for_a_week() -> None:
    week = 7 * 24 * 4
    steps = lived("warning", *["nothing"] * week)
    assert [alert.state for alert, _ in steps[1:] if alert] == [State.NO_DATA] * week
    assert said("warning", *["nothing"] * (week + 1)) == [News.RAISED, News.RECOVERED]
    assert states("warning", "nothing", "warning") == [State.WARNING, State.NO_DATA, State.WARNING]


def test_an_hour_without_data_is_no_hour_in_which_all_was_fine() -> None:
    steps = lived("warning", *["nothing"] * 8, *["fine"] * 4)
    assert steps[-1][0] is not None
    assert steps[-1][0].state is State.WARNING


def test_time_that_brings_no_new_events_heals_nothing() -> None:
    alerts = advance([], {PROMPT: FINDINGS["warning"]}, START, START)
    for hour in range(48):
        alerts = advance(alerts, {PROMPT: FINDINGS["fine"]}, START, START + hour * RECOVERED_AFTER)
    assert alerts[0].recovered_at is None


def test_a_prompt_is_no_news_while_everything_is_wrong() -> None:
    both = {OVERALL: FINDINGS["alert"], PROMPT: FINDINGS["alert"]}
    alerts = advance([], both, START, START)
    assert news(alerts, START) == {OVERALL: News.RAISED}
    usage = Series(Rule.USAGE, "prompt", "a")
    more = advance(alerts, {**both, usage: FINDINGS["alert"]}, START, START)
    assert news(more, START) == {OVERALL: News.RAISED, usage: News.RAISED}
    later = START + 5 * STEP
    alerts = [told(alert, START) if alert.series == OVERALL else alert for alert in alerts]
    for at in (START + STEP, later):
        alerts = advance(alerts, {OVERALL: FINDINGS["fine"], PROMPT: FINDINGS["alert"]}, at, at)
    assert news(alerts, later) == {OVERALL: News.RECOVERED, PROMPT: News.RAISED}


def test_who_silenced_it_is_told_of_nothing() -> None:
    (alert,) = advance([], {PROMPT: FINDINGS["warning"]}, START, START)
    silenced = replace(alert, silenced_until=START + STEP)
    assert news([silenced], START) == {}
    assert news([silenced], START + STEP) == {PROMPT: News.RAISED}


def test_what_is_over_before_anybody_was_told_is_not_told() -> None:
    (alert,) = advance([], {PROMPT: FINDINGS["warning"]}, START, START)
    alerts = [alert]
    for number in range(1, 8):
        at = START + number * STEP
        alerts = advance(alerts, {PROMPT: FINDINGS["fine"]}, at, at)
        if alerts[0].recovered_at:
            break
    assert news(alerts, START) == {}


@given(st.lists(st.sampled_from(WORDS), max_size=120))
def test_whatever_happens_the_story_that_is_told_makes_sense(words: list[str]) -> None:
    previous: News | None = None
    for (alert, why), word in zip(lived(*words), words, strict=True):
        if why is News.RAISED:
            assert word in {"warning", "alert"}
            assert previous in {None, News.RECOVERED}
        elif why is News.RECOVERED:
            assert word in {"fine", "nothing"}
            assert previous in {News.RAISED, News.WORSE, News.STILL}
        elif why:
            assert previous in {News.RAISED, News.WORSE, News.STILL}
        if alert:
            assert (alert.state is State.OK) == (alert.recovered_at is not None)
            assert alert.state in {alert.severity, State.OK, State.NO_DATA}
        previous = why or previous
