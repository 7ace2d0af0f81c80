"""Describes verdicts and groupings in sentences for the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.domain.copies import CopyRule, bits_per_pixel, long_side
from orchestrator.domain.decisions import Correction, DecisionAction
from orchestrator.domain.explanation import Grouping, Neighbour
from orchestrator.domain.goal import (
    FAULT_COST,
    MOMENT_COST,
    NEAR_SECONDS,
    TIME_COST,
    Coverage,
    Goal,
)
from orchestrator.domain.moments.clocks import format_seconds
from orchestrator.domain.moments.parameters import NOISE
from orchestrator.domain.owner_marks import describe_mark
from orchestrator.domain.people.everybody import BroughtIn
from orchestrator.domain.people.persons import (
    MIN_PHOTO_COUNT,
    Persons,
    find_familiar,
    list_persons,
)
from orchestrator.domain.photo import Candidate, ContentClass, QualityScores, Reason
from orchestrator.domain.scoring import (
    FAULT_WORDS,
    PersonPenalties,
    face_faults,
    find_shown,
    normalize_ava,
)
from orchestrator.domain.selection.parameters import FilterParameters, SelectionParameters
from orchestrator.domain.selection.ranking import MAX_COMPARED_COUNT
from orchestrator.domain.selection.selection import Selection
from orchestrator.domain.selection.verdict import Verdict
from orchestrator.domain.wording import format_comparison, list_words, pluralize

_NAMES = {
    ContentClass.PHOTO: "a photo",
    ContentClass.DOCUMENT: "a document",
    ContentClass.SCREENSHOT: "a screenshot or drawing",
    ContentClass.ANIMATION: "an animation",
    ContentClass.BLANK: "a blank picture",
    ContentClass.MISFIRE: "a misfire",
}
_ALL_FAULTY = "all of them are damaged, blurred or of low quality"
_OUTSCORED = {
    Reason.DAMAGED: "its file is damaged",
    Reason.MISFIRE: "it is a misfire",
    Reason.CONTENT_EXCLUDED: "the settings exclude pictures of its kind",
    Reason.USER_REJECT: "you rejected it",
    Reason.OWNER_REJECT: "its owner rejected it",
    Reason.BEYOND_GOAL: "the requested number is already picked",
}
_KIND_REASONS = (Reason.MISFIRE, Reason.CONTENT_EXCLUDED, Reason.CONTENT_KEPT)
_OWNER_SETTING = ", and use_owner_ratings is on"
NOTABLE_DIFFERENCE = 0.05
"""Smaller differences between scores, which range from 0 to 1, are not mentioned."""


def explain(selection: Selection, verdicts: Sequence[Verdict]) -> list[str]:
    """Writes one sentence per photo that explains why it was or was not picked.

    Args:
        selection: The selection.
        verdicts: Its verdicts, in the order of its candidates.
    """
    by_path = {
        verdict.path: (candidate, verdict)
        for candidate, verdict in zip(selection.candidates, verdicts, strict=True)
    }
    highest = _find_highest(by_path.values())
    companies = _describe_companies(by_path, selection.persons)
    return [
        _explain_for_person(verdict, verdict.brought_in, selection.persons)
        if verdict.brought_in is not None
        else _write_sentence(candidate, verdict, by_path, selection.filters, selection.parameters)
        if verdict.reason is not Reason.SELECTED_BEST
        else _explain_best(
            candidate,
            verdict,
            highest.get(candidate.cluster_id),
            selection.filters,
            selection.parameters,
            companies.get(verdict.path, "")
            + _describe_judged(candidate, verdict.judged, selection.persons),
        )
        for candidate, verdict in by_path.values()
    ]


def _find_highest(judged: Iterable[tuple[Candidate, Verdict]]) -> dict[int, Verdict]:
    """Finds, for each cluster, the highest-scoring verdict that was not picked."""
    highest: dict[int, Verdict] = {}
    for candidate, verdict in judged:
        if candidate.cluster_id == NOISE or verdict.is_selected:
            continue
        known = highest.get(candidate.cluster_id)
        if known is None or _by_score(verdict) < _by_score(known):
            highest[candidate.cluster_id] = verdict
    return highest


def _by_score(verdict: Verdict) -> tuple[float, str]:
    return -verdict.composite_score, verdict.path


def describe_unreadable(error: str) -> str:
    """Writes the sentence for a photo that could not be read."""
    return f"Could not be read: {error}."


def describe_unsupported(formats: Sequence[str]) -> tuple[str, ...]:
    """Writes a note that counts photos in unsupported formats, if there are any."""
    counts = sorted(Counter(formats).items())
    listed = ", ".join(f"{count} {name}" for name, count in counts)
    return (f"Not supported: {listed}.",) if listed else ()


def describe_shortfall(goal: Goal, photo_count: int, selected_count: int) -> tuple[str, ...]:
    """Writes a note if an album has too few photos for its goal; none otherwise.

    Args:
        goal: What the selection aimed for.
        photo_count: Number of readable photos.
        selected_count: How many of them were picked.
    """
    requested = goal.find_count(photo_count)
    if not goal.is_counted or selected_count >= requested:
        return ()
    return (f"Fewer photos qualify than the {requested} requested.",)


def describe_unused_sidecars(problems: Mapping[str, str]) -> list[str]:
    """Writes a note about sidecars that could not be read, if there are any.

    Args:
        problems: Error messages by path.
    """
    if not problems:
        return []
    path = min(problems)
    whose = "its" if len(problems) == 1 else "their"
    counted = f"{pluralize(len(problems), 'sidecar')} could not be read"
    return [f"{counted}, so {whose} ratings and times are ignored ({path}: {problems[path]})."]


def describe_damage(damage: str) -> str:
    """Writes an extra sentence for a photo whose file is damaged but readable."""
    return f"Partially read: {damage}."


def grouping_text(grouping: Grouping) -> str:
    """Explains why the algorithm put a photo into its moment, or into none."""
    if grouping.cluster_size == 1:
        return _explain_alone(grouping)
    near, far = grouping.nearest_inside, grouping.farthest_inside
    assert near is not None
    assert far is not None
    count = grouping.cluster_size
    causes = _describe_terms(near, grouping.pause_inside)
    pause = f", {causes}" if causes else ""
    if count == 2:
        text = f"Grouped with {near.path} (distance {near.distance:.3f}{pause})."
    else:
        text = (
            f"Grouped with {count - 1} others: the nearest is {near.path} (distance "
            f"{near.distance:.3f}{pause}), the farthest {far.path} (distance {far.distance:.3f})."
        )
    if near.distance <= grouping.cluster_selection_epsilon and grouping.method == "hdbscan":
        text += (
            f" Photos no more than {grouping.cluster_selection_epsilon:.3f} apart are not split."
        )
    return f"{text} {_explain_outside(grouping)}".rstrip()


def correction_texts(
    content_digest: str, corrections: Sequence[Correction], paths: Mapping[str, str]
) -> list[str]:
    """Describes the user's corrections of moments that concern a photo.

    Args:
        content_digest: The photo.
        corrections: The corrections that its run applied.
        paths: Paths by content digest; photos that are not in the run are left out.
    """
    texts = []
    for correction in corrections:
        digests = (*correction.content_digests, correction.target_digest)
        if content_digest not in digests:
            continue
        others = ", ".join(
            paths[digest]
            for digest in correction.content_digests
            if digest != content_digest and digest in paths
        )
        target = paths.get(correction.target_digest, "a photo that is not in this run")
        match correction.action:
            case DecisionAction.MOVE if content_digest == correction.target_digest:
                texts.append(f"you moved {others or 'another photo'} into its moment")
            case DecisionAction.MOVE:
                texts.append(f"you moved it into the moment of {target}")
            case DecisionAction.SPLIT:
                together = f", with {others}" if others else ""
                texts.append(f"you split it off into a separate moment{together}")
            case _:
                texts.append(
                    f"you merged its moment with the moment of {others or 'another photo'}"
                )
    return texts


def _describe_terms(near: Neighbour, pause: float | None) -> str:
    """Describes what changed the distance between two photos besides their embeddings."""
    return ", ".join(filter(None, [_describe_time(near, pause), _describe_views(near)]))


def _describe_views(near: Neighbour) -> str:
    part = f"{abs(near.view_part):.3f}"
    if float(part) == 0.0:
        return ""
    if near.view_part < 0.0:
        return f"reduced by {part} because they share many details"
    return f"increased by {part} because they share few details"


def _describe_time(near: Neighbour, pause: float | None) -> str:
    """Describes the time between two photos and its effect on their distance."""
    if pause is None:
        return ""
    taken = f"taken {format_seconds(pause)} apart"
    part = f"{abs(near.time_part):.3f}"
    if float(part) == 0.0:
        return taken
    what = "reduced" if near.time_part < 0.0 else "increased"
    return f"{what} by {part} because they were {taken}"


def _explain_split_by_time(grouping: Grouping, text: str) -> str:
    """Explains a split caused by a pause between captures; empty if no pause caused one."""
    near, pause, hours = (
        grouping.nearest_outside,
        grouping.pause_outside,
        grouping.separate_hours,
    )
    if near is None or pause is None or hours is None or pause <= 3600.0 * hours:
        return ""
    return (
        f"{text}, but the two were taken {format_seconds(pause)} apart; a pause of more than "
        f"{hours:g} h splits photos that are more than {grouping.separate_distance:g} apart."
    )


def _explain_alone(grouping: Grouping) -> str:
    near = grouping.nearest_outside
    if near is None:
        return "It is the only photo."
    start = f"Not grouped: the nearest photo ({near.path}) is at a distance of "
    causes = _describe_terms(near, grouping.pause_outside)
    note = f" ({causes})" if causes else ""
    limit = grouping.scene_distance
    if grouping.method == "dbscan" and near.distance > grouping.dbscan_eps:
        distance, radius = format_comparison(near.distance, grouping.dbscan_eps, 3)
        return f"{start}{distance}{note}; neighbours must be within {radius}."
    if grouping.method == "hdbscan" and limit is not None and near.distance > limit:
        distance, span = format_comparison(near.distance, limit, 3)
        return f"{start}{distance}{note}; a moment may span at most {span}."
    text = f"{start}{near.distance:.3f}"
    if split := _explain_split_by_time(grouping, text):
        return split
    text += note
    if grouping.method == "dbscan":
        return f"{text}; DBSCAN finds too few photos around it."
    if joint := _explain_joint(grouping):
        return f"{text}, but {joint}"
    mine, theirs = grouping.core_distance, grouping.outside_core_distance
    if mine is not None and theirs is not None and mine > theirs:
        own, other = format_comparison(mine, theirs, 3)
        others = pluralize(grouping.min_samples, "other photo")
        return (
            f"{text}, but the area around it is sparser: it has {others} within {own}; photos in "
            f"the nearest photo's moment have that many within {other}. HDBSCAN therefore labels "
            f"it noise."
        )
    return f"{text}; HDBSCAN labels it noise because few photos are close to it."


def _explain_outside(grouping: Grouping) -> str:
    """Explains why the nearest photo of another moment is not in this one."""
    near = grouping.nearest_outside
    if near is None:
        return ""
    text = f"The nearest photo outside ({near.path}) is at a distance of {near.distance:.3f}"
    if split := _explain_split_by_time(grouping, text):
        return split
    if causes := _describe_terms(near, grouping.pause_outside):
        text += f" ({causes})"
    if grouping.method == "dbscan":
        return f"{text}; neighbours must be within {grouping.dbscan_eps:.3f}."
    if joint := _explain_joint(grouping):
        return f"{text}; {joint}"
    return f"{text}; HDBSCAN splits the two by density."


def _explain_joint(grouping: Grouping) -> str:
    """Explains that the two moments together would span too much; empty if they would not."""
    joint, limit = grouping.joint_distance, grouping.scene_distance
    if joint is None or limit is None or joint <= limit:
        return ""
    distance, span = format_comparison(joint, limit, 3)
    return f"a moment with both would span {distance}, more than the {span} allowed."


def _write_sentence(
    candidate: Candidate,
    verdict: Verdict,
    by_path: Mapping[str, tuple[Candidate, Verdict]],
    filters: FilterParameters,
    parameters: SelectionParameters,
) -> str:
    if verdict.reason in _KIND_REASONS:
        return _explain_kind(candidate, verdict)
    if verdict.is_selected:
        return _explain_further(candidate, verdict, by_path, parameters)
    if verdict.reason is Reason.BEYOND_GOAL and verdict.coverage is not None:
        return _explain_beyond_goal(verdict, verdict.coverage)
    rival = by_path.get(verdict.lost_to or "")
    quality = candidate.quality
    match verdict.reason:
        case Reason.USER_REJECT:
            return "Not selected: you rejected this photo."
        case Reason.OWNER_REJECT:
            return f"Not selected: {describe_mark(candidate.owner_mark)}{_OWNER_SETTING}."
        case Reason.DAMAGED | Reason.BLURRED | Reason.LOW_IQA:
            return (
                f"Not selected: {_describe_fault(verdict, quality, filters)}{_name_rival(rival)}."
            )
        case Reason.NOISE_EXCLUDED:
            return "Not selected: it is a single shot, and include_noise is off."
        case Reason.BELOW_MIN_SCORE:
            value, limit = format_comparison(
                verdict.composite_score, parameters.min_score_threshold
            )
            return (
                f"Not selected: its score of {value} is below {limit}"
                f"{_describe_faults(verdict, parameters.person_penalties)}{_name_rival(rival)}."
            )
    if rival is None:
        raise ValueError(f"{verdict.path} has reason {verdict.reason}, but did not lose to a photo")
    return _explain_lost(candidate, verdict, rival, parameters)


def _describe_fault(verdict: Verdict, quality: QualityScores, filters: FilterParameters) -> str:
    if verdict.reason is Reason.DAMAGED:
        return "its file is damaged"
    if verdict.reason is Reason.BLURRED:
        value, limit = format_comparison(quality.focus_score, filters.min_sharpness)
        return f"blurred (sharpest region {value}, minimum {limit})"
    value, limit = format_comparison(quality.iqa_score, filters.min_iqa_score)
    return f"its technical quality of {value} is below {limit}"


def _explain_kept(
    verdict: Verdict,
    by_path: Mapping[str, tuple[Candidate, Verdict]],
    parameters: SelectionParameters,
) -> str:
    """Writes the sentence for an earlier run's pick that stays ahead of a slightly better photo."""
    text = f"Selected: also picked in the last run, score {verdict.composite_score:.2f}"
    faults = _describe_faults(verdict, parameters.person_penalties)
    other = by_path.get(verdict.outranked or "")
    if other is not None:
        text += f"{faults}; {_compare_to_margin(verdict, other[1], parameters.stability_margin)}"
    return f"{text}{_describe_place(verdict)}."


