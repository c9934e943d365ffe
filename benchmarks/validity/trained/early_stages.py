"""Earlier stages of the training of a built-in backbone, as model files that the study looks at like any other.

    python -m benchmarks.validity.trained.early_stages --out DIR [--name TinyResNet] [--after 1 --after 3]
        [--labelled ZIP] [--photos ZIP] [--teacher] [--canvases 3840]

It is the first run of the model card, by `training`'s own code, stopped early: ``DIR/TinyResNet after 1.keras`` holds
the weights after one of its twelve epochs. A file that is there is not made again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training.train_builtin import Pools, Recipe, Trainer, class_names

DATA = Path("../shared/training")


def train_stages(recipe: Recipe, pools: Pools, classes: list[str], after: list[int], folder: Path) -> None:
    """Train until the last stage that is wanted, and write each on the way.

    Parameters
    ----------
    recipe : of the whole training, whose rate falls to 0 over all its epochs
    after : how many epochs each stage has seen
    """
    paths = {epochs: folder / f"{recipe.name} after {epochs}.keras" for epochs in after}
    if all(path.is_file() for path in paths.values()):
        return
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(recipe, classes, pools.use_teacher)
    for epoch in range(max(after)):
        told = trainer.train_epoch(epoch, *pools[epoch])
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {value:.3f}" for name, value in told.items()), flush=True)
        if epoch + 1 in paths:
            trainer.student.save(paths[epoch + 1])


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--name", default="TinyResNet")
    parser.add_argument("--after", type=int, action="append", metavar="EPOCHS")
    parser.add_argument("--labelled", type=Path, default=DATA / "tiny-imagenet-100x300.zip", metavar="ZIP")
    parser.add_argument("--photos", type=Path, metavar="ZIP")
    parser.add_argument("--teacher", action="store_true")
    parser.add_argument("--canvases", type=int, default=Recipe("").canvases)
    options = parser.parse_args()
    recipe = Recipe(options.name, canvases=options.canvases)
    pools = Pools(recipe, options.labelled, options.photos, options.teacher, None)
    train_stages(recipe, pools, class_names(options.labelled), options.after or [1, 3], options.out)


if __name__ == "__main__":
    main()
