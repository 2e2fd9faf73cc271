"""The metrics: by hand for each quirk of their rules, and against plain restatements on generated pairs."""

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.metrics import mathvista, mmmu
from modomodo.metrics.anls import normalised_similarity
from modomodo.metrics.metric import Score, called, metric, metrics, summarise
from modomodo.metrics.relaxed_accuracy import is_relaxed_match
from modomodo.metrics.scienceqa import is_letter


def row(answer: object, answer_type="text", **fields):
    base = {"id": "1", "dataset": "d", "image": "a.png", "question": "?", "answer_type": answer_type}
    return Example.model_validate(base | {"answer": answer} | fields)


def value(name, answer, example):
    return metrics[name](f"<think>a</think><answer>{answer}</answer>", answer, example).value


ALL = sorted(metrics)


# What a metric needs besides, and the answer that it takes for right.
CALLS = {"length": {"limit": 100}, "regex": {"pattern": "^B$"}}
RIGHT = {"mean_iou": "[0, 0, 1, 1]", "mean_iou_matched": "[0, 0, 1, 1]", "number": "3", "json": "{}"}
REPLIES = {"judge": ("yes", "?")}  # of a judge: to the right answer and to none


def called_plainly(name):
    return called({name: CALLS[name]} if name in CALLS else name)


def some_example(name):
    if name == "number":
        return row("3", "number")
    if name.startswith("mean_iou"):
        return row([[0, 0, 1, 1]], "box", meta={"boxes": "0-1000"})
    return row("B", "choice", choices=["red", "blue"])


# What all metrics share


@pytest.mark.parametrize("name", ALL)
def test_every_metric_scores_a_right_and_a_missing_answer(name):
    example = some_example(name)
    right = RIGHT.get(name, "B")
    scored = called_plainly(name)
    assert metrics[name].version >= 1
    read, nothing = REPLIES.get(name, (right, "None")) if scored.prompt else (None, None)
    found = scored(f"<think>a</think><answer>{right}</answer>", right, example, read)
    assert found == Score(1.0, True)
    missing = scored("nothing", None, example, nothing)
    assert not missing.parsed
    if not metrics[name].reads_completion:
        assert missing.value == 0


@pytest.mark.parametrize("name", ALL)
def test_an_empty_answer_is_unparsed(name):
    score = called_plainly(name)("<think>a</think><answer> </answer>", " ", some_example(name))
    assert not score.parsed
    if not name.startswith("mmmu"):  # officially an option is drawn
        assert score.value == 0


def test_an_empty_accepted_answer_is_near_to_nothing():
    for name in ("anls", "exact_match", "mmmu"):
        assert value(name, "zebra", row("7", meta={"answers": ["", "7"]})) == 0
        with pytest.raises(InputError, match="there is no accepted answer"):
            value(name, "zebra", row("7", meta={"answers": ["", " "]}))
    assert metrics["mmmu"]("…", " ", row("7")) == Score(0.0, False)


def test_metrics_that_read_free_text_get_the_whole_completion():
    example = row("B", "choice", choices=["red", "blue"])
    for name in ("mmmu", "mmmu_lmms_eval", "mathvista"):
        assert metrics[name]("I think it must be (B) here", None, example) == Score(1.0, True)
        # With an answer, the thinking is not searched.
        assert metrics[name]("<think>(B)</think><answer>(A)</answer>", "(A)", example) == Score(0.0, True)


def test_a_failure_names_metric_and_example():
    with pytest.raises(InputError, match=r"metric 'mean_iou': example '1' of d: .*answer_type 'box'"):
        metrics["mean_iou"]("", "[0, 0, 1, 1]", row("B", "choice", choices=["a", "b"]))
    with pytest.raises(InputError, match=r"metric 'exact_match': example '1' of d: .*no list of texts"):
        metrics["exact_match"]("", "B", row("B", meta={"answers": "B"}))