def _compare_to_margin(pick: Verdict, other: Verdict, margin: float) -> str:
    """Explains why a photo that ranks higher does not replace the pick of an earlier run."""
    lead = other.composite_score - pick.composite_score
    if lead <= 0:
        return f"{other.path} wins the comparison but does not score higher"
    better, limit = format_comparison(lead, margin)
    return f"{other.path} scores only {better} higher, less than the margin of {limit}"


def _explain_further(
    candidate: Candidate,
    verdict: Verdict,
    by_path: Mapping[str, tuple[Candidate, Verdict]],
    parameters: SelectionParameters,
) -> str:
    """Writes the sentence for a photo that was picked, but not as the best of its moment."""
    if verdict.reason is Reason.USER_KEEP:
        return "Selected: you kept this photo."
    if verdict.reason is Reason.OWNER_KEEP:
        return f"Selected: {describe_mark(candidate.owner_mark)}{_OWNER_SETTING}."
    if verdict.reason is Reason.SELECTED_VERSION:
        return (
            f"Also selected: {_describe_version(candidate)} of {verdict.lost_to}; "
            f"select_best.versions is {parameters.versions}."
        )
    if verdict.reason is Reason.KEPT_FROM_LAST_RUN:
        return _explain_kept(verdict, by_path, parameters)
    if verdict.reason is Reason.SELECTED_FOR_GOAL:
        return _explain_for_goal(verdict, parameters)
    if verdict.reason is Reason.SELECTED_WITH_SET:
        return f"Also selected: {_place_in_set(candidate)}, which is kept as a whole."
    similarity, limit = format_comparison(
        verdict.similarity or 0.0, parameters.dissimilarity_threshold
    )
    faults = _describe_faults(verdict, parameters.person_penalties)
    return (
        f"Also selected: score {verdict.composite_score:.2f}, and different enough from the other "
        f"picks from this moment (similarity {similarity}, limit {limit}){faults}."
    )


