"""The model as it was before it saw the person, where its owner kept it: retraining and helper models start from it."""

from pathlib import Path

from domain.errors import Code, RequestRejected, UnlearningFailed
from unlearning.models import LanguageModel, load, same_answers


def checkpoint_of(method: str, model: LanguageModel, folder: str) -> LanguageModel:
    """The model in the folder that a method's option `checkpoint` names, with the deployed model's vocabulary.

    Raises `UnlearningFailed` (METHOD_INAPPLICABLE) when it cannot be read or is another model's.
    """
    place = f"method {method}, option checkpoint"
    try:
        start = load(Path(folder), model.device.type)
    except RequestRejected as error:
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE, place=place, remedy="it cannot be read as a model."
        ) from error
    if not same_answers(start, model):
        raise UnlearningFailed(
            Code.METHOD_INAPPLICABLE,
            place=place,
            remedy="its tokenizer is not the model's; name a checkpoint of the same model.",
        )
    return start