def test_metrics_of_ones_own():
    try:

        @metric("length_of_test", version=3)
        def length(text, example):
            return Score(len(text) / (0 if text == "zero" else 10))

        with pytest.raises(
            InputError, match=r"'1' of d: \S+test_metrics\.py:\d+: ZeroDivisionError: division by zero"
        ):
            length("…", "zero", row("x"))
        assert metrics["length_of_test"]("…", "abcde", row("x")) == Score(0.5)
        assert metrics["length_of_test"].version == 3
        with pytest.raises(InputError, match=r"example '1' of d: ValueError: value 1.1 is not in \[0, 1\]"):
            length("…", "a" * 11, row("x"))
        with pytest.raises(InputError, match="registered twice"):
            metric("anls", version=1)(lambda text, example: Score(1.0))
    finally:
        metrics._functions.pop("length_of_test", None)


def test_summary_by_hand():
    # Three of four right: p (1 - p) / (n - 1) = 0.1875 / 3.
    assert summarise([1, 1, 0, 1], unparsed=1) == (4, 0.75, pytest.approx(math.sqrt(0.0625)), 1)
    # Graded: deviations -0.5, 0, 0.5; 0.5 / (3 · 2).
    assert summarise([0.0, 0.5, 1.0], unparsed=0) == (3, 0.5, pytest.approx(math.sqrt(0.5 / 6)), 0)
    # Four questions about two images are as sure as two: means 1 and 0.5, deviations ±0.25 over √2.
    assert summarise([1, 1, 1, 0], 0, ["a", "a", "b", "b"]).standard_error == pytest.approx(0.25)
    assert summarise([1.0], 0) == (1, 1.0, 0.5, 0)
    with pytest.raises(InputError, match="without rows"):
        summarise([], 0)


@pytest.mark.parametrize("count", [2, 3, 10, 100, 1000])
def test_none_or_all_right_is_not_certain_and_other_scores_keep_their_standard_error(count):
    none, all_of_them, one = ([0.0] * count, [1.0] * count, [1.0] + [0.0] * (count - 1))
    assert 0 < summarise(none, 0).standard_error == summarise(all_of_them, 0).standard_error
    assert (
        summarise(one, 0).standard_error == pytest.approx(1 / count)
        and summarise(none, 0).standard_error < 1 / count
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_standard_error_is_that_of_a_mean(values):
    summary = summarise(values, 0)
    # Jeffreys' posterior after 0 of n, Beta(1/2, n + 1/2), is as sure as anybody may be.
    n = len(values)
    least = math.sqrt(0.5 * (n + 0.5) / ((n + 1) ** 2 * (n + 2)))
    expected = max(statistics.stdev(values) / math.sqrt(n), least)
    assert summary.standard_error == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert summary.score == pytest.approx(statistics.fmean(values))


# Exact match, ScienceQA, mean IoU


def test_exact_match():
    assert value("exact_match", " moved left\n", row("moved left")) == 1
    assert value("exact_match", "Moved left", row("moved left")) == 0
    assert value("exact_match", "moved left.", row("moved left")) == 0
    assert value("exact_match", "two", row("2", meta={"answers": ["2", "two"]})) == 1


def test_exact_match_normalised():
    for answer in ("Moved  LEFT.", "moved left", " moved\nleft . "):
        assert value("exact_match_normalised", answer, row("moved left")) == 1
    for answer in ("moved left..", "moved, left", "left"):
        assert value("exact_match_normalised", answer, row("moved left")) == 0


@pytest.mark.parametrize(
    ("answer", "strict", "lmms"),
    [
        ("B", 1, 1),
        (" B ", 1, 1),
        ("b", 0, 1),
        ("B.", 0, 1),
        ("B. blue", 0, 1),
        ("B.blue", 0, 1),
        ("b. blue", 0, 0),
        ("A. blue", 0, 0),
        ("(B)", 0, 0),
        ("B) blue", 0, 0),
        ("B blue", 0, 0),
        ("blue", 0, 0),
        ("", 0, 0),
    ],
)
def test_scienceqa(answer, strict, lmms):
    example = row("B", "choice", choices=["red", "blue"])
    assert value("scienceqa", answer, example) == strict
    assert value("scienceqa_lmms_eval", answer, example) == lmms


def test_mean_iou():
    one = row([[0, 0, 10, 10]], "box", meta={"boxes": "0-1000"})
    assert value("mean_iou", "[0, 0, 10, 8]", one) == pytest.approx(0.8)
    assert value("mean_iou", "No Objects", one) == 0
    assert metrics["mean_iou"]("…", "somewhere", one) == Score(0.0, False)
    assert metrics["mean_iou"]("…", "No Objects", one).parsed
    # Several for one: the most confident, and of equals the first.
    several = (
        "[{'Position': [0, 0, 10, 5], 'Confidence': 0.6}, {'Position': [0, 0, 10, 10], 'Confidence': 0.9}]"
    )
    assert value("mean_iou", several, one) == 1
    assert value("mean_iou", "[[0, 0, 10, 5], [0, 0, 10, 10]]", one) == 0.5
    assert value("mean_iou_matched", several, one) == 0.5
    two = row([[0, 0, 10, 10], [20, 0, 30, 10]], "box", meta={"boxes": "0-1000"})
    assert value("mean_iou", "[20, 0, 30, 10]", two) == 0.5
    assert value("mean_iou", "[[20, 0, 30, 10], [0, 0, 10, 8], [0, 0, 10, 10]]", two) == pytest.approx(0.9)


# ChartQA's relaxed accuracy


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("100", "100", True),
        ("105", "100", True),  # |5| / 100 is just 0.05
        ("95", "100", True),
        ("105.1", "100", False),
        ("-100", "100", False),
        ("-97", "-100", True),
        ("0.12", "12%", True),
        ("12%", "12", False),  # 0.12 is not 12
        ("12", "12%", False),
        ("12.5%", "12%", True),
        ("0", "0", True),
        ("0.0", "0", False),  # a true 0 needs the very text
        ("0.001", "0", False),
        ("0%", "0%", True),
        ("1,000", "1000", False),  # no separators, signs or spaces are removed
        ("$5", "5", False),
        ("1,000", "1,000", True),
        ("1e3", "1000", True),
        ("Yes", "yes", True),
        ("yes.", "yes", False),
        ("nan", "nan", False),  # a number by float(), and unlike itself
        ("5", "five", False),
        ("%", "%", True),
        ("", "", True),
        ("[1, 2]", "[1, 2]", True),
    ],
)
def test_relaxed_accuracy_by_hand(answer, reference, right):
    assert is_relaxed_match(answer, reference) is right
    if reference.strip():
        assert value("relaxed_accuracy", answer, row(reference)) == right


