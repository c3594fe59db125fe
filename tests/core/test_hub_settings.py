"""Numbers of huggingface_hub in the environment: a wrong one is a sentence, and no traceback of an import."""

import pytest

from edgeconv.core import hub_settings
from edgeconv.core.errors import UsageError


@pytest.mark.parametrize("name", hub_settings.NUMBERS)
def test_a_setting_that_is_no_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "30")
    hub_settings.require()
    monkeypatch.setenv(name, "abc")
    with pytest.raises(UsageError, match=f"{name} is 'abc', not a whole number of seconds"):
        hub_settings.require()
