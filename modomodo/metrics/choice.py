"""Multiple choice as models answer it: "B", "(b)", "**B**", "B. Arizona", "Option B", or the option's text."""

from modomodo.data.examples import Example
from modomodo.metrics.metric import TEXTS, Score, metric, references
from modomodo.metrics.reading import read_letter, read_option


@metric("choice", version=1, answers=TEXTS)
def choice(answer: str, example: Example) -> Score:
    """1 when the answer names the right option, by its letter in common dress or by its text.

    Read by the rules of `reading`; an answer that names two options, or none, counts as unparsed. Where the example
    lists no options, the letter alone can be read.

    Example: `choice`: "**(b)** blue" for "B" is 1.
    """
    accepted = references(example)
    if not example.choices:
        letter = read_letter(answer)
        return Score(float(letter in {text.strip("() .").upper() for text in accepted}), letter is not None)
    found = read_option(answer, example.choices)
    if found is None:
        return Score(0.0, parsed=False)
    texts = [example.choices[ord(one) - ord("A")] if _is_letter(one, example) else one for one in accepted]
    return Score(
        float((example.choices[ord(found) - ord("A")] if _is_letter(found, example) else found) in texts)
    )


def _is_letter(text: str, example: Example) -> bool:
    """Whether a text is an option's letter, and not an option's own text."""
    return len(text) == 1 and 0 <= ord(text) - ord("A") < len(example.choices)
