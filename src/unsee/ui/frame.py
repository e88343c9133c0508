"""What every page has: a skip link, the way to the others, light and dark, and how errors are shown."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from nicegui import ui

from unsee.data import ImageFile
from unsee.errors import UnseeError
from unsee.ui.bench import LARGEST, MOST, Bench
from unsee.ui.jobs import reason

PAGES = {"/": "Ask", "/forget": "Forget", "/requests": "Requests", "/results": "Results", "/live": "Live"}
_STYLE = files("unsee.ui").joinpath("style.css").read_text(encoding="utf-8")


@contextmanager
def frame(bench: Bench, path: str) -> Iterator[None]:
    """A page of that path: header above, its own elements below."""
    ui.page_title(f"{PAGES[path]} - unsee")
    ui.add_css(_STYLE)
    dark = ui.dark_mode(None)
    with ui.element("a").props('href="#main"').classes("skip"):
        ui.label("Go to the content")
    with (
        ui.element("header"),
        ui.element("div").classes("row items-center"),
    ):
        with ui.element("nav").props('aria-label="Pages"').classes("row"):
            for there, name in PAGES.items():
                link = ui.link(name, there)
                if there == path:
                    link.props('aria-current="page"')
        ui.label(bench.model).classes("dim model")
        ui.button(icon="contrast", on_click=lambda: dark.set_value(not dark.value)).props(
            'flat round dense color=none aria-label="Light or dark"'
        )
    ui.run_javascript("document.querySelectorAll('.q-loading-bar').forEach(bar => bar.ariaLabel = 'Loading')")
    with ui.element("div").props('id="main" tabindex="-1"'):
        with ui.element("h1"):
            ui.label(PAGES[path])
        yield


def heading(text: str) -> None:
    """A heading within a page."""
    with ui.element("h2"):
        ui.label(text)


async def guarded(work: Callable[[], Awaitable[Any]]) -> Any:
    """Await it; an error that a user can fix is shown as the command line words it, any other by its kind alone."""
    try:
        return await work()
    except UnseeError as error:
        ui.notify(str(error), type="negative", multi_line=True, timeout=0, close_button="Close")
    except Exception as error:
        ui.notify(
            f"That failed ({reason(error)}). The terminal says more; nothing was changed.",
            type="negative", timeout=0, close_button="Close",
        )  # fmt: skip
        raise
    return None


def file_input(label: str, accept: str, take: Callable[[str, bytes], Any], icon: str = "attach_file") -> str:
    """A button that takes files, given as name and bytes; the JavaScript that names its uploader."""

    async def taken(event: Any) -> None:
        async def read() -> None:
            body = await event.file.read()
            if len(body) > LARGEST:  # whoever sent it was no page of ours
                return refuse()
            take(event.file.name, body)

        await guarded(read)
        upload.reset()

    def refuse() -> None:
        ui.notify(f"Not taken: at most {MOST} files of {LARGEST // 1_000_000} MB each.", type="negative")

    # Quasar's own box cannot be read aloud: it stays hidden behind a button.
    upload = ui.upload(
        multiple=True, auto_upload=True, max_file_size=LARGEST, max_files=MOST, on_upload=taken, on_rejected=refuse
    ).props(f'accept="{accept}"').style("display: none")  # fmt: skip
    place = f"getElement({upload.id}).$refs.qRef"
    ui.button(label, icon=icon).props("outline").on("click", js_handler=f"() => {place}.pickFiles()")
    return place


def image_input(bench: Bench, added: Callable[[ImageFile], None]) -> None:
    """A place for images; each is decoded as everywhere in the library, or refused in its words."""
    place = file_input(
        "Add images", "image/*", lambda name, body: added(bench.kept(name, body)), icon="add_photo_alternate"
    )
    ui.label("or drop or paste them anywhere on this page").classes("dim")
    ui.run_javascript(
        f"const take = (event, data) => {{ const found = [...(data?.files ?? [])];"
        f" if (found.length) {{ event.preventDefault(); {place}.addFiles(found); }} }};"
        "document.addEventListener('paste', event => take(event, event.clipboardData));"
        "document.addEventListener('dragover', event => event.preventDefault());"
        "document.addEventListener('drop', event => take(event, event.dataTransfer));"
    )


def notice(text: str) -> None:
    """Something that is so, and no error."""
    ui.label(text).classes("notice").props('role="status"')


def failure(text: str) -> None:
    """Why something was not done; it stays."""
    ui.label(text).classes("notice bad").props('role="alert"')


def thumbnails(images: list[ImageFile], shown: ui.row) -> Callable[[], None]:
    """Draw the images in that row, each with a button that removes it; returns what draws them again."""

    def remove(image: ImageFile) -> None:
        images.remove(image)
        redraw()

    def redraw() -> None:
        shown.clear()
        with shown:
            for image in images:
                with ui.element("div").style("width: 84px"):
                    thumbnail(image, 84)
                    ui.button("Remove", on_click=lambda _, image=image: remove(image)).props("flat dense size=sm")

    return redraw


def thumbnail(image: ImageFile, width: int) -> None:
    """One image, small."""
    picture(image.load(), f"Image {image.id}", width)


def picture(pixels: Any, alt: str, width: int) -> None:
    """An image of at most that width, and what it shows for those who hear it."""
    ui.image(pixels).style(f"max-width: {width}px; width: 100%").props(f'alt="{plain(alt)}"')


def plain(text: str) -> str:
    """Letters, digits and little else: for attributes, which are written as they are."""
    return "".join(c for c in text if c.isalnum() or c in " ._-")


def world_faces(bench: Bench, add: Callable[[ImageFile], None]) -> None:
    """Faces of the built-in world, for a model that knows it."""
    people = bench.people()
    if not people:
        return
    with ui.row().classes("w-full items-center"):
        who = ui.select(list(people), with_input=True, label="Or somebody of the world").props("outlined dense")
        who.style("flex: 1; min-width: 220px")
        view = ui.number("View", value=5, min=0, max=99, precision=0).props("outlined dense").style("width: 90px")

        def show() -> None:
            if who.value:
                add(bench.face(people[who.value], int(view.value or 0)))

        ui.button("Show", on_click=show).props("outline")


def command(text: str) -> None:
    """A command line to copy."""
    with ui.row().classes("w-full items-start no-wrap"):
        with ui.element("code").classes("command").style("flex: 1; min-width: 0"):
            ui.label(text)
        ui.button(icon="content_copy", on_click=lambda: ui.clipboard.write(text)).props(
            'flat round dense color=none aria-label="Copy the command"'
        )


def plain_table(
    head: Sequence[str], rows: Sequence[Sequence[str | float | None]], caption: str, *, figures: bool = False
) -> None:
    """A table of text and of shares, in [0, 1], which have a bar; lines of `figures` are not broken."""
    ui.label(caption).classes("dim")  # no <caption>: that would be cut where the table is wider than the screen
    with (
        ui.element("div").classes("wide").props(f'tabindex="0" role="region" aria-label="{plain(caption[:60])}"'),
        ui.element("table").classes("plain figures" if figures else "plain"),
    ):
        with ui.element("thead"), ui.element("tr"):
            for cell in head:
                with ui.element("th").props('scope="col"'):
                    ui.label(cell)
        with ui.element("tbody"):
            for row in rows:
                with ui.element("tr"):
                    for cell in row:
                        with ui.element("td"):
                            _cell(cell)


def _cell(value: str | float | None) -> None:
    if value is None or isinstance(value, str):
        ui.label("-" if value is None else value)
        return
    ui.label(f"{value:.0%}")
    with ui.element("div").classes("share"):
        ui.element("i").style(f"width: {100 * value:.0f}%")