def test_relaxed_accuracy_on_generated_pairs():
    def parse(text):
        try:
            return float(text[:-1]) / 100 if text[-1:] == "%" else float(text)
        except ValueError:
            return None

    generator = random.Random(1)
    right = 0
    for _ in range(10_000):
        target = generator.choice([0, generator.randint(-99, 99), round(generator.uniform(-1e4, 1e4), 2)])
        reference = generator.choice([f"{target}", f"{target}%", f"{target} m", "Dark red", "0"])
        near = (parse(reference) or 0) * generator.uniform(0.9, 1.1)
        answer = generator.choice([repr(near), f"{100 * near}%", reference.upper(), "0.0", "no"])
        true_number, number = parse(reference), parse(answer)
        if number is not None and true_number is not None and true_number != 0:
            expected = abs(number - true_number) / abs(true_number) <= 0.05
        else:
            expected = answer.lower() == reference.lower()
        assert is_relaxed_match(answer, reference) == expected, (answer, reference)
        right += expected
    assert 2_000 < right < 8_000  # the pairs lie on both sides


# InfographicVQA's ANLS


@pytest.mark.parametrize(
    ("answer", "reference", "similarity"),
    [
        ("red", "red", 1),
        ("RED", "red", 1),
        (" dark \n red ", "dark red", 1),
        ("bed", "red", 1 - 1 / 3),
        ("", "", 1),
        ("", "red", 0),
        ("abcd", "abxy", 0.5),
        # The length is that of the raw texts: two edits over five letters, but over eight with the spaces.
        ("abcde", "abcxy", 1 - 2 / 5),
        ("abcde", "abcxy   ", 1 - 2 / 8),
        ("straße", "strase", 1 - 1 / 7),  # as long as STRASSE
    ],
)
def test_anls_by_hand(answer, reference, similarity):
    assert normalised_similarity(answer, reference) == pytest.approx(similarity)