def _explain_best(
    candidate: Candidate,
    verdict: Verdict,
    highest: Verdict | None,
    filters: FilterParameters,
    parameters: SelectionParameters,
    company: str,
) -> str:
    """Writes the sentence for a moment's pick.

    Args:
        candidate: The pick.
        verdict: Its verdict.
        highest: The best-scoring photo of the moment that was not picked.
        filters: The floors.
        parameters: The rules.
        company: End of the sentence, about the named persons in the pick; may be empty.
    """
    place = (
        "the only shot in its moment"
        if verdict.moment_size == 1
        else f"the best of {verdict.moment_size} shots in this moment"
    )
    score, other = f"{verdict.composite_score:.2f}", ""
    if highest is not None and highest.composite_score > verdict.composite_score:
        score, higher = format_comparison(verdict.composite_score, highest.composite_score)
        is_named = verdict.coverage is not None and verdict.coverage.preferred_to == highest.path
        if (cause := _explain_outscored(highest, filters)) and not is_named:
            other = f"; {highest.path} scores {higher}, but {cause}"
    return (
        f"Selected: {place}, score {score}"
        f"{_describe_faults(verdict, parameters.person_penalties)}{_describe_win(verdict)}"
        f"{_describe_floor(candidate, verdict, filters)}{company}{other}{_describe_place(verdict)}."
    )


