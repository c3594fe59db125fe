from ..cli.conftest import edgeconv  # noqa: F401
from ..hub.conftest import hub, progress  # noqa: F401 - fixtures
from ..publish.conftest import writable  # noqa: F401