def test_anls_takes_the_best_reference_and_nothing_below_a_half():
    several = row("twenty", meta={"answers": ["twenty", "20%"]})
    assert value("anls", "20", several) == pytest.approx(2 / 3)
    assert value("anls", "abcd", row("abxy")) == 0.5  # a half still counts
    assert value("anls", "abcd", row("abxyz")) == 0
    assert metrics["anls"]("…", "abcd", row("abxyz")).parsed


def edit_distance(a, b):
    line = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, line[0] = line[0], i
        for j, y in enumerate(b, 1):
            before, line[j] = line[j], min(line[j] + 1, line[j - 1] + 1, before + (x != y))
    return line[-1]


def test_anls_on_generated_pairs():
    def plain(text):
        return " ".join(text.strip().lower().split())

    generator = random.Random(2)
    positive = 0
    for _ in range(10_000):
        references = [
            "a" + "".join(generator.choices("abAB 1%\n", k=generator.randrange(9)))
            for _ in range(generator.randint(1, 3))
        ]
        letters = list(generator.choice(references))
        for _ in range(generator.randrange(5)):
            letters.insert(generator.randint(0, len(letters)), generator.choice("aAz \n"))
        answer = "".join(letters[generator.randrange(3) :])
        similarity = max(
            1 - edit_distance(plain(answer), plain(reference)) / max(len(reference), len(answer))
            for reference in references
        )
        expected = similarity if similarity >= 0.5 and plain(answer) else 0  # nothing is no answer
        example = row(references[0], meta={"answers": references})
        assert value("anls", answer, example) == pytest.approx(expected), (answer, references)
        positive += expected > 0
    assert 2_000 < positive < 9_500


def test_scienceqa_on_generated_pairs():
    generator = random.Random(3)
    right = 0
    for _ in range(10_000):
        answer, letter = (
            "".join(generator.choices("abAB. )", k=generator.randint(1, 3))),
            generator.choice("AB"),
        )
        stripped = answer.strip()
        expected = stripped.upper() == letter or stripped.startswith(f"{letter}.")
        assert is_letter(answer, letter) == expected, (answer, letter)
        right += expected
    assert 500 < right < 5_000


# MathVista

COLOURS = ["red", "green", "dark green", "blue"]


@pytest.mark.parametrize(
    ("extraction", "prediction"),
    [
        ("B", "green"),
        (" B ", "green"),
        ("(b)", "green"),  # a bracketed letter in either case, the first one
        ("(A) or (B)", "red"),
        ("b", "red"),  # a bare letter only in upper case; else the nearest, the first of equals
        ("E", "red"),
        ("(E)", "red"),  # no option: nearest to "E"
        ("green", "green"),
        ("greenish", "green"),
        ("dark", "red"),
        ("dark gree", "dark green"),
        ("", "red"),  # never unanswered: the shortest is nearest
        ("Blue.", "blue"),
        (None, "blue"),  # "None": nearest is "blue" (3 edits, one fewer than "red")
    ],
)
def test_mathvista_normalises_choices(extraction, prediction):
    assert mathvista.normalise(extraction, COLOURS, "text", None) == prediction


@pytest.mark.parametrize(
    ("extraction", "answer_type", "precision", "prediction"),
    [
        ("2.0", "integer", None, "2"),
        ("2.9", "integer", None, "2"),
        ("-0.5", "integer", None, "0"),
        ("1e3", "integer", None, "1000"),
        ("1,000", "integer", None, None),
        ("2 cm", "integer", None, None),
        ("", "integer", None, None),
        (None, "integer", None, None),
        ("inf", "integer", None, None),
        (7, "integer", None, "7"),
        ("1.25", "float", 1, "1.2"),  # Python rounds the half to even
        ("1.35", "float", 1, "1.4"),
        ("3", "float", 2, "3.0"),
        ("3.14159", "float", 2.0, "3.14"),
        ("3.1", "float", None, None),
        ("pi", "float", 2, None),
        ("[1, 2]", "list", None, "[1, 2]"),
        ("[1,2]", "list", None, "[1,2]"),  # not the same as "[1, 2]"
        ([1, 2], "list", None, "[1, 2]"),
        ("as it is", "text", None, "as it is"),
    ],
)
def test_mathvista_normalises_free_form(extraction, answer_type, precision, prediction):
    assert mathvista.normalise(extraction, [], answer_type, precision) == prediction


