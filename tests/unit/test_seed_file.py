"""Files of prompts: what is shipped, the forms that are read, and what is said of bad ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline.errors import InputError
from pipeline.samples.seeding import PROBLEMS_SHOWN, SHIPPED_FILE, Category, SeedPrompt, read_prompts

GOOD: dict[str, Any] = {
    "slug": "a-good-one",
    "name": "A good one",
    "category": "portrait",
    "template": "A picture of {{name}}",
}


def written(file: Path, *entries: object) -> Path:
    """The file, with these entries as JSON."""
    file.write_text(json.dumps(entries))
    return file


def test_shipped_file_has_three_prompts_a_category() -> None:
    shipped = read_prompts(SHIPPED_FILE)

    assert Counter(prompt.category for prompt in shipped) == dict.fromkeys(get_args(Category), 3)
    assert "portrait-selfie-casual" in {prompt.slug for prompt in shipped}
    assert {prompt.rating for prompt in shipped} == {"sfw"}


@pytest.mark.parametrize("prompt", read_prompts(SHIPPED_FILE), ids=lambda prompt: prompt.slug)
def test_shipped_prompt_requires_what_its_template_names_and_has_every_field(prompt: SeedPrompt) -> None:
    assert sorted(prompt.required_dna) == sorted(set(re.findall(r"{{(\w+)}}", prompt.template)))
    assert prompt.slug.startswith(prompt.category.replace("_", "-"))
    assert all(prompt.model_dump().values())


def test_shipped_prompts_differ() -> None:
    shipped = read_prompts(SHIPPED_FILE)

    assert len({prompt.name for prompt in shipped}) == len({prompt.template for prompt in shipped}) == 24


@pytest.mark.parametrize("name", ["prompts.json", "prompts.yaml", "prompts.yml", "PROMPTS.JSON"])
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_json_and_yaml_say_the_same(tmp_path: Path, name: str, is_wrapped: bool) -> None:  # noqa: FBT001
    entries = [GOOD, {**GOOD, "slug": "another", "tags": ["one", "two"], "rating": None}]
    file = tmp_path / name
    # JSON is YAML as well.
    file.write_text(json.dumps({"prompts": entries} if is_wrapped else entries))

    assert [prompt.slug for prompt in read_prompts(file)] == ["a-good-one", "another"]
    assert read_prompts(file)[1].tags == ["one", "two"]


def test_yaml_values_are_the_texts_that_are_written(tmp_path: Path) -> None:
    """Where plain YAML sees base 60, a boolean, a date or a number."""
    file = tmp_path / "prompts.yaml"
    file.write_text(
        "- slug: a\n  name: no\n  category: portrait\n  template: 2024-05-06\n"
        "  aspect_ratio: 9:16\n  tags: [1, 2.50]\n  rating: ~\n  description:\n"
    )

    [prompt] = read_prompts(file)

    assert (prompt.name, prompt.template, prompt.aspect_ratio) == ("no", "2024-05-06", "9:16")
    assert prompt.tags == ["1", "2.50"]
    assert prompt.rating is prompt.description is None


def test_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps([GOOD]), encoding="utf-8-sig")

    assert len(read_prompts(file)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slug": "Upper-Case"}, "entry 2 (Upper-Case), slug: string should match pattern"),
        ({"slug": "under_score"}, "entry 2 (under_score), slug:"),
        ({"slug": "a--b"}, "entry 2 (a--b), slug:"),
        ({"slug": ""}, "entry 2 (), slug:"),
        ({"slug": None}, "entry 2, slug: input should be a valid string, not None"),
        ({"category": "landscape"}, "entry 2 (second), category: input should be 'portrait', 'fullbody'"),
        ({"name": ""}, "entry 2 (second), name: string should have at least 1 character"),
        ({"name": "  \n"}, "entry 2 (second), name: string should have at least 1 character"),
        ({"template": "a\0b"}, "entry 2 (second), template: a NUL character can't be stored"),
        ({"template": "\ud800"}, "entry 2 (second), template: input should be a valid string"),
        ({"rating": 5}, "entry 2 (second), rating: input should be a valid string, not 5"),
        ({"tags": "one"}, "entry 2 (second), tags: input should be a valid list, not 'one'"),
        ({"tags": ["one", ""]}, "entry 2 (second), tags, item 2: string should have at least 1 character"),
        ({"usage_count": 7}, "entry 2 (second), usage_count: extra inputs are not permitted, not 7"),
    ],
)
def test_a_bad_entry_is_named_with_slug_and_field(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    file = written(tmp_path / "prompts.json", GOOD, {**GOOD, "slug": "second", **change})

    with pytest.raises(InputError, match=re.escape(said)) as caught:
        read_prompts(file)

    assert str(file) in str(caught.value)
    assert "1 of 2 entries were rejected, so nothing was written" in str(caught.value)


@pytest.mark.parametrize("field", ["slug", "name", "category", "template"])
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    file = written(tmp_path / "prompts.json", {key: text for key, text in GOOD.items() if key != field})

    with pytest.raises(InputError, match=rf"entry 1( \(a-good-one\))?, {field}: field required"):
        read_prompts(file)


def test_an_entry_without_fields_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "prompts.json", GOOD, "just a text")

    with pytest.raises(InputError, match="entry 2: should have fields, is 'just a text'"):
        read_prompts(file)


def test_a_repeated_slug_names_both_entries(tmp_path: Path) -> None:
    file = written(tmp_path / "prompts.json", GOOD, {**GOOD, "slug": "other"}, {**GOOD, "name": "Again"})

    with pytest.raises(InputError, match=r"entry 3 \(a-good-one\), slug: entry 1 has the same"):
        read_prompts(file)


def test_of_many_problems_the_first_are_listed_and_all_counted(tmp_path: Path) -> None:
    entries = [{**GOOD, "slug": f"number-{number}", "category": "other"} for number in range(1, 26)]
    file = written(tmp_path / "prompts.json", *entries)

    with pytest.raises(InputError) as caught:
        read_prompts(file)

    assert re.findall(r"\(number-(\d+)\)", str(caught.value)) == [
        str(number) for number in range(1, PROBLEMS_SHOWN + 1)
    ]
    assert "and 15 more" in str(caught.value)
    assert "25 of 25 entries were rejected" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bad.yaml", b"- slug: a\n  name: [\n", "line 3, column 1"),
        ("bad.yaml", b"- slug: a\n\tname: b\n", "line 2, column 1"),
        ("bad.yaml", b"- slug: a\n  name: x\0\n", "line 2, column 10: special characters are not allowed"),
        ("bad.yaml", b"- a: 1\n---\n- b: 1\n", "line 2, column 1"),
        ("bad.yaml", b"- !!python/object:os.system {}\n", "line 1, column 3"),
        ("bad.json", b'[\n{"slug": }]', "line 2, column 10: Expecting value"),
        ("BAD.JSON", b"- slug: a\n", "line 1, column 1"),
        ("bad.json", b"[" * 100_000, "recursion"),
        ("bad.json", b'["\xff"]', "byte 3 is not UTF-8"),
        ("bad.yaml", b"", "it holds no list of prompts"),
        ("bad.json", b"[]", "it holds no list of prompts"),
        ("bad.json", b'{"prompts": {}}', "it holds no list of prompts"),
        ("bad.json", b'{"templates": []}', "it holds no list of prompts"),
    ],
)
def test_a_file_that_does_not_parse_is_named_with_the_place(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    with pytest.raises(InputError, match=re.escape(said)) as caught:
        read_prompts(file)

    assert str(file) in str(caught.value)


@pytest.mark.parametrize(("name", "said"), [("none.yaml", "No such file"), (".", "Is a directory")])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_prompts(tmp_path / name)

    assert str(tmp_path) in str(caught.value)


def test_merge_keys_copy_defaults(tmp_path: Path) -> None:
    file = tmp_path / "prompts.yaml"
    file.write_text(f"- &usual {json.dumps(GOOD)}\n- {{<<: *usual, slug: another}}\n")

    assert read_prompts(file)[1] == SeedPrompt.model_validate({**GOOD, "slug": "another"})


@pytest.mark.parametrize(
    ("made_of", "step"),
    [
        ("{a: 1, b: 2}", "{<<: [%s]}"),
        ("{a: 1, b: 2}", "{%s}"),
        ("[a, b]", "[%s]"),
    ],
)
def test_a_few_lines_do_not_become_a_file_without_end(tmp_path: Path, made_of: str, step: str) -> None:
    lines = [f"- &level0 {made_of}"]
    for level in range(1, 30):
        each = [f"*level{level - 1}"] * 9
        parts = [f"k{number}: {alias}" for number, alias in enumerate(each)] if step == "{%s}" else each
        lines.append(f"- &level{level} {step % ', '.join(parts)}")
    file = tmp_path / "prompts.yaml"
    file.write_text("\n".join(lines))

    with pytest.raises(InputError, match=r"merges itself, or more than|not every entry can be used"):
        read_prompts(file)


@pytest.mark.parametrize("name", ["prompts.json", "prompts.yaml"])
@pytest.mark.parametrize("field", ["name", "template", "slug", "rating"])
@pytest.mark.parametrize("odd", ["\ud800", "a\0b"])
def test_what_no_text_can_hold_is_an_error_of_its_entry(
    tmp_path: Path, name: str, field: str, odd: str
) -> None:
    with pytest.raises(InputError, match=rf"entry 1 .*{field}: "):
        read_prompts(written(tmp_path / name, {**GOOD, field: odd}))
