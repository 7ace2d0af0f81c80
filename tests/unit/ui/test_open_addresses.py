from __future__ import annotations

from typing import cast

import pytest
from starlette.routing import Route

from ui.client import Orchestrator
from ui.cull.routes import cull_router
from ui.grid.routes import grid_router
from ui.inputs import OPEN_PATHS, OPEN_PREFIXES
from ui.news import news_router
from ui.pairs.routes import pairs_router
from ui.people.routes import people_router
from ui.uploads import UploadLimits, upload_router

pytestmark = pytest.mark.slow

ROUTERS = (
    *(cull_router, grid_router, news_router, pairs_router, people_router),
    lambda api: upload_router(api, UploadLimits(1, 1)),
)


def test_every_address_of_our_own_views_is_let_through() -> None:
    """Others are hidden, because Gradio serves more than the page uses."""
    unused = cast(Orchestrator, None)
    paths = {
        route.path
        for make_router in ROUTERS
        for route in make_router(unused).routes
        if isinstance(route, Route)
    }
    assert len(paths) > len(ROUTERS)
    hidden = {path for path in paths - OPEN_PATHS if not path.startswith(OPEN_PREFIXES)}
    assert not hidden
