"""Which of several outputs a model is made for."""

import pytest

from convfe_core.graph.heads import main_output, output_names


def network(keras, names: list[str], depths: list[int]):
    """One output a name, so many layers deep."""
    picture = keras.Input((8, 8, 3))
    made = []
    for name, depth in zip(names, depths, strict=True):
        x = picture
        for number in range(depth):
            x = keras.layers.Dense(2, name=name if number == depth - 1 else None)(x)
        made.append(x)
    return keras.Model(picture, made)


@pytest.mark.parametrize(
    ("names", "depths", "main"),
    [
        (["aux", "main"], [3, 1], 1),
        (["main_output", "output"], [1, 1], 0),  # both are called so, and equally deep
        (["side", "final_mask"], [2, 1], 1),
        (["predictions", "aux"], [1, 2], 0),
        (["domain", "remainder"], [1, 2], 1),  # "main" in a word is no name
        (["boxes", "classes"], [2, 2], 0),
    ],
)
def test_the_main_output_is_the_one_called_so_else_the_deepest_else_the_first(names, depths, main) -> None:
    import keras

    model = network(keras, names, depths)
    assert output_names(model) == names
    assert main_output(model, names) == main


def test_outputs_in_a_dict_are_called_by_their_keys() -> None:
    import keras
    import tf_keras

    for kind in (keras, tf_keras):
        picture = kind.Input((8, 8, 3))
        one, other = kind.layers.Dense(2, name="a")(picture), kind.layers.Dense(2, name="b")(picture)
        assert output_names(kind.Model(picture, {"main": one, "aux": other})) == ["aux", "main"]