def _describe_companies(
    by_path: Mapping[str, tuple[Candidate, Verdict]], persons: Persons
) -> dict[str, str]:
    """Describes the picks that are the only or best shots of their moment with certain persons."""
    named = {key for key, person in persons.items() if person.name and not person.is_ignored}
    if not named:
        return {}
    moments: dict[int, list[tuple[frozenset[str], Verdict]]] = {}
    for candidate, verdict in by_path.values():
        if candidate.cluster_id != NOISE:
            shown = find_shown(candidate.faces, candidate.person_ids, named)
            moments.setdefault(candidate.cluster_id, []).append((shown, verdict))
    return {
        verdict.path: _describe_company(shown, verdict, moment, persons)
        for moment in moments.values()
        for shown, verdict in moment
        if verdict.reason is Reason.SELECTED_BEST
    }


def _describe_company(
    shown: frozenset[str],
    verdict: Verdict,
    moment: Sequence[tuple[frozenset[str], Verdict]],
    persons: Persons,
) -> str:
    same = [other for people, other in moment if people >= shown]
    if not shown or len(same) == len(moment):
        return ""
    names = f"{'both ' if len(shown) == 2 else ''}{list_persons(shown, persons)}"
    if len(same) == 1:
        return f"; the only one of them with {names}"
    if verdict.composite_score < max(other.composite_score for other in same):
        return ""
    return f"; the best of the {len(same)} with {names}"


