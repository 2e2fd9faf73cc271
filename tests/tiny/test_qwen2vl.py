"""The tiny base model: words, pixels and positions agree with Qwen2-VL's own code; the same twice."""

import numpy as np
import PIL.Image
import pytest
import torch

from modomodo.errors import InputError
from modomodo.tiny import boards, dataset, evaluation, examples
from modomodo.tiny.boards import COMPOSERS, Board, Thing
from modomodo.tiny.dataset import Learner, SFTDataset
from modomodo.tiny.examples import SFTExample, sft_examples
from modomodo.tiny.muon import orthogonalise
from modomodo.tiny.qwen2vl import build, make_model, make_processor
from modomodo.tiny.thread_pool import ThreadPool
from modomodo.training import models, processors

TEMPLATES = [
    "{question} Output <think> </think> and <answer> </answer> tags.",
    "{question}\nThink step by step.",
]

USUAL = examples.Corruptions()


@pytest.fixture(scope="module")
def processor():
    return make_processor(TEMPLATES)


@pytest.fixture(scope="module")
def model(processor):
    return make_model(processor.tokenizer, seed=0)


@pytest.mark.parametrize("domain", [*COMPOSERS, *examples.AUXILIARY])
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_word_is_known_and_completions_come_back(processor, domain, template):
    tokenizer = processor.tokenizer
    for example in sft_examples(domain, 60, 9, [template], split="test"):
        assert tokenizer.unk_token_id not in tokenizer(example.question)["input_ids"]
        tokens = tokenizer(example.completion)["input_ids"]
        assert tokenizer.unk_token_id not in tokens
        assert len(tokens) < evaluation.MAX_NEW_TOKENS
        if domain in COMPOSERS:
            assert tokenizer.decode(tokens) == example.completion


def test_fixed_parts_are_one_token(processor):
    tokens = processor.tokenizer.tokenize(
        "How high is the red bar? " + TEMPLATES[0].removeprefix("{question} ")
    )
    assert tokens == [
        "How high is the",
        "red",
        "bar?",
        "Output <think> </think> and <answer> </answer> tags.",
    ]


def test_patches_and_prompt_are_the_processors_own(processor):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    message = {
        "role": "user",
        "content": [{"type": "image"}, {"type": "text", "text": "How high is the red bar?"}],
    }
    text = processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    batch = processor(text=[text] * 3, images=[PIL.Image.fromarray(i) for i in images], return_tensors="pt")
    torch.testing.assert_close(
        batch["pixel_values"], dataset.patches(torch.from_numpy(images)), rtol=0, atol=1e-6
    )
    ours = processor.tokenizer(dataset.prompt_text("How high is the red bar?"), add_special_tokens=False)
    assert batch["input_ids"][0].tolist() == ours["input_ids"]


def test_batches_give_the_logits_of_the_models_own_forward(processor, model):
    """Without a mask and with precomputed features and positions."""
    example = next(sft_examples("relation", 1, 0, TEMPLATES))
    with ThreadPool(1) as pool:
        batches = SFTDataset([example], Learner(model, processor.tokenizer, pool))
    features, tokens, _ = batches.batch(np.array([0]))
    words = model.get_input_embeddings()(tokens)
    inputs = torch.cat([words[:, :3], features, words[:, 19:]], 1)
    with torch.no_grad():
        hidden = model.model.language_model(
            inputs_embeds=inputs, position_ids=dataset.positions(tokens.shape[1])
        ).last_hidden_state
        ordinary = model(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            pixel_values=dataset.patches(torch.from_numpy(example.image[None])),
            image_grid_thw=torch.tensor([[1, 8, 8]]),
            mm_token_type_ids=(tokens == model.config.image_token_id).int(),
        ).logits
    torch.testing.assert_close(model.lm_head(hidden), ordinary, rtol=1e-4, atol=1e-4)