@pytest.mark.parametrize(
    ("text", "extraction"),
    [
        ("green", "green"),
        ("B", "B"),
        ("B. green", "B"),
        ("B: it is green", "B"),
        ("The answer is B.", "B"),
        ("The correct option is (B) green, not (C).", "B"),
        ("(A) is wrong, so (B)", "B"),
        ("Final answer: **B**", "B"),
        ("The answer is dark green.", "dark green"),
        ("Not red but green", "green"),
        ("A dog", None),
        ("I cannot say", None),
        ("", None),
        ("(Z)", None),
    ],
)
def test_mathvista_extracts_choices(text, extraction):
    assert mathvista.extract(text, COLOURS, "text") == extraction


@pytest.mark.parametrize(
    ("text", "answer_type", "extraction"),
    [
        ("12", "integer", "12"),
        (" 1e3 ", "float", "1e3"),
        ("12 cm", "integer", "12"),
        ("12 cm^2", "integer", "12"),
        ("$1,234.50", "float", "1234.50"),
        ("First 3, then 4 apples", "integer", None),  # which of them is not said
        ("The answer is 3, not 4", "integer", "3"),
        ("2 + 3 = 5 apples of 9", "integer", "5"),
        ("between 3-5", "integer", None),
        ("-2", "integer", "-2"),
        (".5 of it", "float", ".5"),
        ("none", "integer", None),
        ("The years are [2007, 2008].", "list", "[2007, 2008]"),
        ("The answer is: [1.2, 1.3]", "list", "[1.2, 1.3]"),
        ("2007", "list", None),
    ],
)
def test_mathvista_extracts_numbers_and_lists(text, answer_type, extraction):
    assert mathvista.extract(text, [], answer_type) == extraction


def test_mathvista_scores():
    choice = row("B", "choice", choices=["135°", "145°"])
    assert value("mathvista", "145°", choice) == 1
    assert value("mathvista", "B", choice) == 1
    assert value("mathvista", "about 145", choice) == 1  # the number of one option
    assert metrics["mathvista"]("…", "92", choice) == Score(0.0, False)  # of none: not the nearest option
    assert value("mathvista", "145°", row("145°", choices=["135°", "145°"])) == 1
    integer = row("2", "number", meta={"answer_type": "integer"})
    assert value("mathvista", "2.0", integer) == 1
    assert value("mathvista", "3", integer) == 0
    assert metrics["mathvista"]("…", "many", integer) == Score(0.0, False)
    rounded = row("1.2", "number", meta={"answer_type": "float", "precision": 1.0})
    assert value("mathvista", "1.2345", rounded) == 1
    # Nothing is extracted: not right for "no" being nearest to "".
    for nothing in ("?", "", "N/A", "None", "E", "I cannot tell"):
        assert metrics["mathvista"]("…", nothing, row("A", "choice", choices=["no", "yes"])) == Score(
            0.0, False
        )
    with pytest.raises(InputError, match=r"metric 'mathvista': example '1' of d: meta.answer_type"):
        value("mathvista", "2", row("2", "number"))
    with pytest.raises(InputError, match=r"meta.precision"):
        value("mathvista", "2", row("2", "number", meta={"answer_type": "float"}))


NUMBERS = ["135", "145", "155"]


