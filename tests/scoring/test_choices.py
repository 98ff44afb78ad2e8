"""The page of chosen photographs: whole, escaped, and with the pictures that it is to show."""

import base64
import io
import re

import numpy as np
from PIL import Image

from ass_tf.scoring import choices


def choice(name="a"):
    image = np.full((30, 60, 3), 200, np.uint8)
    return choices.Choice(
        name, 0.25, 0.5, np.inf, image, np.zeros((3, 6), np.uint8), np.linspace(0, 1, 18).reshape(3, 6)
    )


def pictures_of(text):
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def test_three_panels_of_equal_size_for_each_choice():
    text = choices.render([choice(), choice("b")], ["road", "sky"], "Next", ["Twelve photographs."])
    panels = pictures_of(text)
    assert [panel.shape for panel in panels] == [(200, 400, 3)] * 6
    assert panels[2][:20, :40].mean() < 40
    assert panels[2][-20:, -40:].mean() > 180
    np.testing.assert_allclose(panels[1].mean((0, 1)), (np.array([128, 64, 128]) + 200) / 2, atol=3)
    assert "Twelve photographs." in text
    assert ">sky</li>" in text
    assert "from its nearest neighbour" not in text


def test_names_are_text():
    text = choices.render([choice('<b>"&')], ["<i>"], "<u>", [])
    assert "<b>" not in text
    assert "<u>" not in text
    assert "<i>" not in text.replace('<i style="', "")
    assert "&lt;b&gt;&quot;&amp;" in text


def test_colours_of_doubt_go_from_black_to_pale_yellow():
    np.testing.assert_array_equal(choices.heat(np.array([[-1.0, 0, 1, 2]]))[0, [0, 3]], [[0, 0, 4], [252, 255, 164]])
    brightness = choices.heat(np.linspace(0, 1, 50)[None]).astype(int).sum(-1)[0]
    assert (np.diff(brightness) >= 0).all()
