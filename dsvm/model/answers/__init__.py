"""What commands answer: printed as tables for people, or as one JSON object for programs."""

from __future__ import annotations

from dsvm.model.answers.common import Answer as Answer
from dsvm.model.answers.common import Fault as Fault
from dsvm.model.answers.common import LockState as LockState
from dsvm.model.answers.diagnosing import Diagnosed as Diagnosed
from dsvm.model.answers.diagnosing import DoctorAnswer as DoctorAnswer
from dsvm.model.answers.judging import CompatAnswer as CompatAnswer
from dsvm.model.answers.judging import EndToday as EndToday
from dsvm.model.answers.judging import ExplainAnswer as ExplainAnswer
from dsvm.model.answers.judging import ExplainedRule as ExplainedRule
from dsvm.model.answers.judging import Found as Found
from dsvm.model.answers.judging import JudgedBy as JudgedBy
from dsvm.model.answers.judging import JudgedVariant as JudgedVariant
from dsvm.model.answers.judging import RowsToday as RowsToday
from dsvm.model.answers.judging import Verdict as Verdict
from dsvm.model.answers.listing import ListAnswer as ListAnswer
from dsvm.model.answers.listing import ListedBase as ListedBase
from dsvm.model.answers.listing import ListedTool as ListedTool
from dsvm.model.answers.listing import ListedVariant as ListedVariant
from dsvm.model.answers.listing import ToolPlace as ToolPlace
from dsvm.model.answers.listing import ToolState as ToolState
from dsvm.model.answers.pulling import PullAnswer as PullAnswer
from dsvm.model.answers.showing import ShowAnswer as ShowAnswer
from dsvm.model.answers.showing import ShownChoice as ShownChoice
from dsvm.model.answers.showing import ShownStage as ShownStage
from dsvm.model.answers.showing import ShownTool as ShownTool

ANSWERS: tuple[type[Answer], ...] = (ListAnswer, ShowAnswer, CompatAnswer, ExplainAnswer, DoctorAnswer, PullAnswer)