def _describe_judged(candidate: Candidate, judged: Sequence[int], persons: Persons) -> str:
    """Says whose faces count, if not all do; empty otherwise."""
    words = describe_judged(candidate, judged, persons)
    return f"; only these faces count: {words}" if words else ""


def describe_judged(candidate: Candidate, judged: Sequence[int], persons: Persons) -> str:
    """Lists whose faces count, if the moment shows important persons; empty if all count."""
    people = {candidate.person_ids[place] for place in judged if candidate.person_ids}
    named = list_persons(people - {""}, persons)
    is_unknown = bool(judged) and (not people or "" in people)
    return list_words([*filter(None, [named]), *(["unrecognized people"] if is_unknown else [])])


def _explain_for_person(verdict: Verdict, found: BroughtIn, persons: Persons) -> str:
    """Writes the sentence for a photo that was picked because of a person in it."""
    who, count = list_persons([found.person_id], persons), found.option_count
    good = "good " if found.is_good else ""
    if found.photo_count == 1:
        rank = f"the only photo of {who}"
    elif count == 1:
        rank = f"the only {good}one of the {found.photo_count} photos of {who}"
        rank += "" if good else " that can be picked"
    else:
        rank = f"the best of {count} {good}photos of {who}"
    doubt = "" if good else ", although not a good one"
    others = list_persons(found.other_ids, persons)
    more = f"; it also shows {others}" if others else ""
    return (
        f"Also selected: {rank}{doubt}, so that everybody is in at least one pick (score "
        f"{verdict.composite_score:.2f}){more}."
    )


def describe_everybody(
    goal: Goal, photos: Iterable[Sequence[str]], missing: Sequence[str], persons: Persons
) -> tuple[str, ...]:
    """Writes a note if the goal `everybody` could not be met; none otherwise.

    Args:
        goal: What the selection aimed for.
        photos: Ids of the persons in each photo.
        missing: Ids of the persons without a pick.
        persons: All persons.
    """
    if goal.pick != "everybody":
        return ()
    if not find_familiar(photos, persons):
        return (
            "The goal `everybody` added nothing: nobody in these photos is named, important or in "
            f"at least {MIN_PHOTO_COUNT} photos. Name people in the People view or with `bestshot "
            "people name`, then reselect.",
        )
    if not missing:
        return ()
    who = list_persons(missing, persons)
    return (f"Not in any pick: {who}, because none of their photos can be picked.",)