@pytest.mark.parametrize(
    "text",
    [
        *("(b)", "b", "b)", "B.", "B:", "[B]", "{B}", "<B>", "`B`", "'B'", '"B"', "**B**", "*B*", "__B__"),
        *(
            "$B$",
            r"\(B\)",
            r"\[B\]",
            r"\text{B}",
            r"$\mathrm{B}$",
            r"\boxed{B}",
            r"\boxed{\text{(B)}}",
            r"$\textbf{(B)}$",
        ),
        *("（B）", "Ｂ", "答案是B", "答案：B", "故选：B。", "选项B", "B、145", "正解はB", "정답: B"),
        *("Réponse : B", "Respuesta: B", "Ответ: B", "#### B", "<answer>B</answer>", "<b>B</b>"),
        *(
            "Answer: B) 145",
            "Answer: (B) 145",
            "Answer - B",
            "**Answer:** B",
            "The answer is b",
            "option B",
            "It's B",
        ),
        *(
            "B, 145",
            "b. 145",
            "B is correct",
            "The answer is B, not C",
            "Not (A) but (B)",
            "A is wrong, so B is correct",
        ),
        *("B - 145", "ans: B", "the letter B", "Option b is correct", '{"answer": "B"}', "B\n\nIt is 145."),
        *("145", "$145$", r"\boxed{145}", "145.0", "145 cm", "x = 145", "about 145", "Not 135 but 145"),
    ],
)
def test_mathvista_reads_an_option_in_common_dress(text):
    example = row("B", "choice", choices=NUMBERS)
    assert metrics["mathvista"](text, text, example) == Score(1.0), mathvista.extract(text, NUMBERS, "text")


@pytest.mark.parametrize(
    "text",
    [
        *("", "?", "N/A", "None of them", "I cannot say", "I don't know", "A dog", "E", "(D)", "Answer: D"),
        *("A or B", "(A) or (B)", "A, B", "135 or 145", "between 135 and 155", "145-155"),
        *("A: B", "160", "45", "1451", "2.145", "1/145", "-145", r"\boxed{}", r"\sqrt{145}"),
    ],
)
def test_mathvista_reads_no_option_where_none_is_clear(text):
    for letter in "ABC":
        example = row(letter, "choice", choices=NUMBERS)
        assert metrics["mathvista"](text, text, example) == Score(0.0, False)


@pytest.mark.parametrize(
    ("choices", "text", "option"),
    [
        (["Yes", "No"], "yes, there is no gap", "Yes"),
        (["Yes", "No"], "No, it is not", "No"),
        (["Yes", "No"], "I have no idea", None),
        (["Yes", "No"], "Yes or No", None),
        ([r"\frac{20}{3}", "7"], "$20/3$", r"\frac{20}{3}"),
        ([r"\frac{20}{3}", "7"], "20", None),
        (["3:4", "4:3"], "The ratio is $3:4$", "3:4"),
        (["-3", "3"], "minus 3", "-3"),
        (["-3", "3"], "x = 3", "3"),
        (["2√3", "√3"], r"$\sqrt{3}$", "√3"),
        (["2√3", "√3"], "3√3", None),
        (["30°", "60°"], r"60^{\circ}", "60°"),
        (["9π", "3π"], r"9 \pi", "9π"),
        (["0.5", "5"], r"\frac12", "0.5"),
        (["0.5", "5"], "0.50", "0.5"),
        (["larger than", "equal to"], "It is Larger than the other.", "larger than"),
        (["larger than", "smaller than"], "larger", None),
        (["增加", "减少"], "答案是增加", "增加"),
    ],
)
def test_mathvista_reads_an_option_by_its_text_or_number(choices, text, option):
    extraction = mathvista.extract(text, choices, "text")
    assert (None if extraction is None else mathvista.normalise(extraction, choices, "text", None)) == option


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 apples", 3),
        ("3.0 cm", 3),
        ("3cm", 3),
        ("1,234", 1234),
        ("1,234.50", 1234.5),
        ("10 000", 10000),
        ("1{,}234", 1234),
        (r"1\,234", 1234),
        ("$5", 5),
        (r"\$5.00", 5),
        ("5 €", 5),
        ("50%", 50),
        (r"50\%", 50),
        ("-3", -3),
        ("\u22123", -3),  # a minus sign
        ("minus 3", -3),
        ("Answer: -3", -3),
        ("$x=-3$", -3),
        ("+3", 3),
        ("３", 3),
        ("**3**", 3),
        (r"\boxed{3\text{ cm}}", 3),
        ("1/2", 0.5),
        (r"-\frac{1}{2}", -0.5),
        (r"\dfrac12", 0.5),
        ("1 1/2", 1.5),
        ("1½", 1.5),
        ("4/2", 2),
        ("3 × 10^4", 30000),
        (r"1.2\times10^{-3}", 0.0012),
        ("1.5e-3", 0.0015),
        (r"30^{\circ}", 30),
        ("12 cm²", 12),
        (r"12 cm^{2}", 12),
        ("9.8 m/s^2", 9.8),
        ("12 m2", 12),
        ("The answer is not 3 but 4", 4),
        ("3 = 5 - 2", 3),
        ("4 m + 4 m = 8 m", 8),
        ("Each side is 4. So the perimeter is 4 + 4 = 8 cm.", 8),
        ("There are 2 rows of 3. Therefore, there are 6 dots.", 6),
        ("答案是3", 3),
    ],
)
def test_mathvista_reads_a_number_in_common_dress(text, number):
    assert float(mathvista.extract(text, [], "float")) == pytest.approx(number)
    if float(number).is_integer():
        assert int(float(mathvista.extract(text, [], "integer"))) == number


