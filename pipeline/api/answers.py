"""What answers look like: camelCase, as the app has its fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Answer(BaseModel):
    """An object of an answer."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)