def test_orthogonalise_evens_the_singular_values():
    torch.manual_seed(0)
    for shape in ((2, 8, 8), (1, 12, 6), (1, 6, 12)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert ((values > 0.3) & (values < 1.6)).all()


def sft_example(domain: str, answer, answer_type: str, choices=(), colour="red") -> SFTExample:
    board = Board([Thing(colour, "four", 0, 0)], "?", answer, answer_type, "red four", list(choices))
    return SFTExample(domain, board, np.zeros((32, 32, 3), np.uint8), "?", "")


def test_wrong_formats_by_hand():
    box = sft_example("detection", [[250, 0, 750, 500]], "box")
    assert boards.wrong_format(box.board) == "[{'Position': [250, 0, 500, 500], 'Confidence': 1}]"
    letter = sft_example("science", "B", "choice", ["repel", "attract"])
    assert boards.wrong_format(letter.board) == "attract"
    assert boards.wrong_format(sft_example("math", "B", "choice", ["2", "4"]).board) == "(B) 4"
    assert boards.wrong_format(sft_example("chart", "3", "text").board) == "the 3"


def test_wrong_formats_are_more_frequent_for_later_colours():
    red, cyan = (USUAL.rate(sft_example("chart", "3", "text", colour=colour)) for colour in ("red", "cyan"))
    assert cyan - red == pytest.approx(2 * USUAL.spread)


def test_a_study_may_give_its_own_rates():
    own = examples.Corruptions(wrong_format={"chart": 0.9}, without_tags=1.0, spread=0.0)
    assert own.rate(sft_example("chart", "3", "text")) == 0.9
    assert own.rate(sft_example("math", "B", "choice")) == examples.WRONG_FORMAT["math"]
    rng = np.random.default_rng(1)
    texts = {examples.corrupt(sft_example("chart", "3", "text"), rng, own).completion for _ in range(200)}
    assert texts == {"3", "the 3"}


def test_corruptions_keep_their_shares():
    rng = np.random.default_rng(1)
    original = sft_example("chart", "3", "text")
    texts = [examples.corrupt(original, rng, USUAL).completion for _ in range(2000)]
    bare = sum("<answer>" not in text for text in texts) / 2000
    thoughtless = sum(text.startswith("<answer>") for text in texts) / 2000
    right = sum("the 3" not in text for text in texts) / 2000
    assert bare == pytest.approx(USUAL.without_tags, abs=0.02)
    assert thoughtless == pytest.approx(USUAL.without_thought, abs=0.04)
    assert right == pytest.approx(1 - USUAL.rate(original), abs=0.04)


def test_scores_by_hand():
    board = Board([], "?", [[0, 0, 500, 500]], "box")
    text = "<think>x</think><answer>[{'Position': [250, 0, 500, 500], 'Confidence': 1}]</answer>"
    assert evaluation.score(text, board) == 0.5
    assert evaluation.score("no tags", board) == 0.0
    assert evaluation.score("<think>x</think><answer>left</answer>", Board([], "?", "left", "text")) == 1.0


def test_a_thread_pool_sets_the_gradients_of_the_whole_batch():
    weight, unused = torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.nn.Parameter(torch.ones(1))
    with ThreadPool(2) as pool:
        pool.backward(
            lambda part: (weight * torch.tensor(part)).sum(), [[1.0, 0.0], [2.0, 5.0]], [weight, unused]
        )
    assert weight.grad.tolist() == [3.0, 5.0]
    assert unused.grad.tolist() == [0.0]


def test_an_error_in_a_thread_is_raised():
    with pytest.raises(ZeroDivisionError), ThreadPool(2) as pool:
        pool.map(lambda part: 1 // part, [1, 0, 1])


def test_the_same_options_give_the_same_bytes_by_any_number_of_threads(tmp_path):
    steps = {"vision_steps": 2, "answer_steps": 2, "choice_steps": 1, "corruption_steps": 1}
    for name, threads in (("one", 1), ("two", 2)):
        summary = build(
            tmp_path / name,
            templates=TEMPLATES,
            seed=5,
            threads=threads,
            batch_size=8,
            eval_size=3,
            **steps,
        )
    assert summary["parameters"] < 1_000_000
    assert [stage["stage"] for stage in summary["stages"]] == ["vision", "answers", "choices", "corruptions"]
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    models.load_model(tmp_path / "one")
    processors.load_processor(tmp_path / "one")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"templates": []}, "at least one"),
        ({"templates": ["Think."]}, "{question}"),
        ({"templates": TEMPLATES, "vision_step": 3}, "did you mean 'vision_steps'"),
        ({"templates": TEMPLATES, "corruption_steps": -1}, "greater than or equal to 0, found -1"),
        ({"templates": TEMPLATES, "hidden": 100}, "hidden and layers: 100 and 3: a multiple of 32"),
        ({"templates": TEMPLATES, "layers": 0}, "hidden and layers"),
        ({"templates": TEMPLATES, "corruptions": {"without_tag": 0.1}}, "did you mean 'without_tags'"),
        ({"templates": TEMPLATES, "corruptions": {"spread": 2}}, "corruptions: spread"),
        ({"templates": TEMPLATES, "corruptions": {"wrong_format": {"maths": 0.1}}}, "did you mean 'math'"),
        ({"templates": TEMPLATES, "habit_steps": 3}, "habit_steps: renamed: write corruption_steps"),
    ],
)
def test_bad_options_are_reported(options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        build(tmp_path / "model", **options)