@pytest.mark.parametrize(
    "text",
    [
        *(
            r"\sqrt{2}",
            "√2",
            "2√3",
            r"3\pi",
            "3pi/2",
            "2^3",
            "5²",
            "5x",
            r"\log 5",
            "2 + 3",
            "5 - 2",
            "2*3",
            "3 x 4",
            "5·3",
        ),
        *(
            "3-5",
            "3–5",
            "3 to 5",
            "3 or 4",
            "between 3 and 5",
            "(3, 4)",
            "3±0.1",
            "12:30",
            "1:4",
            "5 minus 3",
        ),
        *("1,5", "1.234,56", "1.2.3", "1'234", "3 million", "2.5k", "3 and a half", "nan", "inf", "COVID-19"),
        *(
            "3 apples and 4 oranges",
            "5 ft 3 in",
            "x=3, y=4",
            r"\boxed{\sqrt{2}} in 5 steps",
            "The answer is √2. (5 steps)",
        ),
        *(r"\frac{\pi}{2}", r"\frac{x}{2}", "|3|", "1…5", "3bn", "3i", "2ab", "3₂"),
        "One side is 3 cm, but the other is not given, so it cannot be found.",
    ],
)
def test_mathvista_reads_no_number_where_none_is_clear(text):
    assert mathvista.extract(text, [], "float") is None
    assert mathvista.extract(text, [], "integer") is None


def test_mathvista_reads_no_integer_in_a_fraction_and_no_other_spacing_of_a_list():
    assert mathvista.extract("1/2", [], "integer") is None
    assert mathvista.extract("2.9 cm", [], "integer") == "2.9"  # officially cut off to 2
    for text in ("[2007,2008]", "2007, 2008", "(2007, 2008)", "2007 and 2008.", r"\boxed{[2007,\ 2008]}"):
        assert mathvista.extract(text, [], "list") == "[2007, 2008]"


# MMMU

FRUIT = {"A": "apple", "B": "pear", "C": "pear tree"}


@pytest.mark.parametrize(
    ("response", "official", "lmms"),
    [
        ("B", "B", "B"),
        ("B.", "B", "B"),
        ("'B'?!", "B", "B"),
        ("'B'!?", None, None),  # each sign is stripped once, the exclamation mark before the question mark
        ("(B)", "B", "B"),
        ("(A) is wrong, the answer is (B)", "B", "B"),
        ("(B), since A is wrong", "B", "B"),  # brackets go first
        ("A or B", "B", "B"),
        ("B or A", "A", "A"),
        ("I would choose option B", "B", "B"),
        ("the answer: B, surely", None, None),  # neither " B " nor "B."
        ("B. It is so", None, "B"),  # the letter with a full stop: lmms-eval only
        ("PLAN B works", "B", "B"),
        ("NASA says so", None, "A"),  # "A " inside a word: lmms-eval only
        ("pear", None, None),  # option texts need more than five words
        ("I say it's a pear", None, None),
        ("I say it is a Pear", "B", "B"),
        ("it looks very much like a pear tree", "B", "B"),  # both occur at one place: the first in order
        ("no pear, it must be an apple", "A", "A"),
        ("b", None, None),
        ("", None, None),
    ],
)
def test_mmmu_reads_choices(response, official, lmms):
    assert mmmu.parse_choice(response, FRUIT) == official
    assert mmmu.parse_choice_lmms_eval(response, FRUIT) == lmms


