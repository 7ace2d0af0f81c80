"""The page's view of a run."""

from __future__ import annotations

from bestshot.orchestrator.v1 import orchestrator_pb2 as pb

from ui.views.run import progress_of


def test_notes_of_a_run_are_shown_as_text() -> None:
    run = pb.Run(state=pb.RUN_STATE_COMPLETED, notes=["20 photos <look> alike."])
    assert '<p class="note">20 photos &lt;look&gt; alike.</p>' in progress_of(run)
    assert 'class="note"' not in progress_of(pb.Run(state=pb.RUN_STATE_COMPLETED))
