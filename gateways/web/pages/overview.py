"""The overview: the plant as a mimic diagram."""

from collections.abc import Iterable

from address_space.model import Variable
from gateways.web.pages.markup import el
from gateways.web.pages.mimic import MOST_ROWS, mimic, shown_variables
from gateways.web.pages.shell import View, document, page_head
from gateways.web.pages.symbols import is_shown


def page(view: View) -> str:
    """Make the page: three drawings, for a wide screen, a narrow one and a telephone, of which one is shown."""
    drawings = [mimic(view.plant, columns, view.texts) for columns in (4, 2, 1)]
    rest = [it for it in view.plant.children(view.plant.root) if not is_shown(it)]
    links = [el("a", it.name, href=f"/machine/{it.path}", class_="button") for it in (view.plant.root, *rest)]
    body = (page_head(view.texts("overview"), *links), el("div", drawings, class_="drawing"))
    return document(view, "overview", body, _shown(view), "overview")


def _shown(view: View) -> Iterable[Variable]:
    for machine in view.plant.machines:
        if is_shown(machine):
            yield from shown_variables(machine, view.watched.get(machine.path, []), MOST_ROWS)
            if (state := machine.variables.get("State")) is not None:
                yield state
