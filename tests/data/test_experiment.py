"""The data of an experiment: what is accepted, what is refused and in which words, and the CSV reader."""

import math
from pathlib import Path

import pytest
import torch

from leastwork.data.experiment import Experiment
from leastwork.errors import ConfigError
from leastwork.observables import Observable, circular
from leastwork.statistics.estimate import Estimate

AB = Observable(lambda x: x, ("a", "b"), unit=("nm", "rad"))
ABC = Observable(lambda x: x, ("alpha", "beta", "gamma"))


def same(a: torch.Tensor, b: list) -> bool:
    return torch.equal(a.nan_to_num(nan=-999.0), torch.tensor(b, dtype=a.dtype).nan_to_num(nan=-999.0))


def test_exact_by_default() -> None:
    data = Experiment(AB, [1, 2])
    assert data.values.dtype == torch.float64
    assert same(data.values, [1.0, 2.0])
    assert same(data.covariance, [[0.0, 0.0], [0.0, 0.0]])
    assert same(data.fitted, [0, 1])
    assert data.names == ("a", "b")
    assert data.units == ("nm", "rad")


def test_numbers_keep_double_precision() -> None:
    assert Experiment(AB, [0.1, 0.3], [0.1, 0.7]).values.tolist() == [0.1, 0.3]
    assert Experiment(AB, [0.1, 0.3], [0.1, 0.7]).errors.tolist() == [0.1, 0.7]


def test_data_are_copied() -> None:
    values = torch.tensor([1.0, 2.0], dtype=torch.float64)
    data = Experiment(AB, values)
    values[0] = 5
    assert data.values[0] == 1


def test_errors_three_ways() -> None:
    assert same(Experiment(AB, [1, 2], 0.5).covariance, [[0.25, 0.0], [0.0, 0.25]])
    assert same(Experiment(AB, [1, 2], [0.5, 1]).covariance, [[0.25, 0.0], [0.0, 1.0]])
    assert same(Experiment(AB, [1, 2], [[0.25, 0.1], [0.1, 1]]).covariance, [[0.25, 0.1], [0.1, 1.0]])


def test_bounds_and_interval() -> None:
    data = Experiment(ABC, [None, 2.0, None], lower=[1.0, math.nan, None], upper=[None, None, 3.0])
    lower, upper = data.interval
    assert lower.tolist() == [1.0, 2.0, -math.inf]
    assert upper.tolist() == [math.inf, 2.0, 3.0]


def test_held_out() -> None:
    data = Experiment(ABC, [1, 2, 3], held_out=[False, True, False])
    assert same(data.fitted, [0, 2])


def test_one_column_that_was_not_measured_is_left_without_datum_as_the_error_says(tmp_path: Path) -> None:
    observable = circular([0], ["phi"])
    file = tmp_path / "data.csv"
    file.write_text("name,value,error\ncos phi,0.2,0.1\n")
    with pytest.raises(ConfigError, match=r"no row for 'sin phi'.* a bound that all samples meet \(lower = -1 for"):
        Experiment.from_csv(file, observable)
    file.write_text("name,value,error,lower,held_out\ncos phi,0.2,0.1\nsin phi,,,-1,true\n")
    found = Experiment.from_csv(file, observable)
    assert found.fitted.tolist() == [0]
    assert float(found.outside(torch.tensor([0.2, -1.0], dtype=torch.float64)).abs().max()) == 0


def test_scalars_for_one_observable() -> None:
    assert same(Experiment(Observable(lambda x: x), 0.5, 0.1).values, [0.5])


def test_z_scores() -> None:
    data = Experiment(ABC, [1.0, None, None], [0.3, 0.3, 0.0], lower=[None, 0.0, None], upper=[None, 1.0, 0.0])
    mean, stderr = (torch.tensor(v, dtype=torch.float64) for v in ([2.0, 0.5, 1.0], [0.4, 0.4, 0.5]))
    assert torch.allclose(data.z_scores(Estimate(mean, stderr)), torch.tensor([2.0, 0.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [1, 2, 3]}, r"3 values for 2 observables \('a', 'b'\): give one value per observable"),
        ({"values": [[1, 2]]}, r"values of shape \(1, 2\) for 2 observables"),
        ({"values": "12"}, "are not numbers"),
        ({"values": ["x", 2]}, "are not numbers"),
        ({"values": [1, math.inf]}, "the value of 'b' is infinite"),
        ({"values": [1, None]}, "'b' has neither a value nor a bound"),
        ({}, "'a' has neither a value nor a bound"),
        ({"values": [1, 2], "upper": [None, 3]}, "'b' has both a value and a bound"),
        ({"lower": [0, 1], "upper": [1, 0]}, "the bounds of 'b' exclude each other: lower = 1 is above upper = 0"),
        ({"upper": [0]}, r"1 upper bound for 2 observables \('a', 'b'\): give one upper bound per observable"),
        ({"values": [1, 2], "errors": [1, 2, 3]}, "3 errors for 2 observables"),
        ({"values": [1, 2], "errors": [1, -2]}, "the error of 'b' is -2.0: give 0 for exact"),
        ({"values": [1, 2], "errors": [1, math.nan]}, "the error of 'b' is nan"),
        ({"values": [1, 2], "errors": [[1, 0.5], [0.4, 1]]}, "is not symmetric"),
        ({"values": [1, 2], "errors": [[1, 2], [2, 1]]}, "has the negative eigenvalue -1"),
        ({"values": [1, 2], "held_out": [0, 1]}, "give one True or False per observable"),
        ({"values": [1, 2], "held_out": [True]}, "give one True or False per observable"),
        ({"values": [1, 2], "held_out": [True, True]}, "are held out: leave at least one to fit"),
    ],
)
def test_bad_data_are_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Experiment(AB, **arguments)