def _explain_for_goal(verdict: Verdict, parameters: SelectionParameters) -> str:
    """Writes the sentence for another pick from the same moment that the goal allows."""
    score, faults = verdict.composite_score, _describe_faults(verdict, parameters.person_penalties)
    if verdict.coverage is None:
        value, limit = format_comparison(score, parameters.min_score_threshold)
        return (
            f"Also selected: it meets all minimums (score {value}, minimum {limit}), and the goal "
            f"leaves out only failed shots{faults}."
        )
    others = pluralize(verdict.coverage.moment_count, "other pick")
    return (
        f"Also selected: score {score:.2f}, high enough even though its moment already has {others}"
        f"{faults}{_describe_place(verdict)}."
    )


def _describe_place(verdict: Verdict) -> str:
    """Describes a pick's place in the competition for an album-wide goal; empty without one."""
    coverage = verdict.coverage
    if coverage is None or coverage.place is None:
        return ""
    text = f"; pick {coverage.place} of the {pluralize(coverage.requested, 'photo')} requested"
    if coverage.preferred_to is not None:
        text += (
            f", ahead of {coverage.preferred_to}, which has a higher score but is closer to other "
            f"picks"
        )
    return text


def _explain_beyond_goal(verdict: Verdict, coverage: Coverage) -> str:
    """Writes the sentence for a photo that was left out because enough others were picked."""
    start = f"Not selected: {pluralize(coverage.requested, 'photo')} requested"
    if coverage.ahead is not None:
        return f"{start}, and {coverage.ahead}, which ranks higher, was not selected either."
    if coverage.last_value is None:
        return f"{start}, and those that are always kept already make up that number."
    cause = (
        f"this moment already has {pluralize(coverage.moment_count, 'pick')}"
        if coverage.moment_count
        else "others rank higher"
    )
    value, last = format_comparison(coverage.value, coverage.last_value)
    costs = _list_costs(verdict, coverage)
    if costs:
        value = f"{verdict.composite_score:.2f}, {costs}: {value}"
    return f"{start}, and {cause} (score {value}; the last pick had {last})."


def _list_costs(verdict: Verdict, coverage: Coverage) -> str:
    """Lists the deductions from the score of a photo that was left out; empty if there are none."""
    costs = [
        (coverage.moment_count * MOMENT_COST, "for picks from its moment"),
        (coverage.near_count * TIME_COST, f"for picks within {NEAR_SECONDS / 60:g} minutes"),
        (coverage.is_faulty * FAULT_COST, "for its fault"),
    ]
    return ", ".join(f"-{cost:.2f} {what}" for cost, what in costs if cost)


def _explain_outscored(verdict: Verdict, filters: FilterParameters) -> str:
    """Explains why a higher-scoring photo was not picked; empty if its rank was the reason."""
    match verdict.reason:
        case Reason.BLURRED:
            return f"its sharpest region is below {filters.min_sharpness:g}"
        case Reason.LOW_IQA:
            return f"its technical quality is below {filters.min_iqa_score:g}"
        case Reason.COPY:
            return f"it is a copy of {verdict.lost_to}"
        case Reason.VERSION:
            return f"it is a version of {verdict.lost_to}"
        case reason:
            return _OUTSCORED.get(reason, "")


