"""What a run came to, gathered from its events: what every report of a run's end starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.events import Compiled, RunFinished, RunStarted, StepFinished, StepStarted, UnitFinished

if TYPE_CHECKING:
    from farm.events import Event


class Gathered:
    """A sink that keeps how each unit ended; its other values are the run's."""

    def __init__(self) -> None:
        self.folder = ""
        self.seconds = 0.0
        self.forecast_s: float | None = None
        self._units: list[str] = []
        self._compiled: dict[str, Compiled] = {}
        self._finished: dict[str, UnitFinished] = {}
        self._steps: dict[str, str] = {}
        self._failed_steps: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case RunStarted(units=units, folder=folder):
                self._units, self.folder = list(units), folder
            case StepStarted(unit=unit, step=step):
                self._steps[unit] = step
            case StepFinished(unit=unit, step=step, error=error) if error:
                self._failed_steps.setdefault(unit, step)
            case Compiled(unit=unit):
                self._compiled[unit] = event
            case UnitFinished(unit=unit):
                self._finished[unit] = event
                if unit not in self._units:
                    self._units.append(unit)
            case RunFinished(seconds=seconds, forecast_s=forecast_s):
                self.seconds, self.forecast_s = seconds, forecast_s

    @property
    def ended(self) -> list[UnitFinished]:
        """How units ended, in plan order, as far as they did."""
        return [self._finished[unit] for unit in self._units if unit in self._finished]

    @property
    def compiled(self) -> list[Compiled]:
        """What the compilers of units took, in plan order, of those that compiled."""
        return [self._compiled[unit] for unit in self._units if unit in self._compiled]

    def failed_step(self, event: UnitFinished) -> str:
        """The step in which a unit failed, as well as it is known."""
        known = self._failed_steps.get(event.unit) or self._steps.get(event.unit, "")
        return event.step or known
