"""Keys, mouse and fingers."""


def press(page, keys):
    page.wait_for_load_state("load")  # before, its scripts may not have begun to listen
    for key in keys.split():
        page.keyboard.press(key)


def drag_by_mouse(page, tile, slot):
    page.locator(tile).hover(trial=True)  # it may still glide from where it was
    start, end = page.locator(tile).bounding_box(), page.locator(slot).bounding_box()
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(start["x"] + start["width"] / 2 + 20, start["y"] + start["height"] / 2 + 20, steps=4)
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=12)
    page.mouse.up()


def drag_by_finger(page, tile, slot):
    page.locator(tile).hover(trial=True)
    touch = page.context.new_cdp_session(page)
    start, end = page.locator(tile).bounding_box(), page.locator(slot).bounding_box()
    x, y = start["x"] + start["width"] / 2, start["y"] + start["height"] / 2
    to_x, to_y = end["x"] + end["width"] / 2, end["y"] + end["height"] / 2

    def send(kind, *points):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    send("touchStart", {"x": x, "y": y})
    page.wait_for_timeout(400)  # hold: a quick swipe scrolls the tray instead
    for step in range(1, 13):
        send("touchMove", {"x": x + (to_x - x) * step / 12, "y": y + (to_y - y) * step / 12})
        page.wait_for_timeout(30)
    send("touchEnd")