def write(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """# couplings of a peptide, Hz
name, value, error, lower, upper, held_out

gamma, , , 0.5, 1.5, yes
# the exact one
alpha, 0.1, 0, , ,
beta, -2e-1, 0.05, , , false
""",
    )
    data = Experiment.from_csv(path, ABC)
    assert same(data.values, [0.1, -0.2, math.nan])
    assert same(data.errors, [0.0, 0.05, 0.0])
    assert same(data.lower, [math.nan, math.nan, 0.5])
    assert same(data.upper, [math.nan, math.nan, 1.5])
    assert same(data.held_out, [False, False, True])


def test_csv_without_optional_columns(tmp_path: Path) -> None:
    assert same(Experiment.from_csv(write(tmp_path, "name,lower\nb,2\na,1\n"), AB).lower, [1.0, 2.0])


def test_csv_same_row_twice_is_one_datum(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffname,value,error\na,1,0\nb,2,0\na,1.0,0\n")
    assert same(Experiment.from_csv(path, AB).values, [1.0, 2.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file holds no data"),
        ("a,1,0\nb,2,0\n", "line 1: there is no column 'a'"),
        ("name,vale,error\n", "line 1: there is no column 'vale': did you mean 'value'?"),
        ("name,value,value\n", "line 1: the column 'value' appears twice"),
        ("name,error\n", "line 1: the first line must name the columns"),
        ("name,value,error\nalpha,1,0\n\nbetta,1,0\n", "line 4: there is no observable 'betta': did you mean 'beta'?"),
        ("name,value,error\nq,1,0\n", "line 2: there is no observable 'q': known are alpha, beta, gamma"),
        ("name,value,error\nalpha,1,0\nbeta,1,0\nalpha,2,0\n", "lines 2 and 4: two different data for 'alpha'"),
        ("name,value\nalpha,1\n", "line 2: the value of 'alpha' has no error: write 0 if it is exact, or its standard"),
        ("name,value,error\nalpha,1,\n", "line 2: the value of 'alpha' has no error"),
        ("name,value,error\nalpha,nan,0\n", "line 2: the value of 'alpha' is 'nan': write a finite number"),
        ("name,value,error\nalpha,one,0\n", "line 2: the value of 'alpha' is 'one'"),
        ("name,value,error\nalpha,1,inf\n", "line 2: the error of 'alpha' is 'inf'"),
        ("name,value,error\nalpha,1,-0.1\n", "line 2: the error of 'alpha' is -0.1: write 0 for exact"),
        ("name,lower,upper\nalpha,2,1\n", "line 2: the bounds of 'alpha' exclude each other"),
        ("name,lower,upper\nalpha,,\n", "line 2: 'alpha' has neither a value nor a bound"),
        ("name,value,error,upper\nalpha,1,0,2\n", "line 2: 'alpha' has both a value and a bound"),
        ("name,value,error,held_out\nalpha,1,0,maybe\n", "line 2: held_out of 'alpha' is 'maybe': write true or false"),
        ("name,value,error\nalpha,1,0,7\n", "line 2: 4 cells for 3 columns"),
        ("name,value,error\n,1,0\n", "line 2: the row has no name"),
        ("name,value,error\nalpha,1,0\nbeta,1,0\n", "there is no row for 'gamma'"),
    ],
)
def test_bad_csv_names_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        Experiment.from_csv(path, ABC)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_missing_csv(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        Experiment.from_csv(tmp_path / "none.csv", AB)


def test_a_comment_that_states_another_unit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text("# unit: Å\nname,value,error\nd,5,0.1\n")
    distance = Observable(lambda x: x, names=("d",), unit="nm")
    with pytest.raises(ConfigError, match="line 1: the unit is 'Å', and the numbers are read in 'nm'"):
        Experiment.from_csv(file, distance)
    in_angstrom = Observable(lambda x: x, names=("d",), unit="Å")
    assert Experiment.from_csv(file, in_angstrom).values.tolist() == [5.0]


def test_bme_with_tabs_is_read(tmp_path: Path) -> None:
    file = tmp_path / "j.dat"
    file.write_text("# DATA=JCOUPLINGS PRIOR=GAUSS\na\t5.2\t0.3\nb\t4.6\t0.2\n")
    data = Experiment.from_csv(file, Observable(lambda x: x, names=("a", "b")))
    assert data.values.tolist() == [5.2, 4.6]
    assert data.errors.tolist() == [0.3, 0.2]