def _explain_lost(
    candidate: Candidate,
    verdict: Verdict,
    rival: tuple[Candidate, Verdict],
    parameters: SelectionParameters,
) -> str:
    """Writes the sentence for a photo that lost to another one."""
    score, best = format_comparison(verdict.composite_score, rival[1].composite_score)
    winner = rival[1].path
    differences = _describe_differences(candidate, verdict, *rival)
    keeper = _name_keeper(rival[1])
    match verdict.reason:
        case Reason.IN_SET:
            return (
                f"Not selected: {_place_in_set(candidate)}, represented by {winner}"
                f"{f' because {keeper} kept it' if keeper else ''}{differences}."
            )
        case Reason.COPY | Reason.VERSION:
            return (
                f"Not selected: {_describe_copy(candidate, rival[0], verdict.copy_rule, keeper)}."
            )
        case Reason.DUPLICATE:
            return (
                f"Not selected: nearly identical to {winner} "
                f"(similarity {verdict.similarity or 0:.2f}), which "
                f"{keeper + ' kept' if keeper else 'ranks higher'}"
                f"{'' if verdict.probability is None else ': ' + _describe_comparison(verdict)}"
                f"{differences}."
            )
        case Reason.TOO_SIMILAR:
            similarity, limit = format_comparison(
                verdict.similarity or 0.0, parameters.dissimilarity_threshold
            )
            return (
                f"Not selected: too similar to {winner}, which was selected (similarity "
                f"{similarity}, limit {limit})"
                f"{differences}."
            )
        case Reason.NOT_BETTER_ENOUGH:
            return (
                f"Not selected: {winner} was picked in the last run, and "
                f"{_compare_to_margin(rival[1], verdict, parameters.stability_margin)}."
            )
        case Reason.LOST_COMPARISON | Reason.LOWER_SCORE if keeper:
            return f"Not selected: {keeper} kept {winner} instead."
        case Reason.LOST_COMPARISON:
            return (
                f"Not selected: its score of {score} is close to that of {winner} ({best}), and "
                f"{_describe_comparison(verdict)}{differences}."
            )
        case _:
            return (
                f"Not selected: score {score} vs {best} for "
                f"{winner}{differences}{_describe_uncompared(verdict)}."
            )


def _place_in_set(candidate: Candidate) -> str:
    """Names a photo's place in its set."""
    own = candidate.frame_set
    if own is None:
        raise ValueError(f"{candidate.path} is not in a set")
    return f"frame {own.place} of {own.size} in {own.kind.words}"


def _describe_win(verdict: Verdict) -> str:
    """Describes how the comparator chose a pick from photos with about the same score."""
    if not verdict.tied_count:
        return ""
    others = "another shot" if verdict.tied_count == 1 else f"{verdict.tied_count} other shots"
    text = f", preferred in a direct comparison to {others} with about the same score"
    if verdict.uncompared_count:
        text += f" (not compared: {verdict.uncompared_count} more, because of too many ties)"
    return text


def _describe_uncompared(verdict: Verdict) -> str:
    """Explains why a photo with about the best score was not compared."""
    if not verdict.uncompared_count or verdict.points is not None:
        return ""
    return f"; only the best {MAX_COMPARED_COUNT} shots with about that score were compared"


def _describe_comparison(verdict: Verdict) -> str:
    """Describes how the comparator decided; the round robin can overrule a single pair."""
    probability = verdict.probability or 0.0
    if probability > 0.5:
        return f"the direct comparison prefers the other with {probability:.0%} probability"
    return "the direct comparisons of all tied shots prefer the other"


def _describe_floor(candidate: Candidate, verdict: Verdict, filters: FilterParameters) -> str:
    """Names the fault of a pick whose moment has no photo that clears the floors."""
    if candidate.file.is_damaged:
        # The damage of a single shot is described by `describe_damage`.
        return "" if verdict.moment_size == 1 else f"; {_ALL_FAULTY}"
    quality = candidate.quality
    for name, score, floor, fault in (
        ("sharpest region", quality.focus_score, filters.min_sharpness, "blurred"),
        ("technical quality", quality.iqa_score, filters.min_iqa_score, "of low quality"),
    ):
        if score < floor:
            value, limit = format_comparison(score, floor)
            if verdict.moment_size == 1:
                return f"; it is {fault} ({name} {value}, minimum {limit})"
            return f"; {_ALL_FAULTY} (this one's {name} {value}, minimum {limit})"
    return ""


def _explain_kind(candidate: Candidate, verdict: Verdict) -> str:
    """Writes the sentence for a picture that was picked or left out because of its kind."""
    kind, file = candidate.content, candidate.file
    setting = f"select_best.content.{kind.value}"
    if verdict.reason is Reason.CONTENT_KEPT:
        return f"Selected: {_NAMES[kind]}, and {setting} keeps them all."
    if kind is ContentClass.MISFIRE:
        brightness = candidate.quality.brightness or 0.0
        look = "black" if brightness < 0.5 else "blown out"
        return (
            f"Not selected: a misfire, because the frame is {look} and shows nothing "
            f"(brightness {brightness:.2f})."
        )
    if kind is ContentClass.BLANK:
        return f"Not selected: {_NAMES[kind]} ({file.width_px} x {file.height_px} px)."
    return f"Not selected: {_NAMES[kind]}, and {setting} excludes them."


