"""ScienceQA: the letter of the right option."""

from modomodo.data.answers import is_exact_match
from modomodo.data.examples import Example
from modomodo.metrics.metric import TEXTS, Score, metric, score_of_match


@metric("scienceqa", version=1, answers=TEXTS)
def scienceqa(answer: str, example: Example) -> Score:
    """1 when the answer is exactly the right letter (paper, section 3.1).

    Example: `scienceqa`: "b" for "B" is 0.
    """
    return score_of_match(answer, example, is_exact_match)


@metric("scienceqa_lmms_eval", version=1, answers=TEXTS)
def scienceqa_lmms_eval(answer: str, example: Example) -> Score:
    """lmms-eval's reading (tasks/scienceqa): the letter in either case, or a text that opens with "X.".

    Example: `scienceqa_lmms_eval`: "B. blue" for "B" is 1.
    """
    return score_of_match(answer, example, is_letter)


def is_letter(answer: str, letter: str) -> bool:
    """Whether an answer names an option: "b", "B", "B." and "B. Arizona" do; "b." and "(B)" do not."""
    answer, letter = answer.strip(), letter.strip()
    return answer.lower() == letter.lower() or answer.startswith(f"{letter}.")
