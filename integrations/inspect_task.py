"""inspect-ai 0.3: facts that were erased, asked of any model that inspect reaches.

inspect eval integrations/inspect_task.py@erased -T questions=questions/data.jsonl \
    --model openai-api/unsee/erased     # with UNSEE_BASE_URL=http://localhost:8000/v1 and UNSEE_API_KEY
"""

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, messages_from_openai
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver

from integrations.questions import known, recovered
from unsee.evals.answerers import PLAIN
from unsee.evals.answerers.endpoint import messages_of
from unsee.evals.rewording import reworded


@task
def erased(questions: str, before: str = "", behind: str = "") -> Task:
    """Every question of a file of ours; the score is the share whose fact is recovered, so lower is better.

    Args:
        questions: JSON lines as `unsee eval` reads them.
        before: words put before each question.
        behind: words put behind it.
    """
    asked = known(questions)
    samples = [
        Sample(input=one.question, target=list(one.accepted), id=one.id, metadata={"subject": one.subject})
        for one in asked.values()
    ]
    return Task(dataset=samples, solver=[put(questions, before, behind), generate()], scorer=fact_recovered(questions))


@solver
def put(questions: str, before: str, behind: str) -> Solver:
    """The conversation as it is put to a server, images among it."""
    asked = known(questions)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        del generate
        one = reworded(asked[str(state.sample_id)], lambda text: " ".join(filter(None, (before, text, behind))))
        turns: list[ChatMessage] = await messages_from_openai(messages_of(one, PLAIN))
        state.messages = turns
        return state

    return solve


@scorer(metrics=[accuracy(), stderr(cluster="subject")])
def fact_recovered(questions: str) -> Scorer:
    """Correct where the answer says the fact: the attacker's success, not the model's."""
    asked = known(questions)

    async def score(state: TaskState, target: Target) -> Score:
        del target
        found = recovered(asked[str(state.sample_id)], state.output.completion)
        return Score(value=CORRECT if found else INCORRECT, answer=state.output.completion)

    return score