def _describe_copy(
    candidate: Candidate, original: Candidate, rule: CopyRule | None, keeper: str
) -> str:
    """Says what makes another file the original of this copy."""
    mine, theirs, name = candidate.file, original.file, original.path
    match rule:
        case None:
            is_version = candidate.alteration or original.alteration
            return f"a {'version' if is_version else 'copy'} of {name}, which {keeper} kept"
        case CopyRule.DAMAGED:
            return f"a damaged copy of {name}"
        case CopyRule.INDIRECT:
            return f"a copy of another copy of {name}"
        case CopyRule.VERSION:
            return f"{_describe_version(candidate)} of {name}"
        case CopyRule.OVERLAY:
            return f"a copy of {name} with an overlay, such as a watermark"
        case CopyRule.ENLARGED:
            return (
                f"an enlarged copy of {name}: {long_side(candidate)} px on its long side instead "
                f"of {long_side(original)}, but no more detail (focus "
                f"{candidate.quality.focus_score:.2f} vs {original.quality.focus_score:.2f})"
            )
        case CopyRule.SMALLER:
            return (
                f"a smaller copy of {name} ({mine.width_px} x {mine.height_px} px; the original "
                f"has {theirs.width_px} x {theirs.height_px})"
            )
        case CopyRule.CAMERA:
            return f"a copy of {name} without camera metadata"
        case CopyRule.COMPRESSED:
            ours, best = format_comparison(bits_per_pixel(candidate), bits_per_pixel(original))
            return f"a more compressed copy of {name} ({ours} bits per pixel vs {best})"


def _describe_version(candidate: Candidate) -> str:
    if candidate.alteration:
        return candidate.alteration.words
    return "an edited copy, judging by its name," if candidate.file.is_edit else "a version"


def _name_rival(rival: tuple[Candidate, Verdict] | None) -> str:
    if rival is None:
        return ""
    if keeper := _name_keeper(rival[1]):
        return f"; {keeper} kept {rival[1].path}"
    return f"; {rival[1].path} is the best in this moment"


def _name_keeper(verdict: Verdict) -> str:
    """Names who kept a photo; empty if nobody did."""
    keepers = {
        Reason.USER_KEEP: "you",
        Reason.OWNER_KEEP: "its owner",
        Reason.CONTENT_KEPT: "the setting for its kind",
    }
    return keepers.get(verdict.reason, "")


def _describe_faults(verdict: Verdict, penalties: PersonPenalties) -> str:
    faults = [FAULT_WORDS[fault] for fault in face_faults(verdict.worst, penalties)]
    if not faults or verdict.person_penalty == 0.0:
        return ""
    return f" ({', '.join(faults)}: {verdict.person_penalty:+.2f})"


def _describe_differences(
    candidate: Candidate, verdict: Verdict, rival: Candidate, rival_verdict: Verdict
) -> str:
    """Lists the scores on which the preferred photo is notably better, largest gap first."""
    mine, theirs = candidate.quality, rival.quality
    measured = [
        ("sharpness", mine.sharpness, theirs.sharpness),
        ("exposure", mine.exposure, theirs.exposure),
        ("colour", mine.colourfulness, theirs.colourfulness),
        ("contrast", mine.contrast, theirs.contrast),
        ("aesthetics", normalize_ava(mine.ava_score), normalize_ava(theirs.ava_score)),
    ]
    if verdict.worst and rival_verdict.worst:
        measured += [
            ("eyes", verdict.worst.eyes_score, rival_verdict.worst.eyes_score),
            ("pose", verdict.worst.pose_score, rival_verdict.worst.pose_score),
            ("smile", verdict.worst.smile_score, rival_verdict.worst.smile_score),
        ]
    worse = sorted(
        ((theirs - mine, name, mine, theirs) for name, mine, theirs in measured), reverse=True
    )
    notable = [
        f"{name} {mine:.2f} vs {theirs:.2f}"
        for gap, name, mine, theirs in worse[:3]
        if gap >= NOTABLE_DIFFERENCE
    ]
    return f"; {', '.join(notable)}" if notable else ""
