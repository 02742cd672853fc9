"""One run of the flow `ingest` in this process, against the Prefect server that is set or one that ends with it."""

from __future__ import annotations

from typing import Any, cast

from deployments.prefect_server import prefect_server
from pinakes.errors import PinakesError, UnfinishedError
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.stopping import stop_on_interrupt
from pinakes.settings import Settings


def run_ingest(request: IngestRequest, settings: Settings) -> dict[str, Any] | UnfinishedError:
    """The flow's summary, or the error that carries one.

    Raises:
        KeyboardInterrupt: the run was interrupted before there was a summary, or paused in Prefect.
        PinakesError: it failed.
    """
    with prefect_server(settings.home), stop_on_interrupt():
        # Prefect reads the environment that the server has just been put into.
        import httpx
        from prefect.client.schemas.objects import State
        from prefect.exceptions import Pause

        from flows.ingest import ingest
        from tasks.watching import outcome as ended_with

        kept: list[Any] = []
        ended_with.set(kept)
        try:
            ended = cast(Any, ingest)(**request.model_dump(mode="json"), return_state=True)
        except Pause:
            raise KeyboardInterrupt("paused in Prefect") from None
        except httpx.HTTPError as exc:
            if not kept:
                raise PinakesError(f"Prefect's server did not let the run begin: {exc}.") from exc
            ended = kept[0]  # the run has ended, and only Prefect's server does not hear of it
        outcome = ended.result(raise_on_failure=False) if isinstance(ended, State) else ended
    if isinstance(outcome, dict | UnfinishedError):
        return outcome
    if isinstance(outcome, BaseException):
        raise outcome
    raise PinakesError(f"the flow ended as {ended}.")