def test_mmmu_lmms_eval_takes_the_last_letter_between_spaces():
    # "NASA " holds "A " and "PLAN B " holds "B "; only B stands between spaces.
    assert mmmu.parse_choice_lmms_eval("PLAN B by NASA today", FRUIT) == "B"
    # Neither stands between spaces: the first in order.
    assert mmmu.parse_choice_lmms_eval("CIAB over NASA today", FRUIT) == "A"


@pytest.mark.parametrize(
    ("response", "references", "right"),
    [
        ("The answer is 1.06", ["1.06"], True),
        ("1.064", ["1.06"], True),  # both rounded to two decimals
        ("1.066", ["1.06"], False),
        ("It costs $1,234.", ["1234"], True),
        ("x = 3 + 4 = 7", ["7"], True),
        ("x = 7 and y = 8", ["7"], False),  # the shortest end is "8"
        ("x = 7\nso much for that", ["7"], False),  # "=" counts in the last line only
        ("the result is 7\nthanks", ["7"], True),
        ("Transformation", ["Transformation"], True),
        ("it is a transformation of energy", ["Transformation"], True),
        ("transform", ["Transformation"], False),
        ("30", ["30"], True),
        ("300", ["30"], False),
        ("-4e2 volts", ["-400"], True),
        ("it is vitamin c", ["C"], True),  # a single character with a space beside it
        ("it is cold", ["C"], False),
        ("open all day: 24/7", ["24/7", "3.429"], True),
        ("3.43", ["24/7", "3.429"], True),
        ("", ["7"], False),
        ("The sum is 5. The answer is 7", ["5"], False),  # one sentence: cases are lowered before the split
        ("the answer is :\nthe result is 7", [":"], False),  # a mere sign is no answer
    ],
)
def test_mmmu_open_answers(response, references, right):
    assert mmmu.is_open_match(response, references) is right


def test_mmmu_telling_ends():
    assert mmmu.telling_ends("So the answer is 7.") == ["7"]
    assert mmmu.telling_ends("No hint here") == ["no hint here"]
    assert mmmu.telling_ends("a is 1\nb = 2\nc = 3") == ["1", "3"]
    # An empty end gives way to the next indicator's, even to a longer one.
    assert mmmu.telling_ends("this is the one so \nyes") == ["the one so"]


def test_mmmu_scores():
    choice = row("B", "choice", choices=["apple", "pear"])
    assert value("mmmu", "(B)", choice) == 1
    assert value("mmmu", "(A)", choice) == 0
    open_row = row("24/7", meta={"answers": ["24/7", "3.429"]})
    assert value("mmmu", "3.43", open_row) == 1
    # The row on the hub holds the list as a text, which nobody answers.
    assert value("mmmu_lmms_eval", "3.43", open_row) == 0
    assert value("mmmu_lmms_eval", "1.06", row("1.06")) == 1
    assert value("mmmu_lmms_eval", "B. surely", choice) == 1


def test_mmmu_draws_are_counted_and_depend_on_the_question_only():
    def verdict(identity, text):
        return metrics["mmmu"](text, None, row("B", "choice", choices=["x", "y", "z", "w"], id=identity))

    first = [verdict(str(number), "no idea") for number in range(400)]
    assert not any(score.parsed for score in first)
    assert first == [verdict(str(number), "who knows") for number in range(400)]
    # One in four, within four standard deviations (√(400 · 3/16) = 8.7).
    assert abs(sum(score.value for score in first) - 100) < 35
    assert mmmu.drawn_option("validation_Accounting_1", "ABCD") == mmmu.drawn_option(
        "validation_Accounting_1", "ABCD"
    )
    assert {mmmu.drawn_option(str(number), "ABCD") for number in range(50)} == set("ABCD")


def test_no_rule_takes_quadratic_time():
    for text in (
        "1" * 50_000 + "x",
        "1,111" * 20_000,
        "1" + ",111" * 30_000 + "1",
        "is " * 30_000,
        "[" * 50_000,
    ):
        mmmu.is_open_match(text, ["5"])
        mathvista.extract(text, [], "integer")
        mathvista.extract(text, [], "list")
        mathvista.extract(text, COLOURS, "text")
