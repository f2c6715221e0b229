"""The objects: which one is drawn, names, colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from scmn.demo.messages import told

if TYPE_CHECKING:
    from scmn.demo.page import Page
    from scmn.demo.project import VideoObject


class ObjectPanel:
    """The list of objects.

    Attributes:
        selected: id of the object that is drawn; None if there is none.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.selected: int | None = None
        with ui.row().classes("w-full items-center"):
            ui.label("Objects").classes("font-medium")
            ui.space()
            ui.button("Add", icon="add", on_click=self._add).props("flat dense no-caps")
        self._list = ui.column().classes("w-full gap-0 max-h-56 overflow-y-auto flex-nowrap")
        self._shown: object = None

    def show(self) -> None:
        """Show the present objects."""
        project = self._page.session.project
        objects = project.objects if project is not None else {}
        if self.selected not in objects:
            self.selected = min(objects, default=None)
        if self.selected is not None:
            self._page.canvas.colour = objects[self.selected].hexadecimal
        state = objects, self.selected
        if state != self._shown:  # else the name that is being typed would lose the focus
            self._list.clear()
            with self._list:
                for drawn in objects.values():
                    self._row(drawn)
            self._shown = state

    def _row(self, drawn: VideoObject) -> None:
        object_id = drawn.object_id
        chosen = object_id == self.selected
        with ui.row(wrap=False).classes("w-full items-center gap-1"):
            icon = "radio_button_checked" if chosen else "radio_button_unchecked"
            choose = ui.button(icon=icon, on_click=lambda: self._select(object_id))
            _label(choose.props("flat dense round"), f"draw {drawn.name}")
            with ui.button(icon="palette", color=drawn.hexadecimal) as colour:
                _label(colour.props("dense unelevated"), f"colour of {drawn.name}")
                picker = ui.color_picker(on_pick=lambda e: self._change(object_id, colour=e.color))
                picker.q_color.props("default-view=palette no-header no-footer")
            name = ui.input(value=drawn.name).props("dense")
            _label(name, f"name of {drawn.name}")
            name.classes("grow").on("change", lambda: self._change(object_id, name=name.value))
            remove = ui.button(icon="delete", on_click=lambda: self._remove(object_id))
            _label(remove.props("flat dense round"), f"remove {drawn.name}")

    def _select(self, object_id: int) -> None:
        self.selected = object_id
        self.show()

    def _add(self) -> None:
        with told():
            self._select(self._page.project.add_object().object_id)

    def _change(
        self, object_id: int, *, name: str | None = None, colour: str | None = None
    ) -> None:
        with told():
            self._page.project.change_object(object_id, name=name, colour=colour)
            self._page.refresh()

    def _remove(self, object_id: int) -> None:
        with told():
            self._page.project.remove_object(object_id)
            self._page.refresh()


def _label(element: ui.element, text: str) -> None:
    """Name an element for screen readers; the text may hold anything, unlike in ``props()``."""
    element.props["aria-label"] = text
