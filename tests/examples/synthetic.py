"""Data for Flower's public examples where their data sets cannot be fetched: public_apps.py puts this file into each of them.

It has what they import to load data, under the same names: `FederatedDataset` of flwr_datasets, `load_dataset` of datasets and
`create_engine` of SQLAlchemy. A data set of a name has the columns and types of the public one, a few hundred rows, and something
to learn; it is the same in every process. Partitioners, splits and transforms stay those of the example.
"""

import hashlib
import math

import numpy as np

TRAIN, TEST = 600, 200  # rows
TITLES = ("Mr", "Mrs", "Miss", "Master")
WORDS = {
    "workclass": ("Private", "State-gov", "Self-emp"),
    "education": ("HS-grad", "Bachelors", "Masters"),
    "marital.status": ("Married", "Divorced", "Never-married"),
    "occupation": ("Sales", "Tech-support", "Craft-repair"),
    "relationship": ("Husband", "Wife", "Own-child"),
    "race": ("A", "B", "C"),
    "sex": ("Female", "Male"),
    "native.country": ("United-States", "Mexico", "Canada"),
}


class FederatedDataset:
    """As in flwr_datasets, for one split that is partitioned. A preprocessor is for the size of the public data set, and is not called."""

    def __init__(self, *, dataset, partitioners, **_):
        self._name = dataset
        self._partitioners = partitioners
        for split, partitioner in partitioners.items():
            partitioner.dataset = load_dataset(dataset, split=split)

    def load_partition(self, partition_id, split=None):
        return self._partitioners[split or next(iter(self._partitioners))].load_partition(partition_id)

    def load_split(self, split):
        return load_dataset(self._name, split=split)


def load_dataset(name, split=None):
    """A split, or all of them by name."""
    if split is None:
        return {each: load_dataset(name, each) for each in ("train", "test")}
    rng = np.random.default_rng([*hashlib.sha256(name.encode()).digest()[:8], split == "test"])
    return MADE[name](rng, TEST if split == "test" else TRAIN)


def create_engine(_):
    """A database of SQLite in memory, with the table of persons that the example reads from PostgreSQL; other persons in each process."""
    import pandas
    import sqlalchemy

    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    rng = np.random.default_rng()
    means = {"age": 50, "bmi": 26, "systolic_bp": 125, "diastolic_bp": 80, "ldl_cholesterol": 110, "hba1c": 5.6}
    pandas.DataFrame({name: rng.normal(mean, mean / 8, TEST) for name, mean in means.items()}).to_sql("person_measurements", engine)
    return engine


def _table(columns):
    from datasets import Dataset

    return Dataset.from_dict({name: list(values) for name, values in columns.items()})


def _images(image, shape):
    """Images of ten classes: each class a pattern of its own, under noise."""

    def make(rng, rows):
        from datasets import ClassLabel, Dataset, Features, Image
        from PIL import Image as Pillow

        patterns = np.random.default_rng(10).uniform(40, 215, (10, *shape))
        labels = rng.integers(0, 10, rows)
        pixels = (patterns[labels] + rng.normal(0, 40, (rows, *shape))).clip(0, 255).astype(np.uint8)
        columns = {image: [Pillow.fromarray(each) for each in pixels], "label": labels.tolist()}
        return Dataset.from_dict(columns, features=Features({image: Image(), "label": ClassLabel(num_classes=10)}))

    return make


def _flowers(named, column):
    """Measurements of three kinds of flowers; `column` names a measurement, `named` the kind."""

    def make(rng, rows):
        kinds = rng.permutation(np.arange(150) % 3)
        measured = {("petal", "length"): 1.5, ("petal", "width"): 0.3, ("sepal", "length"): 5.0, ("sepal", "width"): 3.0}
        return _table({column(*what): least + kinds * 0.9 + rng.normal(0, 0.3, 150) for what, least in measured.items()} | named(kinds))

    return make


def _higgs(rng, rows):
    inputs = rng.normal(size=(rows, 28)).astype(np.float32)
    return _table({"inputs": inputs.tolist(), "label": (inputs[:, 0] + inputs[:, 1] * inputs[:, 2] > 0).astype(np.float32).tolist()})


def _census(rng, rows):
    words = {name: rng.choice(words, rows).tolist() for name, words in WORDS.items()}
    low_high = {"age": (18, 80), "fnlwgt": (20_000, 400_000), "education.num": (1, 17), "hours.per.week": (10, 70)}
    numbers = {name: rng.integers(*between, rows) for name, between in low_high.items()}
    gains = {"capital.gain": rng.integers(0, 3, rows) * 5000, "capital.loss": rng.integers(0, 2, rows) * 1500}
    earns = numbers["age"] + 3 * numbers["education.num"] + gains["capital.gain"] / 1000 > 85
    columns = {name: values.tolist() for name, values in (numbers | gains).items()}
    return _table(columns | words | {"income": [">50K" if each else "<=50K" for each in earns]})


def _passengers(rng, rows):
    sexes, classes, ages = rng.integers(0, 2, rows), rng.integers(1, 4, rows), rng.uniform(1, 80, rows).round()
    survived = (sexes + 0.6 * (classes == 1) + 0.5 * (ages < 12) + rng.normal(0, 0.3, rows) > 0.9).astype(int)
    known = [math.nan if missing else age for age, missing in zip(ages, rng.random(rows) < 0.1)]
    return _table(
        {
            "Survived": survived.tolist(),
            "Pclass": classes.tolist(),
            "Name": [f"{rng.choice(TITLES)}. {'ABCDEFGH'[i % 8]}" + "x" * (i % 13) for i in range(rows)],
            "Sex": [("male", "female")[each] for each in sexes],
            "Age": known,
            "Siblings/Spouses Aboard": rng.integers(0, 4, rows).tolist(),
            "Parents/Children Aboard": rng.integers(0, 3, rows).tolist(),
            "Fare": (rng.gamma(2, 30, rows) / classes).tolist(),
        }
    )


MADE = {
    "uoft-cs/cifar10": _images("img", (32, 32, 3)),
    "zalando-datasets/fashion_mnist": _images("image", (28, 28)),
    "ylecun/mnist": _images("image", (28, 28)),
    "hitorilabs/iris": _flowers(lambda kinds: {"species": kinds.tolist()}, lambda part, what: f"{part}_{what}"),
    "scikit-learn/iris": _flowers(
        lambda kinds: {"Species": [f"Iris-{kind}" for kind in kinds]}, lambda part, what: f"{part.title()}{what.title()}Cm"
    ),
    "jxie/higgs": _higgs,
    "scikit-learn/adult-census-income": _census,
    "julien-c/titanic-survival": _passengers,
}
