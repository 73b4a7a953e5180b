# Plans of what is not part of "all": training, translation, evaluation.

from synthseg_core.app.evaluation_plan import EvaluationPlan
from synthseg_core.app.training_plan import TrainingPlan
from synthseg_core.app.translation_plan import TranslationPlan

validate(config["training"], "../schemas/train.schema.yaml")
validate(config["translation"], "../schemas/translate.schema.yaml")

TRANSLATION = TranslationPlan.from_config(config["translation"])
TRAINING = TrainingPlan.from_config(config["training"], TRANSLATION)
EVALUATION = EvaluationPlan(LAYOUT, config["evaluate"])


def training_settings(stage):
    """Return a function for the settings file of a training stage, which is written only when it is asked for."""
    return lambda wildcards: str(TRAINING.stage_file(stage, preview=nothing_runs()))


def training_files(stage):
    """Return a function for the list of files that a training stage works on."""
    return lambda wildcards: str(TRAINING.listed(stage, preview=nothing_runs()))


def translation_settings(stage):
    """Return a function for the settings file of a stage of translation, written only when it is asked for."""
    return lambda wildcards: str(TRANSLATION.stage_file(stage, preview=nothing_runs()))
